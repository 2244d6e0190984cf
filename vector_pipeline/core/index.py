"""One index, opened: what every shell (Dagster, command line, API) calls.

Connections are made when they are first needed and closed with the block of `open_index`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property, wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import psycopg
import pymysql
from psycopg import sql

from vector_pipeline.core import (
    deletion_guard,
    erasure,
    estimating,
    generations,
    model_drift,
    money,
    preparation,
    schema_changes,
    sync,
    verify,
)
from vector_pipeline.core.batch_submission import Submission
from vector_pipeline.core.batches import Batches, alone, batch_api
from vector_pipeline.core.building import build
from vector_pipeline.core.declaration import key_content_problems, static_problems
from vector_pipeline.core.detection.binlog import Binlog
from vector_pipeline.core.detection.detector import Detector
from vector_pipeline.core.detection.round import Budget, look
from vector_pipeline.core.detection.tail import Tail
from vector_pipeline.core.detection.updated_at import UpdatedAt
from vector_pipeline.core.embedding.choose import choose_provider
from vector_pipeline.core.embedding.filling import Filling, OnProgress
from vector_pipeline.core.embedding.metering import Meter, metered
from vector_pipeline.core.embedding.offline import OFFLINE_SHARE_OF_PRICE, BatchLimits
from vector_pipeline.core.embedding.prices import budget_problems
from vector_pipeline.core.embedding.provider import EmbeddingProvider
from vector_pipeline.core.embedding.tokens import counter_for
from vector_pipeline.core.errors import (
    ConfigurationError,
    DeclarationProblem,
    DishonestAnswerError,
    GenerationError,
    IndexSpecError,
    ModelDriftedError,
    NameTakenError,
    NotYetSyncedError,
    ProviderRefusedError,
    ProviderRejectsUsError,
    SourceKeyError,
    SourceValueError,
    VectorPipelineError,
)
from vector_pipeline.core.generations import GenerationWork
from vector_pipeline.core.quality import GoldenStanding, Quality, to_be_compared
from vector_pipeline.core.reports import (
    BatchReport,
    BuiltGeneration,
    DailyBudget,
    Detection,
    EmbeddingReport,
    ErasureReport,
    Estimate,
    GenerationReport,
    GenerationsReport,
    GuardedDeletions,
    IndexStatus,
    ModelDrift,
    ParityReport,
    Preview,
    QuarantineEntry,
    RangeDocuments,
    RangeState,
    SearchIndexReport,
    SubmittedBatches,
)
from vector_pipeline.core.schema_changes import SchemaChange
from vector_pipeline.core.search import SearchAnswer
from vector_pipeline.core.search.ann_recall import SAMPLES, SECONDS, RecallReport
from vector_pipeline.core.search.filters import Filter
from vector_pipeline.core.search.golden_run import Answer, GoldenComparison, GoldenReport
from vector_pipeline.core.search.query_cache import QueryCache, QueryCacheCounts
from vector_pipeline.core.search.query_vector import ProvidersAsBuilt
from vector_pipeline.core.search.request import FieldChoice, SearchRequest, SearchRequestError, SimilarRequest
from vector_pipeline.core.search.searcher import Searcher
from vector_pipeline.core.search_index import read_status, refresh_search_index, search_index_is_due
from vector_pipeline.core.settings import Settings
from vector_pipeline.core.source import connection as source_connection
from vector_pipeline.core.source.catalog import SourceTable
from vector_pipeline.core.source.key_ranges import KeyRange
from vector_pipeline.core.source.plan import ReadingPlan, plan_reading
from vector_pipeline.core.source.replicas import ReplicaWatch
from vector_pipeline.core.source.throttle import Throttle
from vector_pipeline.core.spec import ColumnReference, IndexSpec, LocalProviderSpec, OpenAIProviderSpec, SearchMode
from vector_pipeline.core.store import connection as store_connection
from vector_pipeline.core.store import (
    deletion_guards,
    detector_states,
    key_ranges,
    locks,
    offline_batches,
    quarantine,
    registry,
    schema,
    view,
)
from vector_pipeline.core.store import generations as store_generations
from vector_pipeline.core.store.ann_building import BuildProgress, Observer
from vector_pipeline.core.store.fingerprint import WantedSpace
from vector_pipeline.core.store.locks import Lock
from vector_pipeline.core.store.reading_ledger import ReadingLedger
from vector_pipeline.core.store.registry import RegisteredIndex

_log = logging.getLogger(__name__)

_P = ParamSpec("_P")
_T = TypeVar("_T")


def _in_our_words(
    method: Callable[Concatenate[VectorIndex, _P], _T],
) -> Callable[Concatenate[VectorIndex, _P], _T]:
    """A method whose database errors are told as errors of the core. Not for generators: they run later."""

    @wraps(method)
    def told(self: VectorIndex, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        with self._database_errors():
            return method(self, *args, **kwargs)

    return told


class VectorIndex:
    """One declared index over its source, its target and its provider."""

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
            raise NotYetSyncedError(
                f"index {self.spec.name!r} is not in PostgreSQL yet; run: vector-pipeline sync {self.spec.name}"
            )
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

    @_in_our_words
    def check_declaration(self) -> list[DeclarationProblem]:
        """All that is wrong with the declaration, against MySQL's catalogue and the provider; [] if it is right.

        Raises:
            SourceUnavailableError, TargetUnavailableError, ProviderUnavailableError: a server is down, so that the
                rest can't be told.
        """
        problems = static_problems(self.spec)
        if problems:
            return problems
        table, problems = preparation.look_at_table(self._source, self.spec, self._database)
        if table is not None and not problems:
            problems = key_content_problems(self._source, self.spec, table)
        try:
            self._check_against_target(table)
        except IndexSpecError as error:
            problems += error.problems
        except NameTakenError as error:
            problems.append(DeclarationProblem("name", error.problem, error.remedy))
        except ConfigurationError as error:
            problems.append(DeclarationProblem("embedding", str(error), "see .env.example"))
        except (ProviderRejectsUsError, ProviderRefusedError, DishonestAnswerError) as error:
            problems.append(DeclarationProblem("embedding", str(error), "correct embedding, or see .env.example"))
        return problems

    def _check_against_target(self, table: SourceTable | None) -> None:
        preparation.refuse_unknown_languages(self._target, self.spec, self._origin)
        index = registry.load(self._target, self.spec.name)
        if index is not None:
            without_a_price = list(budget_problems(self.spec.embedding, self._wanted.provider, self._wanted.model))
            if without_a_price:
                raise IndexSpecError(self._origin, without_a_price)
            records = store_generations.load_records(self._target, index)
            generations.refuse_another_key(index, records, self.spec, self._origin)
            if table is not None:
                schema_changes.refuse_schema_changes(self._target, index, self.spec, table, self._origin)
            change = generations.declared_change(self._target, index, self.spec, self._wanted)
            if change is not None and change.record is None:
                preparation.measure_dimensions(self.spec, self._wanted, self._provider, self._origin)
            return
        view.refuse_a_stranger(self._target, self.spec.name)
        registry.refuse_a_strangers_schema(self._target, self.spec.name)
        preparation.measure_dimensions(self.spec, self._wanted, self._provider, self._origin)

    @_in_our_words
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

    @_in_our_words
    def detect(self, budget: Budget | None = None, wait_seconds: float = 0.0) -> Detection:
        """Cuts new ranges and compares ranges with the source, within the budget (None: a whole round).

        Args:
            wait_seconds: how long to wait for a change where none is found, at most; for an index that reads the
                binary log.
        """
        index = self._ready()
        found = look(
            self._source,
            self._target,
            index,
            self._plan,
            self._detectors,
            self.spec.range_size,
            self._throttle,
            budget,
            Binlog(self._settings.source, wait_seconds) if self.spec.source.binlog and wait_seconds > 0 else None,
        )
        if index.generation.behind_since is not None and not found.ranges_dirty:
            store_generations.note_caught_up(self._target, index)
        deletion_guard.judge(
            self._source, self._target, index, self._plan, self.spec.deletion_guard, found.round_complete
        )
        return found

    @property
    def _detectors(self) -> list[Detector]:
        """All but the scrub, the cheapest first."""
        source = self.spec.source
        detectors: list[Detector] = [Tail()]
        if source.updated_at is not None:
            detectors.append(UpdatedAt(source.updated_at, source.updated_at_overlap_seconds))
        if source.binlog:
            detectors.append(Binlog(self._settings.source))
        return detectors

    @_in_our_words
    def ranges(self) -> list[RangeState]:
        """How each range stands, in key order."""
        return key_ranges.load_states(self._target, self._registered)

    @_in_our_words
    def due_ranges(self, states: Sequence[RangeState] | None = None) -> list[RangeState]:
        """The dirty ranges, and those with a quarantined text to be tried again, whose pause is over. Not those that
        lack nothing but what offline batches owe.

        Args:
            states: how all ranges stand, where that is known already.
        """
        retry = key_ranges.due_for_retry(self._target, self._registered)
        waiting = offline_batches.waiting_ranges(self._target, self._registered)
        now = datetime.now(UTC)
        return [
            state
            for state in (self.ranges() if states is None else states)
            if (state.documents_differ or (state.dirty and state.range_id not in waiting) or state.range_id in retry)
            and (state.next_attempt_at is None or state.next_attempt_at <= now)
        ]

    @_in_our_words
    def note_attempt(self, partitions: Sequence[str]) -> None:
        """Counts a try of these partitions; until they are in step each try lengthens the pause before the next."""
        key_ranges.note_attempt(self._target, self._registered, partitions)

    @_in_our_words
    def note_reported(self, digests: Mapping[str, str]) -> None:
        """Keeps which source digest of each partition Dagster has been told of."""
        key_ranges.note_reported(self._target, self._registered, digests)

    @contextmanager
    def hold_run(self, run_id: str) -> Iterator[None]:
        """Says that a run is alive for as long as the block, and this process, last."""
        with (
            self._database_errors(),
            self._open_target() as connection,
            locks.held(connection, Lock.RUN, locks.number_of(run_id)),
        ):
            yield

    @_in_our_words
    def is_run_alive(self, run_id: str) -> bool:
        """Whether a process is in `hold_run` for this run."""
        return locks.is_held(self._target, Lock.RUN, locks.number_of(run_id))

    def sync_documents(self, partitions: Sequence[str], generation: int | None = None) -> Iterator[RangeDocuments]:
        """Makes documents and passages equal to the rows, range by range, each in a transaction of its own.

        Args:
            generation: whose texts have to be made of every row; the served one's, if left out.

        Raises:
            MassDeletionHeldError: so many rows are gone that somebody has to approve it.
            SourceKeyError, SourceValueError: a range holds a row that can't be taken over. The other ranges are
                finished first, so that one bad row doesn't stop its whole window.
        """
        with self._database_errors():
            served = self._ready()
            deletion_guard.refuse_if_held(self._target, served, self.spec.deletion_guard)
            ranges = self._key_ranges(partitions)
            live, plan = self._reading()
            live.sort(key=lambda index: index.generation.number != (generation or served.generation.number))
        about_rows: SourceKeyError | SourceValueError | None = None
        for key_range in ranges:
            try:
                with self._database_errors():
                    self._throttle.wait_for_replicas()
                    facts = sync.sync_range(
                        self._source, self._target, served, live, plan, self.spec, key_range.range_id
                    )
            except (SourceKeyError, SourceValueError) as error:
                about_rows = about_rows or error
                continue
            with self._database_errors():
                self._throttle.spend(facts.rows_read)
            yield facts
        if about_rows is not None:
            raise about_rows

    @_in_our_words
    def embed(self, partitions: Sequence[str], on_progress: OnProgress | None = None) -> EmbeddingReport:
        """Embeds the texts of these partitions that have no vector in the served generation."""
        return self._fill(self._ready(), self._key_ranges(partitions), on_progress)

    def _fill(
        self, index: RegisteredIndex, ranges: Sequence[KeyRange], on_progress: OnProgress | None = None
    ) -> EmbeddingReport:
        threshold = self.spec.embedding.canary_similarity
        provider = self._provider_as_built(index)
        price = money.price_as_built(self._target, index, self.spec, self._wanted.model)
        with Meter(self._open_target, index, price, self.spec.embedding.budget_per_day) as meter:
            report = Filling(
                self._open_target,
                index,
                # Metered within: what is paid counts, also where its vectors are not given out.
                model_drift.watched(metered(provider, meter), self._open_target, index, threshold, provider),
                self._attempts,
                on_progress,
                patience_seconds=self._patience_seconds,
            ).run(ranges)
            if report.texts_embedded >= money.TEXTS_THAT_TELL_A_PACE:
                meter.note_pace(report.texts_embedded, report.seconds)
        if report.paused is not None:
            key_ranges.forgive(self._target, index, [key_range.partition for key_range in ranges])
        used = meter.used
        return replace(
            report,
            tokens=used.tokens,
            tokens_estimated=used.tokens_estimated,
            cost=None if used.cost is None else float(used.cost),
        )

    @_in_our_words
    def budget(self, *, counting: bool = True) -> DailyBudget:
        """How today's budget stands.

        Args:
            counting: counts the texts that wait while it pauses embedding.
        """
        return money.budget(self._target, self._registered, self.spec.embedding.budget_per_day, counting=counting)

    @_in_our_words
    def estimate(self, most_rows: int = estimating.MOST_ROWS) -> Estimate:
        """What it would take to embed what the declared index lacks. Asks no provider.

        Args:
            most_rows: of more rows than this that have to be read, only a share is.
        """
        served = registry.load(self._target, self.spec.name)
        if served is not None:
            self.detect()
        return estimating.estimate(
            self._source, self._target, self.spec, self._table, self._wanted, served, self._throttle, most_rows
        )

    @_in_our_words
    def submit_batches(self, limits: BatchLimits | None = None) -> SubmittedBatches:
        """Makes documents equal to the rows, and sends what the declared generation lacks to the provider's offline
        Batch API, at half the price. Runs leave those texts alone until their batch has ended.

        Raises:
            ConfigurationError: the provider has no such API.
            ProviderError: it refuses the batch or can't be reached.
            SourceKeyError, SourceValueError: a row can't be taken over; nothing is submitted.
        """
        served = self._ready()
        self.detect()
        building = registry.load_building(self._target, served.name) if self._begin_next_generation(served) else None
        index = building or served
        api = batch_api(self._provider_as_built(index))
        with alone(self._target, index):
            self._batches.recover()
            self._refuse_a_changed_model(index)
            states = key_ranges.load_states(self._target, index)
            differing = [state.partition for state in states if state.documents_differ]
            for _ in self.sync_documents(differing, index.generation.number) if differing else ():
                pass
            price = money.price_as_built(self._target, index, self.spec, self._wanted.model)
            budget = self.spec.embedding.budget_per_day
            submission = Submission(
                self._target,
                index,
                api,
                counter_for(index.generation.space.model),
                None if price is None else price * OFFLINE_SHARE_OF_PRICE,
                None if budget is None else Decimal(str(budget)),
                limits or BatchLimits(),
            )
            return submission.run(key_ranges.load_ranges(self._target, index))

    @_in_our_words
    def batches(self) -> list[BatchReport]:
        """The index's latest offline batches, as they stood when the provider was last asked."""
        return offline_batches.reports(self._target, self._registered)

    @_in_our_words
    def batches_need_work(self) -> bool:
        """Asks the provider whether there is something for `ingest_batches`."""
        return self._batches.need_work()

    @_in_our_words
    def ingest_batches(self) -> int:
        """Stores what offline batches that are over have brought. Returns how many batches that ended.

        Raises:
            ModelDriftedError: the model has changed under its name.
            ProviderError: it can't be asked; what came before is stored.
        """
        return self._batches.ingest()

    @_in_our_words
    def cancel_batches(self) -> int:
        """Has the provider end the batches under way. Returns how many they are."""
        return self._batches.cancel()

    @_in_our_words
    def forget_batches(self) -> int:
        """Gives back what batches owe without asking the provider, whatever becomes of them. Returns how many texts."""
        return self._batches.forget()

    @_in_our_words
    def texts_awaited(self) -> int:
        """How many texts offline batches owe the served generation."""
        return offline_batches.count_owed(self._target, self._registered)

    @_in_our_words
    def build_awaits_batches(self) -> bool:
        """Whether an offline batch owes vectors to the generation that is being built."""
        building = registry.load_building(self._target, self.spec.name)
        return building is not None and offline_batches.count_owed(self._target, building) > 0

    @property
    def _batches(self) -> Batches:
        return Batches(self._target, self._registered, self._provider_as_built, self._refuse_a_changed_model)

    def _refuse_a_changed_model(self, index: RegisteredIndex) -> None:
        provider, threshold = self._provider_as_built(index), self.spec.embedding.canary_similarity
        drift = model_drift.look_at_model(self._target, index, provider, threshold, self._attempts)
        if drift.drifted:
            raise ModelDriftedError(model_drift.describe(drift))

    @_in_our_words
    def look_at_model(self, *, accept: bool = False) -> ModelDrift:
        """Embeds the canary texts again: has the model of the index changed under its name?

        Where a generation is being built in another vector space, its model is looked at too, and the one that has
        changed is told of.

        Args:
            accept: takes the vectors of now as the measure.

        Raises:
            ProviderError: it is down, or gives no honest vectors.
        """
        look = model_drift.accept_model if accept else model_drift.look_at_model
        threshold = self.spec.embedding.canary_similarity
        return model_drift.first_drifted(
            look(self._target, index, self._provider_as_built(index), threshold, self._attempts)
            for index in self._live_spaces()
        )

    @_in_our_words
    def last_look_at_model(self) -> ModelDrift:
        """How the last look at the model went, without asking it."""
        threshold = self.spec.embedding.canary_similarity
        return model_drift.first_drifted(
            model_drift.report(self._target, index, threshold) for index in self._live_spaces()
        )

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

    @_in_our_words
    def refresh_search_index(
        self, on_build_progress: Callable[[BuildProgress], None] | None = None
    ) -> SearchIndexReport:
        """Retires vectors that serve nothing, removes generations that were kept for long enough, builds ANN indexes
        worth having, renews view and statistics."""
        served = self._ready()
        change = generations.declared_change(self._target, served, self.spec, self._wanted)
        return refresh_search_index(
            self._target, served, self._plan, self.spec, change, self._observer(on_build_progress)
        )

    def _observer(self, on_progress: Callable[[BuildProgress], None] | None) -> Observer | None:
        return None if on_progress is None else Observer(self._open_target, on_progress)

    @_in_our_words
    def search_index_is_due(self, states: Sequence[RangeState] | None = None) -> bool:
        """The first load is complete, or a tenth of the vectors has changed, or the last refresh is a day old."""
        return search_index_is_due(self._target, self._registered, self.ranges() if states is None else states)

    @_in_our_words
    def verify(
        self, *, mark_dirty: bool = False, on_progress: Callable[[int, int], None] | None = None
    ) -> ParityReport:
        """The proof of parity. With `mark_dirty` what differs is synced by whoever syncs next."""
        index = self._registered
        report = verify.verify(self._source, self._target, index, self._plan, on_progress, self._throttle)
        if mark_dirty and report.differences:
            verify.make_repairable(self._target, index, report)
        return report

    @_in_our_words
    def check_honesty(self) -> list[str]:
        """Keys of rows with a stored vector that is not an honest one."""
        return verify.dishonest_keys(self._target, self._registered)

    @_in_our_words
    def quarantine(self, *, building: bool = False) -> list[QuarantineEntry]:
        """What the provider refused, in key order."""
        return quarantine.entries(self._target, self._served_or_building(building))

    @_in_our_words
    def retry_quarantine(self, keys: Sequence[str] | None = None, *, building: bool = False) -> int:
        """Lets the next sync try the quarantined texts of these rows again, or all but the ignored. Returns how many.

        Raises:
            VectorPipelineError: one of the rows has no text in quarantine, or only ignored ones.
        """
        return quarantine.retry(self._target, self._served_or_building(building), keys)

    @_in_our_words
    def ignore_quarantined(self, keys: Sequence[str], *, building: bool = False) -> int:
        """Leaves the quarantined texts of these rows alone until they change. Returns how many that alters.

        Raises:
            VectorPipelineError: one of the rows has no text in quarantine.
        """
        return quarantine.ignore(self._target, self._served_or_building(building), keys)

    @_in_our_words
    def unignore_quarantined(self, keys: Sequence[str], *, building: bool = False) -> int:
        """Lets the next sync try the ignored texts of these rows again. Returns how many.

        Raises:
            VectorPipelineError: one of the rows has no text in quarantine.
        """
        return quarantine.unignore(self._target, self._served_or_building(building), keys)

    @_in_our_words
    def detector_problems(self) -> dict[str, str]:
        """By detector, what it may have missed and the scrub has still to catch up with."""
        return detector_states.problems(self._target, self._registered)

    @_in_our_words
    def guarded_deletions(self) -> GuardedDeletions:
        """How the guard against mass deletion stands."""
        index = self._registered
        state = deletion_guards.load(self._target, index)
        return deletion_guard.report(index, self.spec.deletion_guard, state)

    @_in_our_words
    def refuse_if_deletions_are_held(self) -> None:
        """Raises:
        MassDeletionHeldError: nothing is synced until somebody decides.
        """
        deletion_guard.refuse_if_held(self._target, self._registered, self.spec.deletion_guard)

    @_in_our_words
    def approve_deletions(self) -> int:
        """Lets documents of the ranges that differ now be deleted. Returns how many at most."""
        return deletion_guards.approve(self._target, self._registered)

    @_in_our_words
    def reject_deletions(self) -> None:
        """Keeps the documents that the source lacks: syncing goes on once the source has them again."""
        deletion_guards.reject(self._target, self._registered)

    @_in_our_words
    def status(self) -> IndexStatus:
        """How the index stands; all zeros before its first sync."""
        return read_status(self._target, registry.load(self._target, self.spec.name), self.spec.name)

    @_in_our_words
    def search(
        self,
        query: str,
        *,
        limit: int | None = None,
        threshold: float | None = None,
        field: FieldChoice | None = None,
        generation: int | None = None,
        filter: Filter | Mapping[str, Any] | None = None,
        mode: SearchMode | None = None,
        rerank: bool | None = None,
    ) -> SearchAnswer:
        """The best documents; what is left out comes from the declaration, then from the environment.

        Answers from what was built, also where the declaration asks for something else by now.

        Args:
            field: its name; `best`, or several names: each document by its best one of them; or weights by name: each
                by the weighted mean of the scores of those that it has.
            generation: the one to search, by its number; the served one if left out.
            filter: conditions on metadata, such as `{"category": "health"}`; see `core.search.filters`.
            mode: `vector`, `text` (by words; asks no provider) or `hybrid` (both).
            rerank: whether the declared reranker orders the hits; it does if left out.
        """
        return self.answer(SearchRequest(query, limit, threshold, field, generation, filter, mode, rerank))

    @_in_our_words
    def answer(self, request: SearchRequest) -> SearchAnswer:
        """The same for a request that was put together elsewhere."""
        return self._searcher.search(request)

    @_in_our_words
    def search_many(self, requests: Sequence[SearchRequest]) -> list[SearchAnswer | VectorPipelineError]:
        """An answer to each request, in their order, or what is wrong with it. All queries are embedded together, in as
        few requests to the provider as it allows."""
        return self._searcher.search_many(requests)

    @_in_our_words
    def similar(
        self,
        key: str,
        *,
        limit: int | None = None,
        threshold: float | None = None,
        field: FieldChoice | None = None,
        generation: int | None = None,
        filter: Filter | Mapping[str, Any] | None = None,
    ) -> SearchAnswer:
        """The documents nearest to the one with that key, by its own vectors: no provider is asked. It isn't among
        them; others with the same texts are. By each field its vector is compared with the others' by that field, for
        several passages their mean.

        Raises:
            SearchRequestError: there is no such document, or it has no vector.
        """
        return self._searcher.similar(SimilarRequest(key, limit, threshold, field, generation, filter))

    @property
    def query_cache(self) -> QueryCacheCounts:
        """How often vectors of queries were found, asked for and kept."""
        return self._query_cache.counts

    @cached_property
    def _searcher(self) -> Searcher:
        return Searcher(
            self.spec, self._settings.similarity_threshold, lambda: self._target, self._providers, self._query_cache
        )

    @cached_property
    def _providers(self) -> ProvidersAsBuilt:
        return ProvidersAsBuilt(self.spec, self._settings.embedding, self._given_provider, self._closing)

    def _provider_as_built(self, index: RegisteredIndex) -> EmbeddingProvider:
        """Embeds texts as the vectors of a generation were embedded, whatever is declared by now."""
        return self._providers.of(index, registry.accepted_declaration(self._target, index))

    @_in_our_words
    def measure_recall(self, *, samples: int = SAMPLES, seconds: float = SECONDS) -> RecallReport:
        """Compares what the ANN indexes find with exact search, on stored vectors. Asks no provider.

        Args:
            samples: vectors of a field, at most.
            seconds: the longest that it takes, about.
        """
        return self._quality.recall(self._registered, samples, seconds)

    @_in_our_words
    def ask_golden_set(self) -> GoldenReport:
        """Asks the declared golden set, and judges the answers.

        Raises:
            GoldenSetError: none is declared, or it can't be used.
            ProviderError: the provider is down.
        """
        return self._quality.golden(self._registered)

    @_in_our_words
    def compare_generations(self, before: int | None = None, after: int | None = None) -> GoldenComparison:
        """Asks the declared golden set of two generations.

        Args:
            before, after: their numbers; if left out, the served one and the one being built, or, where none is, the
                one that was served before and the served one.

        Raises:
            GenerationError: there are no two.
            GoldenSetError, ProviderError: as `ask_golden_set`.
        """
        return self._quality.compare(*to_be_compared(self._target, self._registered, before, after))

    @_in_our_words
    def golden_standing(self) -> GoldenStanding | None:
        """How the generation being built compares with the served one, or where none is, the served one with the one
        before it, by the last figures; None where there are none. Asks nothing."""
        if self.spec.search.golden_set is None:
            return None
        try:
            return self._quality.standing(*to_be_compared(self._target, self._registered, None, None))
        except GenerationError:
            return None

    @cached_property
    def _quality(self) -> Quality:
        return Quality(self.spec, self._folder, lambda: self._target, self._ask)

    def _ask(self, requests: Sequence[SearchRequest]) -> list[Answer]:
        answers: list[Answer] = []
        for answer in self._searcher.search_many(requests):
            if isinstance(answer, VectorPipelineError) and not isinstance(answer, SearchRequestError):
                raise answer
            answers.append(answer)
        return answers

    @_in_our_words
    def preview_documents(self, partitions: Sequence[str], limit: int = 5) -> Preview:
        """The documents of these partitions that were written last, texts cut short."""
        index = self._registered
        names, columns = index.generation.rendering.names, index.generation.columns
        range_ids = [key_range.range_id for key_range in self._key_ranges(partitions)]
        rows = self._target.execute(
            sql.SQL(
                "SELECT key, {} FROM {} WHERE range_id = ANY(%s) ORDER BY updated_at DESC, sort_key LIMIT %s"
            ).format(
                sql.SQL(", ").join(sql.SQL("left({}, 120)").format(sql.Identifier(column)) for column in columns),
                sql.Identifier(index.schema, "documents"),
            ),
            (range_ids, limit),
        ).fetchall()
        return Preview(("key", *names), tuple(rows))

    @_in_our_words
    def generations(self) -> GenerationsReport:
        """How the generations of the index stand."""
        return generations.report(self._target, self._registered, self.spec, self._wanted)

    @_in_our_words
    def asked_for(self) -> str | None:
        """What the declaration asks for that isn't served, None where it is. Counts nothing."""
        change = generations.declared_change(self._target, self._registered, self.spec, self._wanted)
        return None if change is None else str(change)

    @_in_our_words
    def served_generation(self) -> int:
        """The number of the generation that is served."""
        return self._registered.generation.number

    @_in_our_words
    def next_generation_work(self) -> GenerationWork:
        """What there is to do for the declaration to be what is served."""
        return generations.work(self._target, self._registered, self.spec, self._wanted)

    @_in_our_words
    def build_next_generation(
        self,
        on_progress: Callable[[], None] | None = None,
        on_build_progress: Callable[[BuildProgress], None] | None = None,
    ) -> BuiltGeneration:
        """Builds the generation that the declaration asks for beside the served one, and serves it once it is complete,
        its checks pass, and nobody has to approve it. Goes on where an earlier call stopped.

        Args:
            on_progress: called between windows of ranges.
            on_build_progress: called while its ANN indexes are built.

        Raises:
            IndexSpecError, ProviderError: the declared model can't be used; what is served stays.
            SourceKeyError, SourceValueError: a row can't be taken over; all other ranges are built.
        """
        served = self._ready()
        building = registry.load_building(self._target, served.name) if self._begin_next_generation(served) else None
        if building is None:
            return BuiltGeneration(None)
        return build(
            self._target,
            building,
            self.spec,
            self._reading,
            self.sync_documents,
            self._fill,
            on_progress or (lambda: None),
            self._observer(on_build_progress),
            self._quality.obstacles,
        )

    def _begin_next_generation(self, served: RegisteredIndex) -> bool:
        """Whether a generation is to be built; begins it where it isn't there yet."""
        change = generations.declared_change(self._target, served, self.spec, self._wanted)
        if change is None or change.rolled_back:
            store_generations.abandon_building(self._target, served)
            return False
        if change.record is None:
            records = store_generations.load_records(self._target, served)
            native = generations.known_dimensions(records, self._wanted)
            if native is None:
                native = preparation.measure_dimensions(self.spec, self._wanted, self._provider, self._origin)
            spec = preparation.with_provider(self.spec, self._settings.embedding)
            store_generations.begin(self._target, served, spec, self._wanted, native, records)
        else:
            store_generations.resume(self._target, served, change.record.number)
        return True

    @_in_our_words
    def approve_generation(self) -> bool:
        """Lets the generation that the declaration asks for be served once it is complete, also if somebody rolled it
        back before or its model refuses texts. Returns whether it is served from now on.

        Raises:
            GenerationError: the declared generation is served, or nobody has begun to build it.
        """
        served = self._ready()
        change = generations.declared_change(self._target, served, self.spec, self._wanted)
        if change is None or change.record is None:
            raise GenerationError(
                f"index {self.spec.name!r} has no generation to be switched to: "
                + ("what is declared is served" if change is None else "the declared one is not begun yet; sync first")
            )
        store_generations.resume(self._target, served, change.record.number)
        store_generations.approve(self._target, served, change.record.number)
        building = registry.load_building(self._target, served.name)
        return (
            building is not None and generations.switch_if_ready(self._target, building, self._reading, self.spec) == []
        )

    @_in_our_words
    def roll_back(self, number: int | None = None) -> GenerationReport:
        """Serves the generation that was served before (or that of the number) with the next search.

        Raises:
            GenerationError: none is kept.
        """
        generations.roll_back(self._target, self._ready(), self._reading()[1], number)
        return self.generations().served

    @_in_our_words
    def accept_schema(self) -> list[SchemaChange]:
        """Takes the source's columns as they are now for those of the index. Returns what had changed.

        Rows that read differently by it are dirty, and synced as others are.

        Raises:
            IndexSpecError: a column of the key has changed: the index has to be built anew.
        """
        return schema_changes.accept_schema(self._target, self._registered, self.spec, self._table, self._origin)

    @_in_our_words
    def erase(self, keys: Sequence[str]) -> ErasureReport:
        """Removes rows that MySQL no longer has from PostgreSQL at once, with every vector that no row needs any more.

        Raises:
            ErasureError: a row is still in MySQL, or what is given is no key; nothing is erased.
        """
        return erasure.erase(self._source, self._target, self._registered, self._plan, keys)

    @_in_our_words
    def drop(self) -> None:
        """Removes the index, its vectors included, from PostgreSQL. What is under way at an offline Batch API is
        cancelled if it can be."""
        index = self._registered
        with suppress(VectorPipelineError):
            self._batches.cancel()
        registry.drop(self._target, index, view.view_name(index))
        self._is_prepared = False


@contextmanager
def open_index(
    spec: IndexSpec,
    settings: Settings,
    *,
    origin: str = "declaration",
    provider: EmbeddingProvider | None = None,
    folder: Path | None = None,
    query_cache: QueryCache | None = None,
) -> Iterator[VectorIndex]:
    """Opens an index.

    Args:
        origin: is named in errors.
        provider: replaces the one that the declaration chooses.
        folder: where the declaration stands; files that it names are looked for there first.
        query_cache: keeps the vectors of queries, for several indexes; one of its own as the settings say, if left out.
    """
    with ExitStack() as closing:
        yield VectorIndex(spec, settings, origin, provider, closing, folder, query_cache)
