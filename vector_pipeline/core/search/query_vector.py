"""A query's vector: made by the model of the generation that is searched, whatever is declared by now."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import ExitStack

from vector_pipeline.core.embedding.choose import choose_model, choose_provider, declared_pooling, provider_block
from vector_pipeline.core.embedding.honesty import VectorSpaceLength, judge
from vector_pipeline.core.embedding.packing import Packer
from vector_pipeline.core.embedding.provider import EmbeddedBatch, EmbeddingProvider, limits_of
from vector_pipeline.core.embedding.requesting import Embedded, request_halving, request_with_patience
from vector_pipeline.core.embedding.tokens import counter_for
from vector_pipeline.core.errors import ConfigurationError, ProviderError, ProviderRefusedError
from vector_pipeline.core.search.query_cache import Outcome, QueryCache, QueryKey
from vector_pipeline.core.search.request import SearchRequestError
from vector_pipeline.core.settings import EmbeddingSettings
from vector_pipeline.core.spec import EmbeddingSpec, IndexSpec, LocalProviderSpec, OpenAIProviderSpec
from vector_pipeline.core.store.registry import RegisteredIndex, VectorSpace

_ATTEMPTS = 2
# Somebody waits for the answer: a provider that asks for a longer pause is down to them.
_LONGEST_PAUSE_SECONDS = 2.0


class ProvidersAsBuilt:
    """The providers that embed as the vectors of generations were embedded, kept open until `closing` is closed.

    Args:
        given: replaces them all.
        longest_seconds: for which one of them is waited in a request, where it declares more.
        around: what is put around each that is opened; it passes through what it doesn't change.
    """

    def __init__(
        self,
        spec: IndexSpec,
        environment: EmbeddingSettings,
        given: EmbeddingProvider | None,
        closing: ExitStack,
        longest_seconds: float | None = None,
        around: Callable[[EmbeddingProvider], EmbeddingProvider] = lambda provider: provider,
    ) -> None:
        self._longest_seconds = longest_seconds
        self._around = around
        self._declared = spec.embedding
        self._environment = environment
        self._given = given
        self._closing = closing
        self._opening = threading.Lock()
        self._open: dict[str, EmbeddingProvider] = {}
        self._last: tuple[IndexSpec, VectorSpace, EmbeddingProvider] | None = None

    def of(self, index: RegisteredIndex, accepted: IndexSpec) -> EmbeddingProvider:
        """The one for the index as seen by a generation, whose own declaration is `accepted`."""
        if self._given is not None:
            return self._given
        last = self.last_of(index, accepted)
        if last is not None:
            return last
        space = index.generation.space
        built = self._hurried(embedding_as_built(self._declared, accepted.embedding, self._environment, space))
        key = built.model_dump_json()
        with self._opening:
            if key not in self._open:
                provider = self._around(choose_provider(built, self._environment))
                self._closing.callback(provider.close)
                self._open[key] = provider
            self._last = accepted, space, self._open[key]
            return self._open[key]

    def last_of(self, index: RegisteredIndex, accepted: IndexSpec) -> EmbeddingProvider | None:
        """The one that `of` gave last, if it would give it again; opens none."""
        last = self._last
        is_same = last is not None and last[0] is accepted and last[1] == index.generation.space
        return last[2] if last is not None and is_same else None

    def _hurried(self, built: EmbeddingSpec) -> EmbeddingSpec:
        block = provider_block(built, self._environment)
        declared = getattr(block, "timeout_seconds", None)
        if self._longest_seconds is None or declared is None or declared <= self._longest_seconds:
            return built
        return built.model_copy(
            update={"provider": block.model_copy(update={"timeout_seconds": self._longest_seconds})}
        )


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


def query_vectors(
    cache: QueryCache, provider: EmbeddingProvider, index: RegisteredIndex, queries: Sequence[str]
) -> list[Outcome]:
    """The vector of each query, read-only; or what is wrong with that one query: a SearchRequestError where the
    provider refuses it or gives no honest vector for it, a ProviderError where it is down, or not the model that the
    index was made with.

    Raises:
        SearchRequestError: another model is configured than the index was made with.
    """
    space = index.generation.space
    if provider.model != space.model:
        raise SearchRequestError(
            f"index {index.name!r} was made with model {space.model!r}, but {provider.model!r} is configured; "
            "a query must be embedded with the model of the index"
        )
    length, embedded_by = VectorSpaceLength.of(space), _identity(provider)
    texts = [_as_sent(space, query) for query in queries]
    keys = [QueryKey.of(embedded_by, length, text) for text in texts]
    text_of = dict(zip(keys, texts, strict=True))

    def embed(missing: Sequence[QueryKey]) -> Mapping[QueryKey, Outcome]:
        asked = [text_of[key] for key in missing]
        if len(asked) == 1:
            return {missing[0]: _embed_one(provider, asked[0], length)}
        return dict(zip(missing, _embed_many(provider, asked, length), strict=True))

    found = cache.vectors(keys, embed)
    return [found[key] for key in keys]


def keeps_vector(cache: QueryCache, provider: EmbeddingProvider, index: RegisteredIndex, query: str) -> bool:
    """Whether the vector of a query is there without asking the provider."""
    space = index.generation.space
    return cache.keeps(QueryKey.of(_identity(provider), VectorSpaceLength.of(space), _as_sent(space, query)))


def _as_sent(space: VectorSpace, query: str) -> str:
    return space.query_prefix + query.replace("\0", "")


def _identity(provider: EmbeddingProvider) -> Hashable:
    """Equal for providers that give the same vectors."""
    for told in ("endpoint", "same_vectors"):
        identity = getattr(provider, told, None)
        if isinstance(identity, str):
            return identity
    return _Itself(provider)


class _Itself:
    """A provider that is like no other."""

    def __init__(self, provider: EmbeddingProvider) -> None:
        self._provider = provider

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and other._provider is self._provider

    def __hash__(self) -> int:
        return id(self._provider)


def _embed_one(provider: EmbeddingProvider, text: str, length: VectorSpaceLength) -> Outcome:
    try:
        batch = request_with_patience(provider, [text], _ATTEMPTS, _pause)
    except ProviderRefusedError as error:
        return _refused(str(error))
    return _judged(batch, length)[0]


def _embed_many(provider: EmbeddingProvider, texts: Sequence[str], length: VectorSpaceLength) -> list[Outcome]:
    """An outcome a text, in as few requests as the provider's limits allow."""
    outcomes: list[Outcome | None] = [None] * len(texts)
    packer = Packer[int](limits_of(provider), lambda place: texts[place], counter_for(provider.model))
    full = [batch for place in range(len(texts)) if (batch := packer.add(place))]
    down: ProviderError | None = None
    for places in [*full, packer.rest()]:
        if down is not None:
            break
        try:
            for outcome in request_halving(provider, [texts[place] for place in places], _ATTEMPTS, sleep=_pause):
                if isinstance(outcome, Embedded):
                    judged = _judged(outcome.batch, length)
                    for position, vector in zip(outcome.positions, judged, strict=True):
                        outcomes[places[position]] = vector
                else:
                    outcomes[places[outcome.position]] = _refused(outcome.message)
        except ProviderError as error:
            down = error
    return [outcome if outcome is not None else down or _refused("no answer") for outcome in outcomes]


def _pause(seconds: float) -> None:
    time.sleep(min(seconds, _LONGEST_PAUSE_SECONDS))


def _refused(message: str) -> SearchRequestError:
    return SearchRequestError(f"the provider refuses this query: {message}")


def _judged(batch: EmbeddedBatch, length: VectorSpaceLength) -> list[Outcome]:
    judgement = judge(batch, length)
    honest = iter(judgement.vectors)
    return [
        next(honest)
        if judgement.honest[row]
        else SearchRequestError(f"the query's vector {judgement.reasons[row]}; ask with other words")
        for row in range(len(judgement.honest))
    ]
