"""From what a `feature-extraction` pipeline answers to one vector a text.

Three shapes are in use: flat (one text: its vector), nested (a vector a text), and token-level (for each text a vector
a token, be it with a dimension of one before the tokens, as transformers writes it). Token vectors are pooled only
where that is declared: their mean is a good sentence vector for some models and a bad one for others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from vector_pipeline.core.embedding.answers import stack_vectors
from vector_pipeline.core.embedding.provider import EmbeddedBatch, Vectors
from vector_pipeline.core.errors import DishonestAnswerError, ProviderRejectsUsError

Pooling = Literal["refuse", "mean"]


def read_features(answer: Any, texts: int, pooling: Pooling, tokens: int | None = None) -> EmbeddedBatch:
    """The vectors of `texts` texts, in their order.

    Args:
        answer: a float32 array, or lists of arrays or numbers where the texts differ in their number of tokens.
        pooling: what becomes of a vector a token.
        tokens: what the provider counted.

    Raises:
        DishonestAnswerError: not one vector, or one set of token vectors, a text.
        ProviderRejectsUsError: a vector a token came, and `pooling` is `refuse`.
    """
    items = _one_a_text(answer, texts)
    vectors = [_vector(item, pooling) for item in items]
    lengths = np.fromiter((len(vector) for vector in vectors), np.int32, texts)
    return EmbeddedBatch(stack_vectors(vectors, lengths, None), lengths, tokens)


def _one_a_text(answer: Any, texts: int) -> Sequence[Any] | npt.NDArray[Any]:
    if not isinstance(answer, list | np.ndarray):
        raise DishonestAnswerError(f"the answer has no vectors but {str(answer)[:120]!r}")
    first: Any = answer[0] if len(answer) else None
    if texts == 1 and (np.isscalar(first) or (len(answer) > 1 and np.ndim(first) == 1)):
        return [answer]  # flat, or the token vectors of the only text
    if len(answer) != texts:
        raise DishonestAnswerError(f"{len(answer)} vectors came for {texts} texts")
    return answer


def _vector(item: Any, pooling: Pooling) -> Vectors:
    try:
        vector: Vectors = np.asarray(item, np.float32)
    except (ValueError, TypeError) as error:
        raise DishonestAnswerError(f"a vector cannot be read: {error}") from None
    if vector.ndim == 3 and len(vector) == 1:
        vector = vector[0]
    if vector.ndim == 1:
        return vector
    if vector.ndim != 2 or not len(vector):
        raise DishonestAnswerError(f"a text has an array of the shape {vector.shape} for its vector")
    if pooling == "refuse":
        raise ProviderRejectsUsError(
            f"the model gives a vector for each token ({len(vector)} of {vector.shape[1]} numbers for one text); "
            "choose a sentence-embedding model, or declare embedding.provider.pooling: mean if the mean is meant"
        )
    pooled: Vectors = vector.mean(axis=0, dtype=np.float32)
    return pooled
