"""A query's vector: made by the model of the generation that is searched, whatever is declared by now."""

from __future__ import annotations

from contextlib import ExitStack

from vector_pipeline.core.embedding.choose import choose_model, choose_provider, declared_pooling, provider_block
from vector_pipeline.core.embedding.honesty import VectorSpaceLength, judge
from vector_pipeline.core.embedding.provider import EmbeddingProvider
from vector_pipeline.core.embedding.requesting import request_with_patience
from vector_pipeline.core.errors import ConfigurationError, ProviderRefusedError
from vector_pipeline.core.search.nearest import QueryVector
from vector_pipeline.core.search.request import SearchRequestError
from vector_pipeline.core.settings import EmbeddingSettings
from vector_pipeline.core.spec import EmbeddingSpec, IndexSpec, LocalProviderSpec, OpenAIProviderSpec
from vector_pipeline.core.store.registry import RegisteredIndex, VectorSpace

_ATTEMPTS = 2


class ProvidersAsBuilt:
    """The providers that embed as the vectors of generations were embedded, kept open until `closing` is closed.

    Args:
        given: replaces them all.
    """

    def __init__(
        self, spec: IndexSpec, environment: EmbeddingSettings, given: EmbeddingProvider | None, closing: ExitStack
    ) -> None:
        self._declared = spec.embedding
        self._environment = environment
        self._given = given
        self._closing = closing
        self._open: dict[str, EmbeddingProvider] = {}

    def of(self, index: RegisteredIndex, accepted: IndexSpec) -> EmbeddingProvider:
        """The one for the index as seen by a generation, whose own declaration is `accepted`."""
        if self._given is not None:
            return self._given
        built = embedding_as_built(self._declared, accepted.embedding, self._environment, index.generation.space)
        key = built.model_dump_json()
        if key not in self._open:
            provider = choose_provider(built, self._environment)
            self._closing.callback(provider.close)
            self._open[key] = provider
        return self._open[key]


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


def embed_query(provider: EmbeddingProvider, index: RegisteredIndex, query: str) -> QueryVector:
    """The query's vector.

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
    judgement = judge(batch, VectorSpaceLength.of(space))
    if not judgement.honest[0]:
        raise SearchRequestError(f"the query's vector {judgement.reasons[0]}; ask with other words")
    vector: QueryVector = judgement.vectors[0]
    return vector
