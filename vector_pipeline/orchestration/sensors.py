"""One level-triggered sensor per index: digests in the source against digests that the target stored with the rows.

Whatever the reason for a difference (failed, killed, overtaken, half done, never seen), it is still a difference at the
next tick. All state of ranges is in PostgreSQL; the cursor says where the round of digests goes on, and when a refresh
of the search index may be tried again.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import dagster as dg

from vector_pipeline.core.counted import counted
from vector_pipeline.core.deletion_guard import describe
from vector_pipeline.core.detection.round import Budget
from vector_pipeline.core.errors import IndexSpecError, VectorPipelineError
from vector_pipeline.core.generations import TO_BE_BUILT, GenerationWork
from vector_pipeline.core.index import VectorIndex
from vector_pipeline.core.lag import measure_lag
from vector_pipeline.core.money import describe_budget
from vector_pipeline.core.reports import DailyBudget, Detection, Lag, RangeState
from vector_pipeline.core.store.key_ranges import FIRST_PAUSE, LONGEST_PAUSE
from vector_pipeline.orchestration.assets import DOCUMENTS, EMBEDDINGS, ROWS, SEARCH_INDEX
from vector_pipeline.orchestration.checks import (
    BUDGET,
    FRESHNESS,
    NO_QUARANTINE,
    note_budget,
    note_declaration,
    note_generation,
    note_look,
    note_model,
)
from vector_pipeline.orchestration.index_context import IndexContext
from vector_pipeline.orchestration.next_generation import NEXT_GENERATION, generation_metadata, generation_result
from vector_pipeline.orchestration.resources import IndexesResource
from vector_pipeline.orchestration.runs_in_flight import RunsInFlight, find_runs_in_flight
from vector_pipeline.orchestration.windows import choose_windows

# An event costs some 15 ms, and a tick has 60 s.
EVENTS_PER_TICK = 200
# As the pauses of a range that failed.
FIRST_PAUSE_SECONDS = FIRST_PAUSE.total_seconds()
LONGEST_PAUSE_SECONDS = LONGEST_PAUSE.total_seconds()
_MINUTE, _HOUR = 60.0, 3600.0
# What a tick does beside scrubbing and waiting takes about as long.
_OTHER_SECONDS = 2.0


def build_reconcile_sensor(index: IndexContext) -> dg.SensorDefinition:
    """The sensor that adds ranges, reports changed ones, and requests runs for dirty ones."""
    spec = index.declaration.spec
    automation = spec.automation
    paused = dg.DefaultSensorStatus.STOPPED if automation.paused else dg.DefaultSensorStatus.RUNNING

    @dg.sensor(
        name=f"{index.prefix}_reconcile",
        target=[index.key(name) for name in (DOCUMENTS, EMBEDDINGS, NEXT_GENERATION, SEARCH_INDEX)],
        # Dagster looks every five seconds, and passes over a sensor whose last tick began less than this ago.
        minimum_interval_seconds=max(1, automation.interval_seconds - 1),
        default_status=paused,
        description=f"Keeps index {spec.name} true to {spec.source.described}. Switch it off to pause the index.",
    )
    def reconcile(context: dg.SensorEvaluationContext, indexes: IndexesResource) -> dg.SensorResult | dg.SkipReason:
        if automation.paused:
            return dg.SkipReason(f"paused by {index.declaration.origin}: automation.paused")
        try:
            with indexes.open(index.declaration) as opened:
                return _tick(index, context, opened)
        except VectorPipelineError as error:
            if isinstance(error, IndexSpecError):
                note_declaration(context.instance, index, error.problems)
            # Our own errors say all; the driver's traceback would bury it, and could hold what must not show.
            raise dg.DagsterInvariantViolationError(str(error)) from None

    return reconcile


def _tick(index: IndexContext, context: dg.SensorEvaluationContext, opened: VectorIndex) -> dg.SensorResult:
    automation = index.declaration.spec.automation
    remembered = json.loads(context.cursor or "{}")
    detection = opened.detect(
        Budget(automation.look_seconds, automation.scrub_seconds),
        # The next tick must not come late because of this one.
        wait_seconds=max(0.0, automation.interval_seconds - automation.scrub_seconds - _OTHER_SECONDS),
    )
    guarded = opened.guarded_deletions()
    note_declaration(context.instance, index, ())
    note_look(context.instance, index, detection, guarded)
    note_model(context.instance, index, opened.last_look_at_model())
    budget = opened.budget(counting=False)
    note_budget(context.instance, index, budget, opened.budget)
    for detector, problem in detection.problems.items():
        context.log.warning("%s: %s", detector, problem)
    states = detection.ranges
    listed = context.instance.get_dynamic_partitions(_name(index))
    new = new_partitions(states, listed)
    listed = [*listed, *new]
    in_flight = find_runs_in_flight(index, context.instance, opened, listed)
    syncs = [] if guarded.held else _sync_requests(index, opened, states, listed, in_flight, budget)
    requests = list(syncs)
    work = opened.next_generation_work()
    found = generation_result(index, opened, work)
    note_generation(context.instance, index, found, lambda: generation_metadata(opened, work))
    builds = Retries(**remembered.get("builds", {}))
    waits = (budget.pauses or opened.build_awaits_batches()) and work is not GenerationWork.SWITCH
    if work not in TO_BE_BUILT or waits:
        builds = Retries()
    elif (
        not guarded.held
        and time.time() >= builds.not_before
        and not find_runs_in_flight(index, context.instance, opened, listed, [NEXT_GENERATION]).runs
    ):
        requests.append(dg.RunRequest(asset_selection=[index.key(NEXT_GENERATION)], tags=index.run_tags))
        builds = builds.after_a_try(time.time())
    refreshes = Retries(**remembered.get("refreshes", {}))
    if not syncs and not in_flight.runs:
        due = opened.search_index_is_due(states)
        if due and time.time() >= refreshes.not_before:
            requests.append(dg.RunRequest(asset_selection=[index.key(SEARCH_INDEX)], tags=index.run_tags))
            refreshes = refreshes.after_a_try(time.time())
        elif not due:
            refreshes = Retries()
    lag = measure_lag(states, datetime.now(UTC))
    lag_told = ToldLag(**remembered.get("told", {}))
    observations = []
    if lag_told.is_to_be_told(lag, time.time()):
        observations = [lag_observation(index, lag, detection)]
        lag_told = ToldLag(lag.rows, time.time())
    reported = changed_digests(states, new)[:EVENTS_PER_TICK]
    opened.note_reported({state.partition: state.source_digest for state in reported if state.source_digest})
    cursor = json.dumps({"refreshes": asdict(refreshes), "builds": asdict(builds), "told": asdict(lag_told)})
    summary = (
        f"{counted(lag.rows, 'row', 'rows')} and {lag.seconds:.0f} s behind: {lag.ranges} of {len(states)} ranges "
        f"dirty, {detection.ranges_checked} looked at, {in_flight.runs} runs in flight, {len(requests)} requested"
        + _awaited(opened)
    )
    if budget.pauses:
        summary = f"{describe_budget(budget)}\n{summary}"
    context.log.info(summary)
    told = f"{describe(guarded)}\n{summary}" if guarded.held else summary
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else told,
        dynamic_partitions_requests=[index.ranges.build_add_request(new)] if new else [],
        asset_events=[*rows_events(index, reported), *observations],
        cursor=cursor,
    )


def _awaited(opened: VectorIndex) -> str:
    awaited = opened.texts_awaited()
    return f"; {awaited:,} texts wait for an offline batch" if awaited else ""


@dataclass(frozen=True)
class ToldLag:
    """The lag that the UI was last told of, and when (seconds since 1970)."""

    rows: int = -1
    at: float = 0.0

    def is_to_be_told(self, lag: Lag, now: float) -> bool:
        """When it comes and when it is gone, once a minute while it lasts, and every hour in any case."""
        age = now - self.at
        return (lag.rows == 0) != (self.rows == 0) or (lag.rows > 0 and age >= _MINUTE) or age >= _HOUR


def lag_observation(index: IndexContext, lag: Lag, detection: Detection) -> dg.AssetObservation:
    """Tells Dagster how far the index is behind its table; the UI plots the numbers."""
    checked = [state.source_checked_at for state in detection.ranges if state.source_checked_at is not None]
    oldest = (datetime.now(UTC) - min(checked)).total_seconds() if checked else -1.0
    return dg.AssetObservation(
        index.key(SEARCH_INDEX),
        metadata={
            "lag_rows": lag.rows,
            "lag_seconds": round(lag.seconds, 1),
            "ranges_dirty": lag.ranges,
            "ranges": detection.ranges_total,
            "oldest_comparison_seconds": round(oldest, 1),
        },
    )


@dataclass(frozen=True)
class Retries:
    """Requests of an asset since it fell due. One that fails leaves it due: the next waits, longer each time."""

    tries: int = 0
    not_before: float = 0.0

    def after_a_try(self, now: float) -> "Retries":
        return Retries(self.tries + 1, now + min(FIRST_PAUSE_SECONDS * 2**self.tries, LONGEST_PAUSE_SECONDS))


def new_partitions(states: Sequence[RangeState], listed: Sequence[str]) -> list[str]:
    """Ranges that Dagster does not list yet, in key order."""
    known = set(listed)
    return [state.partition for state in states if state.partition not in known]


def unknown_partitions(states: Sequence[RangeState], listed: Sequence[str]) -> set[str]:
    """Partitions that Dagster lists and the registry lacks: of an index that was removed and built anew, or restored.

    Dagster keeps them, since its order suffers where one is deleted; no run may take them along.
    """
    return set(listed) - {state.partition for state in states}


def changed_digests(states: Sequence[RangeState], new: Sequence[str]) -> list[RangeState]:
    """Ranges whose rows are not those that Dagster was last told of. An instance that was made anew knows of none."""
    unknown = set(new)
    return [
        state
        for state in states
        if state.source_digest and (state.source_digest != state.reported_digest or state.partition in unknown)
    ]


def rows_events(index: IndexContext, states: Sequence[RangeState]) -> list[dg.AssetMaterialization]:
    """Tells Dagster of changed ranges of the source: the digest is the data version."""
    return [
        dg.AssetMaterialization(
            index.key(ROWS),
            partition=state.partition,
            tags={"dagster/data_version": state.source_digest or ""},
            metadata={
                "digest": state.source_digest or "",
                "dagster/partition_row_count": int((state.source_digest or "0:").split(":")[0]),
            },
        )
        for state in states
    ]


def _sync_requests(
    index: IndexContext,
    opened: VectorIndex,
    states: Sequence[RangeState],
    listed: Sequence[str],
    in_flight: RunsInFlight,
    budget: DailyBudget,
) -> list[dg.RunRequest]:
    """Runs for the ranges that are due and that nobody works on; while the budget pauses embedding, for those alone
    whose documents are not those of the source."""
    automation = index.declaration.spec.automation
    due = [state for state in opened.due_ranges(states) if state.partition not in in_flight.partitions]
    if budget.pauses:
        due = [state for state in due if state.documents_differ]
    pausing = {state.partition for state in states if state.dirty} - {state.partition for state in due}
    windows = choose_windows(
        due,
        listed,
        automation.ranges_per_run,
        max(0, automation.runs_in_flight - in_flight.runs),
        avoid=in_flight.partitions | pausing | unknown_partitions(states, listed),
    )
    opened.note_attempt([partition for window in windows for partition in window.dirty])
    return [
        dg.RunRequest(
            asset_selection=[index.key(DOCUMENTS), index.key(EMBEDDINGS)],
            # Parity and honesty read the whole index: they go with search_index, not with every run.
            asset_check_keys=[
                dg.AssetCheckKey(index.key(DOCUMENTS), FRESHNESS),
                dg.AssetCheckKey(index.key(EMBEDDINGS), NO_QUARANTINE),
                dg.AssetCheckKey(index.key(EMBEDDINGS), BUDGET),
            ],
            tags=index.run_tags | window.tags,
        )
        for window in windows
    ]


def _name(index: IndexContext) -> str:
    name = index.ranges.name
    assert name is not None
    return name
