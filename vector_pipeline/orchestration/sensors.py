"""One level-triggered sensor per index: digests in the source against digests that the target stored with the rows.

Whatever the reason for a difference (failed, killed, overtaken, half done, never seen), it is still a difference at the
next tick. All state of ranges is in PostgreSQL; the cursor only says where the round of digests goes on.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg

from vector_pipeline.core.errors import VectorPipelineError
from vector_pipeline.core.index import VectorIndex
from vector_pipeline.core.reports import RangeState
from vector_pipeline.orchestration.assets import DOCUMENTS, EMBEDDINGS, ROWS, SEARCH_INDEX
from vector_pipeline.orchestration.checks import FRESHNESS, NO_QUARANTINE
from vector_pipeline.orchestration.index_context import IndexContext
from vector_pipeline.orchestration.resources import IndexesResource
from vector_pipeline.orchestration.windows import cover, covered

WAITING = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.MANAGED,
    dg.DagsterRunStatus.STARTING,
]
WORKING = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
# A started run takes its lock a moment later, and lets go of it for a moment between two assets.
GRACE_SECONDS = 60.0
# An event costs some 15 ms, and a tick has 60 s.
EVENTS_PER_TICK = 200


def build_reconcile_sensor(index: IndexContext) -> dg.SensorDefinition:
    """The sensor that adds ranges, reports changed ones, and requests runs for dirty ones."""
    spec = index.declaration.spec
    automation = spec.automation
    paused = dg.DefaultSensorStatus.STOPPED if automation.paused else dg.DefaultSensorStatus.RUNNING

    @dg.sensor(
        name=f"{index.prefix}_reconcile",
        target=[index.key(name) for name in (DOCUMENTS, EMBEDDINGS, SEARCH_INDEX)],
        minimum_interval_seconds=automation.interval_seconds,
        default_status=paused,
        description=f"Keeps index {spec.name} true to {spec.source.table}. Switch it off to pause the index.",
    )
    def reconcile(context: dg.SensorEvaluationContext, indexes: IndexesResource) -> dg.SensorResult | dg.SkipReason:
        if automation.paused:
            return dg.SkipReason(f"paused by {index.declaration.origin}: automation.paused")
        try:
            with indexes.open(index.declaration) as opened:
                return _tick(index, context, opened)
        except VectorPipelineError as error:
            # Our own errors say all; the driver's traceback would bury it, and could hold what must not show.
            raise dg.DagsterInvariantViolationError(str(error)) from None

    return reconcile


def _tick(
    index: IndexContext, context: dg.SensorEvaluationContext, opened: VectorIndex
) -> dg.SensorResult | dg.SkipReason:
    automation = index.declaration.spec.automation
    resume_after = json.loads(context.cursor or "{}").get("resume_after")
    detection = opened.detect(budget_seconds=automation.digest_seconds, resume_after=resume_after)
    states = opened.ranges()
    listed = context.instance.get_dynamic_partitions(_name(index))
    new = new_partitions(states, listed)
    listed = [*listed, *new]
    in_flight = InFlight.of(index, context.instance, opened, listed)
    requests = _sync_requests(index, opened, listed, in_flight)
    if not requests and not in_flight.any and opened.search_index_is_due():
        requests = [dg.RunRequest(asset_selection=[index.key(SEARCH_INDEX)], tags=index.run_tags)]
    reported = changed_digests(states)
    opened.note_reported({state.partition: state.source_digest for state in reported if state.source_digest})
    cursor = json.dumps({"resume_after": detection.resume_after})
    dirty = sum(state.dirty for state in states)
    context.log.info(
        "%d of %d ranges looked at, %d dirty, %d runs in flight, %d requested",
        detection.ranges_checked,
        detection.ranges_total,
        dirty,
        in_flight.runs,
        len(requests),
    )
    if not requests and not reported and not new:
        context.update_cursor(cursor)
        return dg.SkipReason(f"{len(states)} ranges, {dirty} dirty, {in_flight.runs} runs in flight")
    return dg.SensorResult(
        run_requests=requests,
        dynamic_partitions_requests=[index.ranges.build_add_request(new)] if new else [],
        asset_events=rows_events(index, reported),
        cursor=cursor,
    )


def new_partitions(states: Sequence[RangeState], listed: Sequence[str]) -> list[str]:
    """Ranges that Dagster does not list yet, in key order."""
    known = set(listed)
    return [state.partition for state in states if state.partition not in known]


def changed_digests(states: Sequence[RangeState]) -> list[RangeState]:
    """Ranges whose rows are not those that Dagster was last told of, a bounded number of them."""
    return [s for s in states if s.source_digest and s.source_digest != s.reported_digest][:EVENTS_PER_TICK]


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


@dataclass(frozen=True)
class InFlight:
    """What unfinished runs already work on."""

    partitions: frozenset[str]
    runs: int

    @property
    def any(self) -> bool:
        return self.runs > 0

    @classmethod
    def of(
        cls, index: IndexContext, instance: dg.DagsterInstance, opened: VectorIndex, listed: Sequence[str]
    ) -> "InFlight":
        """Runs that wait, and runs whose process is alive: a killed one stays STARTED for a while."""
        records = instance.get_run_records(
            dg.RunsFilter(statuses=[*WAITING, *WORKING], tags={"vector/index": index.prefix})
        )
        busy: set[str] = set()
        alive = 0
        for record in records:
            run = record.dagster_run
            young = record.start_time is None or time.time() - record.start_time < GRACE_SECONDS
            if run.status in WAITING or young or opened.is_run_alive(run.run_id):
                alive += 1
                busy |= covered(run, listed)
        return cls(frozenset(busy), alive)


def _sync_requests(
    index: IndexContext, opened: VectorIndex, listed: Sequence[str], in_flight: InFlight
) -> list[dg.RunRequest]:
    """Runs for the ranges that are due and that nobody works on."""
    automation = index.declaration.spec.automation
    due = [state for state in opened.due_ranges() if state.partition not in in_flight.partitions]
    failed = {state.partition for state in due if state.attempts > 0}
    windows = list(cover({state.partition for state in due}, listed, failed, automation.ranges_per_run))
    windows = windows[: automation.runs_per_look]
    opened.note_attempt([partition for window in windows for partition in window.dirty])
    return [
        dg.RunRequest(
            asset_selection=[index.key(DOCUMENTS), index.key(EMBEDDINGS)],
            # Parity and honesty read the whole index: they go with search_index, not with every run.
            asset_check_keys=[
                dg.AssetCheckKey(index.key(DOCUMENTS), FRESHNESS),
                dg.AssetCheckKey(index.key(EMBEDDINGS), NO_QUARANTINE),
            ],
            tags=index.run_tags | window.tags,
        )
        for window in windows
    ]


def _name(index: IndexContext) -> str:
    name = index.ranges.name
    assert name is not None
    return name
