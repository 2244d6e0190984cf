"""Failing runs: which of them somebody has to be told of, and when it is over."""

from collections.abc import Mapping
from datetime import UTC, datetime

import dagster as dg
from dagster._core.storage.dagster_run import RunRecord
from dagster._core.storage.tags import (
    BACKFILL_ID_TAG,
    PARENT_RUN_ID_TAG,
    SCHEDULE_NAME_TAG,
    SENSOR_NAME_TAG,
    WILL_RETRY_TAG,
)
from dagster_shared.error import SerializableErrorInfo

from vector_pipeline.orchestration.alerts import runbooks
from vector_pipeline.orchestration.alerts.looking import Place, index_of, partitioned_assets, unfinished_partitions
from vector_pipeline.orchestration.alerts.trouble import Memory, Trouble

# Runs end on other machines, whose clocks differ, and their end is committed later than it is dated.
_OVERLAP_SECONDS = 300.0
# Of partitions that fail: the cursor holds their names.
_MOST_PARTITIONS = 1000
# Whoever starts a job by hand sees how it ends; of these, nobody does.
_UNWATCHED = (SCHEDULE_NAME_TAG, SENSOR_NAME_TAG, BACKFILL_ID_TAG, PARENT_RUN_ID_TAG)
_INDEX_TAG = "vector/index"


def look_at_runs(
    instance: dg.DagsterInstance, place: Place, memory: Memory, now: float
) -> tuple[Memory, dict[str, Trouble]]:
    """The memory with the runs that ended since, and the troubles with runs as they are now.

    What partitioned assets fail at is over when each partition that failed has been materialised since; all else when a
    run of the same succeeds.
    """
    failing = {key: trouble for key, trouble in memory.troubles.items() if key.startswith("run ")}
    since = memory.runs_until if memory.runs_until is not None else now
    recent: list[str] = []
    for record in _ended(instance, since - _OVERLAP_SECONDS):
        run = record.dagster_run
        recent.append(run.run_id)
        if run.run_id in memory.runs_seen or memory.runs_until is None or not _is_ours(run, place):
            continue
        key = f"run {_subject(run)}"
        if run.status is dg.DagsterRunStatus.SUCCESS:
            if not _partitioned(run, place):
                failing.pop(key, None)
        elif _is_to_be_told(run):
            failing[key] = _trouble(instance, key, record, place)
    seen = memory.model_copy(update={"runs_until": now, "runs_seen": tuple(recent)})
    return seen, _still_failing(instance, place, failing)


def _ended(instance: dg.DagsterInstance, since: float) -> list[RunRecord]:
    records = instance.get_run_records(
        dg.RunsFilter(
            statuses=[dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE],
            updated_after=datetime.fromtimestamp(since, UTC),
        )
    )
    # A run that ended long ago and was given a tag since is no news.
    return sorted((record for record in records if _end(record) > since), key=_end)


def _end(record: RunRecord) -> float:
    return record.end_time if record.end_time is not None else record.update_timestamp.timestamp()


def _is_ours(run: dg.DagsterRun, place: Place) -> bool:
    origin = run.remote_job_origin
    if origin is not None and place.name is not None and origin.location_name != place.name:
        return False
    graph = place.repository.asset_graph
    if run.asset_selection or run.asset_check_selection:
        checks = run.asset_check_selection or set()
        return any(graph.has(key) for key in (*(run.asset_selection or ()), *(one.asset_key for one in checks)))
    return place.repository.has_job(run.job_name)


def _is_to_be_told(run: dg.DagsterRun) -> bool:
    """A run that Dagster tries again by itself is not given up yet."""
    if run.tags.get(WILL_RETRY_TAG) == "true":
        return False
    return bool(run.asset_selection) or any(name in run.tags for name in _UNWATCHED)


def _subject(run: dg.DagsterRun) -> str:
    """What a run is of: two runs of the same subject do the same, for other partitions maybe."""
    if not run.job_name.startswith("__"):
        return run.job_name
    assets = sorted(key.to_user_string() for key in run.asset_selection or ())
    checks = sorted(key.to_user_string() for key in run.asset_check_selection or ())
    return ", ".join(assets or checks) or run.job_name


def _partitioned(run: dg.DagsterRun, place: Place) -> list[dg.AssetKey]:
    return partitioned_assets(place, run.asset_selection or ())


def _trouble(instance: dg.DagsterInstance, key: str, record: RunRecord, place: Place) -> Trouble:
    run = record.dagster_run
    kinds = _kinds_of_error(instance, run.run_id)
    of_assets = next(filter(None, map(index_of, sorted(run.asset_selection or ()))), None)
    runbook = next((runbooks.ERRORS[kind] for kind in kinds if kind in runbooks.ERRORS), runbooks.FAILING_RUNS)
    return Trouble(
        key=key,
        index=run.tags.get(_INDEX_TAG) or of_assets,
        what=f"runs of {_subject(run)} fail",
        detail=f"It ended with {kinds[0]}." if kinds else "",
        since=_end(record),
        path=f"/runs/{run.run_id}",
        runbook=runbook,
        assets=tuple(asset.to_user_string() for asset in _partitioned(run, place)),
    )


def _kinds_of_error(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    """The names of the errors that ended a run, the first cause first. Their words may be a provider's, or a row's."""
    for kind in (dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE):
        for record in instance.get_records_for_run(run_id, of_type=kind, limit=1).records:
            event = record.event_log_entry.dagster_event
            error: SerializableErrorInfo | None = getattr(event and event.event_specific_data, "error", None)
            names: list[str] = []
            while error is not None:
                if error.cls_name:
                    names.insert(0, error.cls_name)
                error = error.cause
            if names:
                return names
    return []


def _still_failing(instance: dg.DagsterInstance, place: Place, failing: Mapping[str, Trouble]) -> dict[str, Trouble]:
    """These less those whose partitions have all been materialised since, or that this location no longer has."""
    still: dict[str, Trouble] = {}
    for key, trouble in failing.items():
        if not trouble.assets:
            still[key] = trouble
            continue
        assets = partitioned_assets(place, map(dg.AssetKey.from_user_string, trouble.assets))
        failed, unfinished = unfinished_partitions(instance, assets)
        # One that failed and is being tried again is not well before that run has ended well.
        left = sorted(failed | (unfinished & set(trouble.partitions)))
        if left:
            still[key] = trouble.model_copy(update={"partitions": tuple(left[:_MOST_PARTITIONS])})
    return still
