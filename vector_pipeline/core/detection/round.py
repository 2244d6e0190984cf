"""One look at the source: the detectors name ranges, their digests tell which of them differ.

A look is bounded in time, and the next one goes on where it stopped. A round is complete when every range has been
compared since the round before.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import psycopg

from vector_pipeline.core.detection.comparing import Comparison
from vector_pipeline.core.detection.detector import Detector, View
from vector_pipeline.core.detection.scrub import Scrub
from vector_pipeline.core.reports import Detection
from vector_pipeline.core.source.connection import Connection as SourceConnection
from vector_pipeline.core.source.plan import ReadingPlan
from vector_pipeline.core.source.throttle import Throttle
from vector_pipeline.core.source.time_limit import StatementTookTooLong, limited_statements, naming_the_limit
from vector_pipeline.core.store import detector_states
from vector_pipeline.core.store import key_ranges as store_ranges
from vector_pipeline.core.store.registry import RegisteredIndex

# Of a look with a budget. Few statements run past the budget, and Dagster ends a sensor's tick after 60 seconds.
_LONGEST_STATEMENT_SECONDS = 10.0
_MOST_NAMED = 10


@dataclass(frozen=True)
class Budget:
    """Seconds that a look may take: for cutting and comparing what is suspected, and for the scrub after it."""

    look_seconds: float
    scrub_seconds: float


def look(
    source: SourceConnection,
    target: psycopg.Connection,
    index: RegisteredIndex,
    plan: ReadingPlan,
    detectors: Sequence[Detector],
    range_size: int,
    throttle: Throttle,
    budget: Budget | None,
    waiting: Detector | None = None,
) -> Detection:
    """Asks the detectors, then compares what they name and as much of all the rest as the budget allows.

    Args:
        detectors: the quick ones; the scrub comes last and by itself.
        range_size: rows in a range, as declared.
        budget: None for a whole round.
        waiting: asked last, where nothing is dirty so far: it may wait for a change, so that the next one reaches the
            index at once.
    """
    deadline = None if budget is None else time.monotonic() + budget.look_seconds
    throttle.wait_for_replicas(deadline)
    comparison = Comparison(source, target, index, plan, range_size, throttle)
    with limited_statements(source, None if budget is None else _LONGEST_STATEMENT_SECONDS):
        store_ranges.add_first_range(target, index)
        # What they name has to be compared in the same look.
        view = View(source, target, index, plan, _share_of(budget))
        suspects = {detector.name: _ask(detector, view) for detector in detectors}
        comparison.compare_suspects(deadline)
        _scrub(comparison, None if budget is None else time.monotonic() + budget.scrub_seconds)
        if deadline is None or time.monotonic() < deadline:
            comparison.compare_suspects(deadline)  # what the scrub has found grown, and cut
        _tell_of_passed_over(comparison)
        states = store_ranges.load_states(target, index)
        if waiting is not None and not any(state.dirty for state in states):
            wait_over = None if budget is None else time.monotonic() + budget.look_seconds
            suspects[waiting.name] = _ask(waiting, replace(view, deadline=wait_over))
            if suspects[waiting.name]:
                comparison.compare_suspects(wait_over)
                states = store_ranges.load_states(target, index)
    complete = store_ranges.note_round_complete(target, index)
    return Detection(
        ranges=tuple(states),
        ranges_added=comparison.added,
        ranges_checked=comparison.checked,
        suspects=suspects,
        problems=detector_states.problems(target, index),
        round_complete=complete,
    )


def _share_of(budget: Budget | None) -> float | None:
    return None if budget is None else time.monotonic() + budget.look_seconds / 2


def _tell_of_passed_over(comparison: Comparison) -> None:
    """Ranges that take too long are compared by nobody: somebody has to know."""
    if not comparison.passed_over:
        return
    passed = store_ranges.load_some(comparison.target, comparison.index, sorted(comparison.passed_over))
    names = ", ".join(key_range.partition for key_range in list(passed.values())[:_MOST_NAMED])
    detector_states.note_problem(
        comparison.target,
        comparison.index,
        Scrub.name,
        f"{len(passed)} key ranges could not be compared, since MySQL took longer than "
        f"{_LONGEST_STATEMENT_SECONDS:g} s for one: {names}. Changes in them are not found until it can. Declare a "
        "smaller range_size, give source.where an index, or see what slows MySQL down",
    )


def _ask(detector: Detector, view: View) -> int:
    """How many ranges it named; they are suspected from then on, whatever becomes of this look."""
    state = detector_states.load(view.target, view.index, detector.name)
    ranges = store_ranges.load_ranges(view.target, view.index)
    named: set[int] = set()
    try:
        with naming_the_limit():
            for finding in detector.look(view, ranges, state):
                detector_states.note_finding(
                    view.target, view.index, detector.name, finding.state, finding.suspects, finding.problem
                )
                named |= finding.suspects
    except StatementTookTooLong:
        problem = (
            f"MySQL took longer than {_LONGEST_STATEMENT_SECONDS:g} s for a statement of this detector; what it would "
            "have found is left to the scrub"
        )
        detector_states.note_problem(view.target, view.index, detector.name, problem)
    return len(named)


def _scrub(comparison: Comparison, deadline: float | None) -> None:
    """Compares all ranges in turn, from where the last look stopped.

    The scrub's ranges are compared at once instead of being suspected first: there are many, and a name that is lost
    comes up again.
    """
    scrub = Scrub()
    view = View(comparison.source, comparison.target, comparison.index, comparison.plan, deadline)
    state = detector_states.load(view.target, view.index, scrub.name)
    ranges = store_ranges.load_ranges(view.target, view.index)
    of_id = {key_range.range_id: key_range for key_range in ranges}
    findings = list(scrub.look(view, ranges, state))
    reached = comparison.compare([of_id[range_id] for finding in findings for range_id in finding.suspects], deadline)
    detector_states.note_finding(
        view.target, view.index, scrub.name, findings[reached - 1].state, frozenset(), problem=None
    )
