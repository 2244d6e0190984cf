"""What all routes and tools of a process share: the declared indexes, and the ways to their databases and models.

Everything here blocks and may be called from any thread; routes go through `threads.run_blocking`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TypeVar, cast

import psycopg
import pymysql

from vector_pipeline.core.embedding.provider import EmbeddingProvider
from vector_pipeline.core.errors import SearchRequestError, VectorPipelineError
from vector_pipeline.core.index import VectorIndex, open_index
from vector_pipeline.core.search import SearchAnswer
from vector_pipeline.core.search.explaining import recorded_statements
from vector_pipeline.core.search.many import (
    Answering,
    EveryIndexFailedError,
    IndexFailure,
    ManyAnswer,
    cache_for,
    search_across,
)
from vector_pipeline.core.search.query_cache import QueryCache
from vector_pipeline.core.search.query_vector import ProvidersAsBuilt
from vector_pipeline.core.search.request import SearchRequest, SimilarRequest
from vector_pipeline.core.search.searcher import Searcher
from vector_pipeline.core.search.served import read_served
from vector_pipeline.core.settings import Settings, TargetSettings, read_search_target
from vector_pipeline.core.source import connection as source_connection
from vector_pipeline.core.spec import IndexSpec, SearchMode
from vector_pipeline.core.store import connection as store_connection
from vector_pipeline.core.store import declared_indexes
from vector_pipeline.core.store.declared_indexes import StoredDeclaration
from vector_pipeline.declarations import Declaration, UnknownIndexError, over_rows
from vector_pipeline.declared_at_run_time import RegistryCache, cache_path
from vector_pipeline.serving.dagster_client import DagsterClient
from vector_pipeline.serving.declared import DeclaredIndexes, DeclaredInFiles
from vector_pipeline.serving.errors import told
from vector_pipeline.serving.observing.metrics import CacheFigures
from vector_pipeline.serving.observing.providers import observed
from vector_pipeline.serving.observing.searches import observed_search
from vector_pipeline.serving.observing.tracing import traced_statements
from vector_pipeline.serving.settings import DEFAULT_INDEX, ServingSettings
from vector_pipeline.serving.target_pool import TargetPool
from vector_pipeline.serving.threads import WORD_THREADS, Kind, are_busy
from vector_pipeline.serving.unanswered import UnansweredQueries

OTHER_CONNECTIONS = 8
"""To PostgreSQL, of a process, for all but searches."""
# A query is embedded in some 100 ms. Two requests, and a pause between them, end before nobody waits any more
# (`threads`), so that a provider that hangs gives back its threads.
_PROVIDER_SECONDS = 12.0

_Outcome = TypeVar("_Outcome")


@dataclass(frozen=True)
class SearchWatch:
    """What is seen of searches, by index: the statements that are run, with placeholders for values, and each index's
    own answer. Several threads may write to it.

    Attributes:
        explaining: statements are of interest; keeping them takes a little of the search's time.
    """

    explaining: bool = False
    statements: dict[str, list[str]] = field(default_factory=dict)
    answers: dict[str, SearchAnswer] = field(default_factory=dict)


class Deployment:
    """One a process.

    Args:
        in_files: gives the indexes that files declare; those of the package, if left out.
    """

    def __init__(
        self,
        settings: Settings,
        serving: ServingSettings | None = None,
        in_files: Callable[[], Sequence[Declaration]] | None = None,
    ) -> None:
        self.settings = settings
        self.serving = serving or ServingSettings()
        self.query_cache = QueryCache(cache_for(settings.query_cache, 1))
        self._cache_figures = CacheFigures()
        self._declared = DeclaredIndexes(in_files or DeclaredInFiles(), self._stored_declarations)
        self._stored: Sequence[StoredDeclaration] | None = None
        self._closing = ExitStack()
        self._lock = threading.Lock()
        self._providers: dict[str, ProvidersAsBuilt] = {}
        self._searchers: dict[str, tuple[IndexSpec, Searcher]] = {}
        self._borrowed = threading.local()
        waiting = self.serving.waiting_seconds
        self._search_target = read_search_target(settings.target)
        self.search_pool = TargetPool(
            self._search_target,
            "vector-pipeline search",
            self.serving.search_threads + WORD_THREADS,
            waiting,
        )
        self.dagster = DagsterClient(self.serving.dagster_url, public_url=self.serving.dagster_public_url)
        self.pool = TargetPool(settings.target, "vector-pipeline serve", OTHER_CONNECTIONS, waiting)
        self.unanswered = UnansweredQueries(timedelta(days=self.serving.unanswered_days), self.target)

    def close(self) -> None:
        """Closes connections and providers."""
        self.unanswered.close()
        self.search_pool.close()
        self.pool.close()
        self.dagster.close()
        self._closing.close()

    def declarations(self) -> list[Declaration]:
        """All declared indexes, by name, as they were a second ago or later; those too that are wrong, which their
        `problems` tell."""
        return list(self._declared())

    def look_at_declarations_again(self) -> None:
        """Somebody has just declared or removed an index: this process knows of it when this returns, others within a
        second."""
        self._declared.look_again()

    def _stored_declarations(self) -> Sequence[StoredDeclaration]:
        """What was declared at run time; while PostgreSQL is down, what is known of it."""
        cache = RegistryCache(cache_path(), self.settings.target)
        try:
            with self.target() as connection:
                self._stored = declared_indexes.read_all(connection)
            cache.keep(self._stored)
        except VectorPipelineError as error:
            if self._stored is None:
                self._stored = cache.read_instead(error)
        return self._stored

    def declaration(self, name: str) -> Declaration:
        """The declaration of one index.

        Raises:
            UnknownIndexError: none has that name.
        """
        if name not in {known.spec.name for known in self._declared()}:
            self._declared.look_again()  # another process of this deployment may have declared it just now
        for declaration in self._declared():
            if declaration.spec.name == name:
                return declaration
        raise UnknownIndexError(f"no index {name!r} is declared")

    def contract_index(self) -> Declaration:
        """The index of requests that name none.

        Raises:
            UnknownIndexError: there is no telling which.
        """
        if self.serving.contract_index is not None:
            return self.declaration(self.serving.contract_index)
        declarations = over_rows(self.declarations())
        return declarations[0] if len(declarations) == 1 else self.declaration(DEFAULT_INDEX)

    @contextmanager
    def target(self) -> Iterator[psycopg.Connection]:
        """A connection to PostgreSQL in autocommit mode that is nobody else's meanwhile. Errors of the driver are told
        as the core's.

        Raises:
            TargetUnavailableError: there is none to be had.
        """
        with self._in_our_words(self.settings.target), self.pool.connection() as connection:
            yield connection

    @contextmanager
    def source(self, index: str) -> Iterator[source_connection.Connection]:
        """A read-only session at the index's MySQL with its time limit, to be closed with the block. Errors of the
        driver are told as the core's.

        Raises:
            SourceUnavailableError: MySQL can't be reached.
        """
        declared = self.declaration(index).spec.source
        asked = f"to read {declared.database or self.settings.source.database}.{declared.table}"
        with self.source_session(declared.statement_seconds, asked) as connection:
            yield connection

    @contextmanager
    def source_session(self, statement_seconds: float, asked: str) -> Iterator[source_connection.Connection]:
        """The same for a table that no index is over.

        Args:
            statement_seconds: MySQL ends a statement that takes longer.
            asked: what MySQL is to do, for errors.
        """
        with ExitStack() as closing:
            try:
                connection = source_connection.connect(self.settings.source, statement_seconds)
                closing.callback(source_connection.close, connection)
                yield connection
            except pymysql.MySQLError as error:
                raise source_connection.source_error(self.settings.source, error, asked, statement_seconds) from None

    def kind_of(self, name: str | None, mode: SearchMode | None, query: str) -> Kind:
        """The threads for a search: those that ask no provider need not wait behind those that do. Never blocks; what
        nobody has looked at yet counts among those that do.

        Args:
            name: of the index; None for the one of requests that name none.
        """
        known = [one.spec for one in self._declared.known if name is None or one.spec.name == name]
        spec = known[0] if len(known) == 1 else None
        if mode is None and spec is not None:
            mode = spec.search.mode
        if mode == "text":
            return "words"
        return "words" if spec is not None and are_busy("search") and self._knows_vector_of(spec, query) else "search"

    def _knows_vector_of(self, spec: IndexSpec, query: str) -> bool:
        with self._lock:
            known, searcher = self._searchers.get(spec.name, (None, None))
        return searcher is not None and known == spec and searcher.knows_vector_of(query)

    def search(self, name: str, request: SearchRequest, watch: SearchWatch | None = None) -> SearchAnswer:
        """The documents of an index that fit the request best. See `Searcher.search`.

        Args:
            watch: sees what goes on.

        Raises:
            UnknownIndexError, SearchRequestError, NotYetSyncedError, ProviderError, TargetUnavailableError
        """
        answer = self._answer(name, request, watch)
        self.unanswered.note(answer)
        return answer

    def search_many(self, name: str, requests: Sequence[SearchRequest]) -> list[SearchAnswer | VectorPipelineError]:
        """An answer to each request, or what is wrong with it. See `Searcher.search_many`; raises as `search`."""
        queries = [request.query for request in requests]
        answers = self._searched(name, "batch", queries, lambda searcher: searcher.search_many(requests))
        for answer in answers:
            if isinstance(answer, SearchAnswer):
                self.unanswered.note(answer)
        return answers

    def similar(self, name: str, request: SimilarRequest, watch: SearchWatch | None = None) -> SearchAnswer:
        """The documents nearest to one that is there. See `Searcher.similar`; takes and raises what `search` does."""
        return self._searched(name, "similar", [], lambda searcher: [searcher.similar(request)], watch)[0]

    def search_across(
        self, names: Sequence[str], request: SearchRequest, watch: SearchWatch | None = None
    ) -> ManyAnswer:
        """The best hits of several indexes. What is wrong with one of them is told in the words of the API.

        Args:
            watch: sees what goes on.

        Raises:
            UnknownIndexError: one isn't declared.
            VectorPipelineError: none has answered; what was wrong with one of them.
        """
        known = [self.declaration(name).spec.name for name in dict.fromkeys(names)]
        answers: dict[str, SearchAnswer] = {}
        errors: dict[str, VectorPipelineError] = {}

        def asked(name: str) -> Answering:
            def ask(request: SearchRequest) -> SearchAnswer:
                try:
                    answers[name] = self._answer(name, request, watch)
                except VectorPipelineError as error:
                    errors[name] = error
                    raise
                return answers[name]

            return ask

        try:
            found = search_across({name: asked(name) for name in known}, request)
        except EveryIndexFailedError:
            if not errors:
                raise
            raise min(errors.values(), key=lambda error: isinstance(error, SearchRequestError)) from None
        if not found.hits and not found.failures:
            for answer in answers.values():
                self.unanswered.note(answer)
        return replace(found, failures=tuple(IndexFailure(name, told(error)) for name, error in errors.items()))

    @contextmanager
    def opened(self, name: str) -> Iterator[VectorIndex]:
        """The index with connections of its own, for what is no search.

        Raises:
            UnknownIndexError: none has that name.
            IndexSpecError: its declaration is wrong.
        """
        declaration = self.declaration(name)
        declaration.refuse_if_wrong()
        with open_index(
            declaration.spec,
            self.settings,
            origin=declaration.origin,
            folder=declaration.folder,
            query_cache=self.query_cache,
        ) as opened:
            yield opened

    def provider_of(self, name: str) -> EmbeddingProvider:
        """The provider that embeds queries of an index; it stays this deployment's.

        Raises:
            UnknownIndexError, NotYetSyncedError, ConfigurationError, TargetUnavailableError
        """
        declaration = self.declaration(name)
        with self.target() as connection:
            served = read_served(connection, name)
        return self._providers_of(declaration).of(served.index, served.accepted)

    def _answer(self, name: str, request: SearchRequest, watch: SearchWatch | None) -> SearchAnswer:
        mode, queries = request.mode, [request.query]
        [answer] = self._searched(name, mode, queries, lambda searcher: [searcher.search(request)], watch)
        if watch is not None:
            watch.answers[name] = answer
        return answer

    def _searched(
        self,
        name: str,
        mode: str | None,
        queries: Sequence[str],
        ask: Callable[[Searcher], list[_Outcome]],
        watch: SearchWatch | None = None,
    ) -> list[_Outcome]:
        declaration = self.declaration(name)
        declaration.refuse_if_wrong()
        with ExitStack() as closing:
            search = closing.enter_context(observed_search(name, mode or declaration.spec.search.mode, queries))
            closing.enter_context(self._in_our_words(self._search_target))
            with search.waiting():
                connection = closing.enter_context(self.search_pool.connection())
            closing.enter_context(traced_statements(connection))
            if watch is not None and watch.explaining:
                watch.statements[name] = closing.enter_context(recorded_statements(connection))
            self._borrowed.connection = connection
            outcomes = ask(self._searcher_of(declaration))
            search.note(outcomes)
            self._cache_figures.note(self.query_cache.counts)
            return outcomes

    def _searcher_of(self, declaration: Declaration) -> Searcher:
        """The one of all threads, which searches on what the calling one has borrowed: it remembers what saves the next
        search a round trip."""
        spec = declaration.spec
        with self._lock:
            known, searcher = self._searchers.get(spec.name, (None, None))
        if searcher is None or known != spec:
            searcher = Searcher(
                spec,
                self.settings.similarity_threshold,
                lambda: cast("psycopg.Connection", self._borrowed.connection),
                self._providers_of(declaration),
                self.query_cache,
            )
            with self._lock:
                self._searchers[spec.name] = spec, searcher
        return searcher

    def _providers_of(self, declaration: Declaration) -> ProvidersAsBuilt:
        """Those of all indexes with the same block `embedding`. They stay open until the end: another thread may be
        using one whose declaration has just changed."""
        key = declaration.spec.embedding.model_dump_json()
        with self._lock:
            if key not in self._providers:
                self._providers[key] = ProvidersAsBuilt(
                    declaration.spec, self.settings.embedding, None, self._closing, _PROVIDER_SECONDS, observed
                )
            return self._providers[key]

    @contextmanager
    def _in_our_words(self, target: TargetSettings) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise store_connection.target_error(target, error) from None
