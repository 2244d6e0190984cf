"""One index, opened: its connections, its declaration bound to its table, and how it is registered.

Connections are made when they are first needed and closed with the block of `open_index`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property, wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import psycopg
import pymysql

from vector_pipeline.core import (
    generations,
    preparation,
)
from vector_pipeline.core.embedding.choose import choose_provider
from vector_pipeline.core.embedding.provider import EmbeddingProvider
from vector_pipeline.core.errors import (
    GenerationError,
    NotYetSyncedError,
)
from vector_pipeline.core.search.query_cache import QueryCache
from vector_pipeline.core.search.query_vector import ProvidersAsBuilt
from vector_pipeline.core.settings import Settings
from vector_pipeline.core.source import connection as source_connection
from vector_pipeline.core.source.catalog import SourceTable
from vector_pipeline.core.source.key_ranges import KeyRange
from vector_pipeline.core.source.plan import ReadingPlan, plan_reading
from vector_pipeline.core.source.replicas import ReplicaWatch
from vector_pipeline.core.source.throttle import Throttle
from vector_pipeline.core.spec import ColumnReference, IndexSpec, LocalProviderSpec, OpenAIProviderSpec
from vector_pipeline.core.store import connection as store_connection
from vector_pipeline.core.store import generations as store_generations
from vector_pipeline.core.store import (
    key_ranges,
    registry,
    schema,
    view,
)
from vector_pipeline.core.store.ann_building import BuildProgress, Observer
from vector_pipeline.core.store.fingerprint import WantedSpace
from vector_pipeline.core.store.reading_ledger import ReadingLedger
from vector_pipeline.core.store.registry import RegisteredIndex

_log = logging.getLogger(__name__)

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Opened = TypeVar("_Opened", bound="OpenedIndex")


def in_our_words(
    method: Callable[Concatenate[_Opened, _P], _T],
) -> Callable[Concatenate[_Opened, _P], _T]:
    """A method whose database errors are told as errors of the core. Not for generators: they run later."""

    @wraps(method)
    def told(self: _Opened, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        with self._database_errors():
            return method(self, *args, **kwargs)

    return told


class OpenedIndex:
    """What all that is done with an index needs."""

    def __init__(
        self,
        spec: IndexSpec,
        settings: Settings,
        origin: str,
        provider: EmbeddingProvider | None,
        closing: ExitStack,
        folder: Path | None = None,
        query_cache: QueryCache | None = None,
    ) -> None:
        self.spec = spec
        self._folder = folder
        self._settings = settings
        self._origin = origin
        self._given_provider = provider
        self._closing = closing
        self._query_cache = query_cache or QueryCache(settings.query_cache)
        self._is_prepared = False
        self._planned: tuple[object, ReadingPlan] | None = None

    @cached_property
    def _source(self) -> source_connection.Connection:
        connection = source_connection.connect(self._settings.source, self.spec.source.statement_seconds)
        self._closing.callback(source_connection.close, connection)
        return connection

    @cached_property
    def _throttle(self) -> Throttle:
        declared = self.spec.source.throttle
        replicas = ReplicaWatch(self._settings.source, self._source, declared.replicas)
        self._closing.callback(replicas.close)
        return Throttle(declared, replicas, ReadingLedger(lambda: self._target, self.spec.name))

    @cached_property
    def _target(self) -> psycopg.Connection:
        connection = self._closing.enter_context(self._open_target())
        # Whatever is asked of an index first, a search as well, is asked of tables as this version knows them.
        schema.update_registry(connection)
        return connection

    @contextmanager
    def _open_target(self) -> Iterator[psycopg.Connection]:
        connection = store_connection.connect(self._settings.target, f"vector-pipeline {self.spec.name}"[:63])
        try:
            yield connection
        finally:
            connection.close()

    @cached_property
    def _provider(self) -> EmbeddingProvider:
        if self._given_provider is not None:
            return self._given_provider
        provider = choose_provider(self.spec.embedding, self._settings.embedding)
        self._closing.callback(provider.close)
        return provider

    @property
    def _attempts(self) -> int:
        block = self.spec.embedding.provider
        if block is None or isinstance(block, LocalProviderSpec):
            return OpenAIProviderSpec().attempts
        return block.attempts

    @property
    def _patience_seconds(self) -> float:
        block = self.spec.embedding.provider
        return (block if isinstance(block, OpenAIProviderSpec) else OpenAIProviderSpec()).patience_seconds

    @property
    def _database(self) -> str:
        return self.spec.source.database or self._settings.source.database

    @cached_property
    def _table(self) -> SourceTable:
        return preparation.right_table(self._source, self.spec, self._database, self._origin)

    @property
    def _plan(self) -> ReadingPlan:
        """How rows are read for the generations that follow the source."""
        return self._reading()[1]

    def _reading(self) -> tuple[list[RegisteredIndex], ReadingPlan]:
        """The index by each generation that follows the source, and how rows are read for them."""
        index = self._registered
        following = generations.following(store_generations.load_records(self._target, index), self._table)
        texts = {column: source for record in following for column, source in record.sources.items()}
        metadata = self._metadata(index)
        if self._planned is None or self._planned[0] != (texts, metadata):
            self._planned = (texts, metadata), plan_reading(self.spec, self._table, texts, metadata)
        found = [registry.load_generation(self._target, index, record.number) for record in following]
        return [generation for generation in found if generation is not None], self._planned[1]

    def _metadata(self, served: RegisteredIndex) -> dict[str, ColumnReference]:
        """The declared metadata, and those that are to be texts of the next generation: until it is served, hits go on
        to carry them."""
        declared = self.spec.document
        if set(declared.text) <= set(served.generation.rendering.names):
            return dict(declared.metadata)
        accepted = registry.accepted_declaration(self._target, served).document
        return declared.metadata | {name: ref for name, ref in accepted.metadata.items() if name in declared.text}

    @cached_property
    def _wanted(self) -> WantedSpace:
        return preparation.wanted_space(self.spec, self._settings.embedding, self._given_provider)

    @property
    def _registered(self) -> RegisteredIndex:
        """The index by the generation that is served at this moment, without creating anything."""
        registered = registry.load(self._target, self.spec.name)
        if registered is None:
            raise NotYetSyncedError.of(self.spec.name)
        return registered

    def _served_or_building(self, building: bool) -> RegisteredIndex:
        """The index by the generation that is served, or by the one that is being built.

        Raises:
            GenerationError: none is being built.
        """
        if not building:
            return self._registered
        found = registry.load_building(self._target, self.spec.name)
        if found is None:
            raise GenerationError(f"no generation of index {self.spec.name!r} is being built")
        return found

    @contextmanager
    def _database_errors(self) -> Iterator[None]:
        """Errors of both drivers as ours: without secrets, without contents of rows, and with the remedy."""
        try:
            yield
        except pymysql.MySQLError as error:
            asked = f"to read {self._database}.{self.spec.source.table}"
            limit = self.spec.source.statement_seconds
            raise source_connection.source_error(self._settings.source, error, asked, limit) from None
        except psycopg.Error as error:
            raise store_connection.target_error(self._settings.target, error) from None

    @in_our_words
    def prepare(self) -> None:
        """Registers the index and creates its tables where they are missing; does nothing where they are right.

        Raises:
            IndexSpecError: the declaration is wrong; every field and its remedy are named.
        """
        if not self._is_prepared:
            index = preparation.prepare(
                self._source,
                self._target,
                self.spec,
                self._table,
                self._wanted,
                lambda: self._provider,
                self._settings.embedding,
                self._origin,
            )
            view.create_view(self._target, index, self._plan, registry.accepted_unique_on(self._target, index))
            self._is_prepared = True

    def _ready(self) -> RegisteredIndex:
        self.prepare()
        return self._registered

    def _live_spaces(self) -> list[RegisteredIndex]:
        """The index as served, and, if it is in a vector space of its own, as it is being built."""
        served, building = self._registered, registry.load_building(self._target, self.spec.name)
        if building is None or building.generation.space.number == served.generation.space.number:
            return [served]
        return [served, building]

    def _key_ranges(self, partitions: Sequence[str]) -> list[KeyRange]:
        """The ranges of these partitions. Names left over from an index that was removed are passed over.

        Raises:
            NotYetSyncedError: none of them is a range of this index.
        """
        wanted = set(partitions)
        ranges = [r for r in key_ranges.load_ranges(self._target, self._registered) if r.partition in wanted]
        unknown = sorted(wanted - {key_range.partition for key_range in ranges})
        if unknown and not ranges:
            raise NotYetSyncedError(
                f"index {self.spec.name!r} has no key range {', '.join(unknown)}; "
                "the index was made anew since the partition was added; choose another partition"
            )
        if unknown:
            _log.warning("index %s has no key range %s any more: passed over", self.spec.name, ", ".join(unknown))
        return ranges

    def _observer(self, on_progress: Callable[[BuildProgress], None] | None) -> Observer | None:
        return None if on_progress is None else Observer(self._open_target, on_progress)

    @cached_property
    def _providers(self) -> ProvidersAsBuilt:
        return ProvidersAsBuilt(self.spec, self._settings.embedding, self._given_provider, self._closing)

    def _provider_as_built(self, index: RegisteredIndex) -> EmbeddingProvider:
        """Embeds texts as the vectors of a generation were embedded, whatever is declared by now."""
        return self._providers.of(index, registry.accepted_declaration(self._target, index))
