"""A query in words: embedded with the model of the served generation, then answered by `nearest`."""

from __future__ import annotations

import time

import numpy as np
import psycopg

from vector_pipeline.core.declaration import BEST_FIELD
from vector_pipeline.core.embedding.choose import choose_model, declared_pooling, provider_block
from vector_pipeline.core.embedding.honesty import VectorSpaceLength, judge
from vector_pipeline.core.embedding.provider import EmbeddingProvider
from vector_pipeline.core.embedding.requesting import request_with_patience
from vector_pipeline.core.errors import ConfigurationError, ProviderRefusedError, VectorPipelineError
from vector_pipeline.core.search.answer import SearchAnswer
from vector_pipeline.core.search.nearest import nearest
from vector_pipeline.core.settings import EmbeddingSettings
from vector_pipeline.core.spec import EmbeddingSpec, LocalProviderSpec, OpenAIProviderSpec
from vector_pipeline.core.store.registry import RegisteredIndex, VectorSpace

_ATTEMPTS = 2


class SearchRequestError(VectorPipelineError):
    """The request itself can't be answered; the message says what to change."""


def embedding_as_built(
    declared: EmbeddingSpec, accepted: EmbeddingSpec, environment: EmbeddingSettings, space: VectorSpace
) -> EmbeddingSpec:
    """How to embed a query for vectors of that space, whatever is declared by now.

    Model, length and pooling are those of the space. The provider is the one declared now, be it of another kind, if it
    has that model, since servers move; else the one that was last `accepted` for these vectors.
    """
    block = accepted.provider
    if _gives(declared, environment, space, accepted):
        block = declared.provider
    elif block is None and provider_block(accepted, environment).type != space.provider:
        block = LocalProviderSpec() if space.provider == "local" else OpenAIProviderSpec()
    return EmbeddingSpec(provider=block, model=space.model, dimensions=accepted.dimensions)


def _gives(
    declared: EmbeddingSpec, environment: EmbeddingSettings, space: VectorSpace, accepted: EmbeddingSpec
) -> bool:
    try:
        chosen = choose_model(declared, environment)
    except ConfigurationError:
        return False
    return chosen.model == space.model and chosen.pooling == declared_pooling(accepted.provider)


def embed_query(
    provider: EmbeddingProvider, index: RegisteredIndex, query: str
) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """The query's vector, shape (stored dimensions,), float32.

    Raises:
        SearchRequestError: the provider refuses this text, or gives no honest vector for it.
        ProviderError: the provider is down, or not the model that the index was made with.
    """
    space = index.generation.space
    if provider.model != space.model:
        raise SearchRequestError(
            f"index {index.name!r} was made with model {space.model!r}, but {provider.model!r} is configured; "
            "a query must be embedded with the model of the index"
        )
    try:
        batch = request_with_patience(provider, [space.query_prefix + query.replace("\0", "")], _ATTEMPTS)
    except ProviderRefusedError as error:
        raise SearchRequestError(f"the provider refuses this query: {error}") from None
    judgement = judge(batch, VectorSpaceLength(space.native_dimensions, space.stored_dimensions))
    if not judgement.honest[0]:
        raise SearchRequestError(f"the query's vector {judgement.reasons[0]}; ask with other words")
    vector: np.ndarray[tuple[int], np.dtype[np.float32]] = judgement.vectors[0]
    return vector


def search(
    connection: psycopg.Connection,
    index: RegisteredIndex,
    provider: EmbeddingProvider,
    query: str,
    *,
    limit: int,
    threshold: float,
    field: str,
    unique_on: str | None,
) -> SearchAnswer:
    """Embeds the query and answers it.

    Raises:
        SearchRequestError: an empty query, an unknown field, or a limit or threshold out of bounds.
    """
    started = time.monotonic()
    fields = index.generation.rendering.fields
    if not query.strip():
        raise SearchRequestError("the query is empty; ask with at least one word")
    if field != BEST_FIELD and field not in fields:
        raise SearchRequestError(f"{field!r} is no field of {index.name!r}; use {BEST_FIELD}, {', '.join(fields)}")
    if limit < 1 or not -1 <= threshold <= 1:
        raise SearchRequestError("limit must be at least 1, threshold from -1 to 1")
    vector = embed_query(provider, index, query)
    wanted = fields if field == BEST_FIELD else (field,)
    hits = nearest(connection, index, vector, wanted, limit, threshold, unique_on)
    return SearchAnswer(index.name, query, tuple(hits), limit, threshold, time.monotonic() - started)
