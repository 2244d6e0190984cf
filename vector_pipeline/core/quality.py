"""How good the answers of an index are, as numbers: what its ANN indexes miss, and how generations answer a golden
set."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from vector_pipeline.core.errors import GenerationError, ProviderError
from vector_pipeline.core.search.ann_recall import RecallReport, measure_recall
from vector_pipeline.core.search.golden_run import (
    Ask,
    GoldenComparison,
    GoldenReport,
    ask_golden_set,
    below_floor,
    describe_change,
)
from vector_pipeline.core.search.golden_set import GoldenSet, GoldenSetError, locate, read_golden_set
from vector_pipeline.core.spec import GoldenFloorSpec, IndexSpec, SearchMode
from vector_pipeline.core.store import generations as store_generations
from vector_pipeline.core.store import golden_results, registry
from vector_pipeline.core.store.golden_results import GoldenResult
from vector_pipeline.core.store.registry import RegisteredIndex

_log = logging.getLogger(__name__)

# A generation that can't be served yet is looked at again and again: not each time is its golden set asked.
_LATELY = timedelta(hours=1)


@dataclass(frozen=True)
class GoldenStanding:
    """How two generations answered the same golden set when they were last asked.

    `below` are the measures of the later one that are below their declared floors, in words.
    """

    before: GoldenResult
    after: GoldenResult
    below: tuple[str, ...]

    def __str__(self) -> str:
        change = describe_change(self.before.relevance, self.after.relevance, self.after.queries)
        what = "new model" if self.before.model != self.after.model else "new generation"
        return f"{what}: {change}" + (f"; {'; '.join(self.below)}" if self.below else "")


class Quality:
    """The measurements of one index.

    Args:
        folder: where the declaration stands.
        target: gives the connection to measure on.
        ask: answers requests as every search is answered.
    """

    def __init__(
        self, spec: IndexSpec, folder: Path | None, target: Callable[[], psycopg.Connection], ask: Ask
    ) -> None:
        self._spec = spec
        self._folder = folder
        self._target = target
        self._ask = ask

    def recall(self, index: RegisteredIndex, samples: int, seconds: float) -> RecallReport:
        """Compares what the ANN indexes of the generation find with exact search."""
        target, search = self._target(), self._spec.search
        accepted = registry.accepted_declaration(target, index)
        return measure_recall(
            target,
            index,
            search.recall_floor,
            unique_on=index.generation.column_of(accepted.document.unique_on),
            samples=samples,
            seconds=seconds,
            search_seconds=search.seconds,
        )

    def golden(self, index: RegisteredIndex, mode: SearchMode | None = None) -> GoldenReport:
        """Asks the golden set of the generation.

        Args:
            mode: None is the declared one, for which alone the declared floors hold.

        Raises:
            GoldenSetError: none is declared, or it can't be used.
            ProviderError: the provider is down.
        """
        return self._asked(index, self._golden_set(), mode or self._declared_mode)

    def compare(
        self, before: RegisteredIndex, after: RegisteredIndex, mode: SearchMode | None = None
    ) -> GoldenComparison:
        """Asks the golden set of two generations.

        Args, Raises: as `golden`.
        """
        golden_set, mode = self._golden_set(), mode or self._declared_mode
        return GoldenComparison(self._asked(before, golden_set, mode), self._asked(after, golden_set, mode))

    def standing(self, earlier: RegisteredIndex, later: RegisteredIndex) -> GoldenStanding | None:
        """How two generations compare by the last figures in the declared mode, None where there are none of the same
        golden set."""
        target, mode = self._target(), self._declared_mode
        before, after = golden_results.load(target, earlier, mode), golden_results.load(target, later, mode)
        if before is None or after is None or before.fingerprint != after.fingerprint:
            return None
        return GoldenStanding(before, after, below_floor(after.relevance, self._spec.search.golden_floor))

    def obstacles(self, served: RegisteredIndex, building: RegisteredIndex) -> list[str]:
        """Why a complete generation must not be served yet: answers below the declared floors. Asks both generations,
        so that the figures are there for whoever decides.

        Where there is no floor, figures that can't be had keep nothing from being served.
        """
        search = self._spec.search
        if search.golden_set is None:
            return []
        try:
            golden_set = self._golden_set()
            for index in (served, building):
                if not self._is_known(index, golden_set):
                    self._asked(index, golden_set, self._declared_mode)
        except (GoldenSetError, ProviderError) as error:
            _log.warning("the golden set of index %s was not asked: %s", self._spec.name, error)
            return [f"its golden set can't be asked: {error}"] if search.golden_floor.is_declared else []
        standing = self.standing(served, building)
        return [] if standing is None else self.known_obstacles(standing)

    def known_obstacles(self, standing: GoldenStanding | None) -> list[str]:
        """The same by the last figures."""
        if standing is None:
            return ["its golden set was not asked yet"] if self._spec.search.golden_floor.is_declared else []
        return [f"golden set: {one}" for one in standing.below]

    def _is_known(self, index: RegisteredIndex, golden_set: GoldenSet) -> bool:
        known = golden_results.load(self._target(), index, self._declared_mode)
        return (
            known is not None
            and known.fingerprint == golden_set.fingerprint
            and datetime.now(UTC) - known.asked_at < _LATELY
        )

    def _asked(self, index: RegisteredIndex, golden_set: GoldenSet, mode: SearchMode) -> GoldenReport:
        target = self._target()
        floor = self._spec.search.golden_floor if mode == self._declared_mode else GoldenFloorSpec()
        report = ask_golden_set(target, index, golden_set, mode, floor, self._ask)
        golden_results.keep(target, index, mode, report.fingerprint, len(report.queries), report.relevance)
        return report

    @property
    def _declared_mode(self) -> SearchMode:
        return self._spec.search.mode

    def _golden_set(self) -> GoldenSet:
        declared = self._spec.search.golden_set
        if declared is None:
            raise GoldenSetError(
                f"index {self._spec.name!r} has no golden set; name a CSV file with the columns query and key in "
                "search.golden_set"
            )
        return read_golden_set(locate(declared, self._folder))


def to_be_compared(
    target: psycopg.Connection, served: RegisteredIndex, before: int | None, after: int | None
) -> tuple[RegisteredIndex, RegisteredIndex]:
    """The two generations of these numbers. Left out: the served one, and the one being built; where none is, the one
    that was served before, and the served one.

    Raises:
        GenerationError: there are no two of them.
    """
    building = registry.load_building(target, served.name)
    if after is None and building is not None and building.generation.number != before:
        after = building.generation.number
    after = served.generation.number if after is None else after
    if before is None:
        before = served.generation.number if after != served.generation.number else _earlier(target, served)
    found = []
    for number in (before, after):
        generation = registry.load_generation(target, served, number)
        if generation is None:
            raise GenerationError(
                f"index {served.name!r} has no generation {number}; see: vector-pipeline generations {served.name}"
            )
        found.append(generation)
    return found[0], found[1]


def _earlier(target: psycopg.Connection, served: RegisteredIndex) -> int:
    records = store_generations.load_records(target, served)
    earlier = [
        record for record in records if record.activated_at is not None and record.number != served.generation.number
    ]
    if not earlier:
        raise GenerationError(
            f"index {served.name!r} has one generation alone: there is nothing to compare it with; declare another "
            "model, and it can be once that is built"
        )
    return max(earlier, key=lambda record: record.activated_at or record.created_at).number
