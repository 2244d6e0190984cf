"""Vectors that lie as those of texts do: in subjects of very different size, and those in themes.

Uniform noise has no neighbours worth finding, and what is tightly clustered finds itself. Each theme has some hundred
directions of its own; a subject is a place along them, and its texts scatter along the same ones, and a little in all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vector_pipeline.core.embedding.provider import EmbeddedBatch
from vector_pipeline_tests.misbehaving_answers import vectors_of

Vectors = npt.NDArray[np.float32]

_SEED = 20261121
_THEMES, _SUBJECTS, _DIRECTIONS = 40, 600, 96
_BETWEEN_SUBJECTS, _WITHIN_A_SUBJECT, _ANYWHERE = 0.9, 0.6, 0.25


@dataclass(frozen=True)
class Cloud:
    """Vectors of documents, and of queries that are none of them, from the same distribution; unit length."""

    documents: Vectors
    queries: Vectors

    @property
    def texts(self) -> list[str]:
        return [document_text(number) for number in range(len(self.documents))]

    def nearest(self, query: int, count: int, kept: npt.NDArray[np.bool_] | None = None) -> list[int]:
        """The numbers of the documents with the largest cosines, by comparing all of them, or all that are kept."""
        cosines = self.documents @ self.queries[query]
        if kept is not None:
            cosines[~kept] = -2.0
        best = np.argpartition(-cosines, count)[:count]
        return [int(number) for number in best[np.argsort(-cosines[best])]]


def document_text(number: int) -> str:
    return f"document {number:07d} of the cloud"


def query_text(number: int) -> str:
    return f"query {number:07d} to the cloud"


def make_cloud(documents: int, queries: int, dimensions: int) -> Cloud:
    """The same for the same numbers."""
    random = np.random.default_rng(_SEED)
    directions = random.standard_normal((_THEMES, _DIRECTIONS, dimensions), dtype=np.float32)
    directions /= np.sqrt(dimensions * _DIRECTIONS)
    themes = random.standard_normal((_THEMES, dimensions), dtype=np.float32) / np.sqrt(dimensions)
    theme_of = random.integers(0, _THEMES, _SUBJECTS)
    sizes = 1 / np.arange(1, _SUBJECTS + 1) ** 0.7
    subject_of = random.choice(_SUBJECTS, documents + queries, p=sizes / sizes.sum())
    vectors = np.empty((documents + queries, dimensions), np.float32)
    for subject, theme in enumerate(theme_of):
        members = np.flatnonzero(subject_of == subject)
        centre = _scatter(random, 1, directions[theme]) * _BETWEEN_SUBJECTS + themes[theme]
        anywhere = random.standard_normal((len(members), dimensions), dtype=np.float32) / np.sqrt(dimensions)
        vectors[members] = (
            centre + _WITHIN_A_SUBJECT * _scatter(random, len(members), directions[theme]) + _ANYWHERE * anywhere
        )
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Cloud(vectors[:documents], vectors[documents:])


def _scatter(random: np.random.Generator, count: int, directions: Vectors) -> Vectors:
    scattered: Vectors = random.standard_normal((count, _DIRECTIONS), dtype=np.float32) @ directions
    return scattered


class CloudProvider:
    """Gives the cloud's vectors without a request, since what is measured is everything else; for texts that are not of
    it, those of the HTTP server that other processes ask."""

    name = "cloud:numbers"
    model = "numbers"
    texts_per_request = 256
    requests_in_flight = 4

    def __init__(self, cloud: Cloud) -> None:
        self._vectors = {document_text(number): vector for number, vector in enumerate(cloud.documents)}
        self._vectors |= {query_text(number): vector for number, vector in enumerate(cloud.queries)}
        self._dimensions = cloud.documents.shape[1]

    def embed(self, texts: Sequence[str]) -> EmbeddedBatch:
        known = [self._vectors.get(text) for text in texts]
        vectors = np.stack(
            [vectors_of([text], self._dimensions)[0] if v is None else v for text, v in zip(texts, known, strict=True)]
        )
        return EmbeddedBatch(vectors, np.full(len(texts), self._dimensions, np.int32), len(texts))

    def close(self) -> None:
        """There is no connection."""
