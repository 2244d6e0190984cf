"""Where the time between a commit and its arrival goes, told by the records that Dagster keeps of ticks and runs."""

from __future__ import annotations

import itertools

import dagster as dg
from dagster import DagsterEventType

STAGES = (
    "until the tick that sees it begins",
    "that tick, until its run is created",
    "until the run leaves the queue",
    "until the run's process begins its work",
    "until the first step begins",
    "documents",
    "until the step of the embeddings begins",
    "embeddings, until searchable",
)

_EVENTS = (
    (DagsterEventType.PIPELINE_STARTING, None),
    (DagsterEventType.RUN_START, None),
    (DagsterEventType.STEP_START, "documents"),
    (DagsterEventType.STEP_SUCCESS, "documents"),
    (DagsterEventType.STEP_START, "embeddings"),
)
_RUNS_LOOKED_AT = 20
_TICKS_LOOKED_AT = 100

_Happened = dict[tuple[DagsterEventType, str | None], float]


def tell_stages(instance: dg.DagsterInstance, committed: float, searchable: float) -> dict[str, float]:
    """Seconds of each stage; the last ones are missing where the change was searchable before the run was through.

    Args:
        committed: seconds since the epoch, as `searchable`.
    """
    for record in instance.get_run_records(limit=_RUNS_LOOKED_AT):
        happened = _events_of(instance, record.dagster_run.run_id)
        read_at = happened.get((DagsterEventType.STEP_START, "documents"))
        if read_at is None or not committed < read_at < searchable:
            continue
        moments = [
            _tick_of(instance, record.dagster_run.run_id),
            record.create_timestamp.timestamp(),
            *(happened.get(event, searchable) for event in _EVENTS),
        ]
        # A run that was under way already took the change along.
        moments = [max(committed, moment) for moment in moments if moment < searchable]
        steps = itertools.pairwise([committed, *moments, searchable])
        return {stage: end - start for stage, (start, end) in zip(STAGES, steps, strict=False)}
    return {}


def _events_of(instance: dg.DagsterInstance, run_id: str) -> _Happened:
    """When each kind of event first happened, for the run and for each of its steps."""
    happened: _Happened = {}
    for entry in instance.all_logs(run_id):
        if entry.dagster_event is not None:
            step = entry.step_key.split("__")[-1] if entry.step_key else None
            happened.setdefault((entry.dagster_event.event_type, step), entry.timestamp)
    return happened


def _tick_of(instance: dg.DagsterInstance, run_id: str) -> float:
    """When the tick that requested the run began; 0 if none did."""
    for state in instance.all_instigator_state():
        for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=_TICKS_LOOKED_AT):
            if run_id in tick.run_ids:
                return tick.timestamp
    return 0.0
