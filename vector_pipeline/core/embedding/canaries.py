"""Texts whose vectors tell whether a model is still the one that it was.

A model may change under its name: an alias such as `latest` moves on, a server is updated, weights are quantised. Then
new vectors no longer lie among the stored ones, and nothing fails. So a few fixed texts are embedded again now and
then, and their vectors compared with those of the first time.
"""

from __future__ import annotations

import numpy as np

from vector_pipeline.core.embedding.honesty import VectorSpaceLength, judge
from vector_pipeline.core.embedding.provider import EmbeddedBatch, EmbeddingProvider, Vectors
from vector_pipeline.core.embedding.requesting import request_with_patience
from vector_pipeline.core.errors import DishonestAnswerError

# Short, so that they cost some forty tokens, and in the two languages of the first users: a model that was exchanged
# for one of another language differs in one of them at least.
CANARY_TEXTS = (
    "Where is a lost identity card reported?",
    "The library is open every day but Sunday.",
    "Di manakah kehilangan kad pengenalan dilaporkan?",
    "Perpustakaan dibuka setiap hari kecuali hari Ahad.",
)


def embed_canaries(provider: EmbeddingProvider, attempts: int, texts: tuple[str, ...] = CANARY_TEXTS) -> Vectors:
    """The vectors of the texts as the model gives them now, shape (texts, dimensions), float32.

    Raises:
        ProviderError: it gives none, or none that is honest.
    """
    size = provider.texts_per_request
    vectors = [
        _honest(provider.name, request_with_patience(provider, texts[start : start + size], attempts))
        for start in range(0, len(texts), size)
    ]
    if len({part.shape[1] for part in vectors}) > 1:
        raise DishonestAnswerError(f"{provider.name} gives canary texts vectors of several lengths")
    return np.concatenate(vectors)


def _honest(who: str, batch: EmbeddedBatch) -> Vectors:
    length = int(batch.lengths[0])
    if not length or (batch.lengths != length).any():
        raise DishonestAnswerError(f"{who} gives canary texts vectors of the lengths {batch.lengths.tolist()}")
    judgement = judge(batch, VectorSpaceLength(length, length))
    if judgement.reasons:
        raise DishonestAnswerError(f"{who}: the vector of a canary text {next(iter(judgement.reasons.values()))}")
    return judgement.vectors


def least_similarity(then: Vectors, now: Vectors) -> float:
    """The cosine of the text whose vector has moved most; 0 where the lengths of the vectors differ."""
    if then.shape != now.shape:
        return 0.0
    one, other = then.astype(np.float64), now.astype(np.float64)
    cosines = np.einsum("ij,ij->i", one, other) / (np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1))
    return float(cosines.min())
