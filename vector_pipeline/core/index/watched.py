"""How an index stands: its proof of parity, its model, its detectors, in numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from psycopg import sql

from vector_pipeline.core import (
    model_drift,
    money,
    verify,
)
from vector_pipeline.core.errors import (
    ModelDriftedError,
)
from vector_pipeline.core.index.opened import OpenedIndex, in_our_words
from vector_pipeline.core.reports import (
    IndexStatus,
    ModelDrift,
    ParityReport,
    Preview,
)
from vector_pipeline.core.search_index import read_status
from vector_pipeline.core.source.keys import is_whole_number
from vector_pipeline.core.store import (
    contents,
    detector_states,
    registry,
    unanswered_queries,
)
from vector_pipeline.core.store.registry import RegisteredIndex
from vector_pipeline.core.store.unanswered_queries import UnansweredQuery


class WatchedIndex(OpenedIndex):
    """What checks and people ask of it."""

    def _refuse_a_changed_model(self, index: RegisteredIndex) -> None:
        provider, threshold = self._provider_as_built(index), self.spec.embedding.canary_similarity
        drift = model_drift.look_at_model(self._target, index, provider, threshold, self._attempts)
        if drift.drifted:
            raise ModelDriftedError(model_drift.describe(drift))

    @in_our_words
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

    @in_our_words
    def last_look_at_model(self) -> ModelDrift:
        """How the last look at the model went, without asking it."""
        threshold = self.spec.embedding.canary_similarity
        return model_drift.first_drifted(
            model_drift.report(self._target, index, threshold) for index in self._live_spaces()
        )

    @in_our_words
    def verify(
        self, *, mark_dirty: bool = False, on_progress: Callable[[int, int], None] | None = None
    ) -> ParityReport:
        """The proof of parity. With `mark_dirty` what differs is synced by whoever syncs next."""
        index = self._registered
        report = verify.verify(self._source, self._target, index, self._plan, on_progress, self._throttle)
        if mark_dirty and report.differences:
            verify.make_repairable(self._target, index, report)
        return report

    @in_our_words
    def check_honesty(self) -> list[str]:
        """Keys of rows with a stored vector that is not an honest one."""
        return verify.dishonest_keys(self._target, self._registered)

    @in_our_words
    def detector_problems(self) -> dict[str, str]:
        """By detector, what it may have missed and the scrub has still to catch up with."""
        return detector_states.problems(self._target, self._registered)

    @in_our_words
    def status(self) -> IndexStatus:
        """How the index stands; all zeros before its first sync."""
        index, limit = registry.load(self._target, self.spec.name), self.spec.embedding.budget_per_day
        found = read_status(self._target, index, self.spec.name)
        if index is None or limit is None:
            return found
        return replace(found, budget=money.budget(self._target, index, limit, counting=False))

    @in_our_words
    def last_synced_key(self) -> int | None:
        """The greatest key that has a document, if keys are whole numbers, which names of partitions show too: others
        may be personal. None before the first sync."""
        index = registry.load(self._target, self.spec.name)
        greatest = None if index is None else contents.greatest_key(self._target, index)
        return None if greatest is None or not is_whole_number(*greatest) else int(greatest[0])

    @in_our_words
    def unanswered(self, limit: int) -> list[UnansweredQuery]:
        """Queries of the service that found nothing, those asked most often first; none unless they are kept."""
        return unanswered_queries.list_unanswered(self._target, self._registered.name, limit)

    @in_our_words
    def forget_unanswered(self) -> int:
        """Removes these; returns how many there were."""
        return unanswered_queries.forget(self._target, self._registered.name)

    @in_our_words
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
