"""Keeping an index true to its table: finding ranges that differ, their documents, their vectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

from vector_pipeline.core import (
    deletion_guard,
    model_drift,
    money,
    sync,
)
from vector_pipeline.core.detection.binlog import Binlog
from vector_pipeline.core.detection.detector import Detector
from vector_pipeline.core.detection.round import Budget, look
from vector_pipeline.core.detection.tail import Tail
from vector_pipeline.core.detection.updated_at import UpdatedAt
from vector_pipeline.core.embedding.filling import Filling, OnProgress
from vector_pipeline.core.embedding.metering import Meter, metered
from vector_pipeline.core.errors import (
    SourceKeyError,
    SourceValueError,
)
from vector_pipeline.core.index.opened import in_our_words
from vector_pipeline.core.index.watched import WatchedIndex
from vector_pipeline.core.reports import (
    Detection,
    EmbeddingReport,
    RangeDocuments,
    RangeState,
)
from vector_pipeline.core.source.key_ranges import KeyRange
from vector_pipeline.core.store import generations as store_generations
from vector_pipeline.core.store import (
    key_ranges,
    locks,
    offline_batches,
    open_runs,
)
from vector_pipeline.core.store.locks import Lock
from vector_pipeline.core.store.registry import RegisteredIndex


class SyncedIndex(WatchedIndex):
    """The way of the data."""

    @in_our_words
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

    @in_our_words
    def ranges(self) -> list[RangeState]:
        """How each range stands, in key order."""
        return key_ranges.load_states(self._target, self._registered)

    @in_our_words
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

    @in_our_words
    def note_attempt(self, partitions: Sequence[str]) -> None:
        """Counts a try of these partitions; until they are in step each try lengthens the pause before the next."""
        key_ranges.note_attempt(self._target, self._registered, partitions)

    @in_our_words
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

    @in_our_words
    def is_run_alive(self, run_id: str) -> bool:
        """Whether a process is in `hold_run` for this run."""
        return locks.is_held(self._target, Lock.RUN, locks.number_of(run_id))

    @in_our_words
    def begin_round(self) -> datetime:
        """The moment at which a run begins to look for work; see `end_rounds`."""
        self._ready()
        return open_runs.now(self._target)

    @in_our_words
    def end_rounds(self, job: str, run_id: str, round_began: datetime) -> bool:
        """Whether the round was the run's last: nobody has joined the run since it began, and nobody can any more."""
        return open_runs.close_unless_asked(self._target, job, run_id, round_began)

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

    @in_our_words
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
