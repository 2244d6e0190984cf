"""Failing runs: which of them somebody has to be told of, and when it is over."""

from collections.abc import Mapping
from dataclasses import dataclass

import dagster as dg
from dagster._core.storage.dagster_run import RunRecord
from dagster._core.storage.tags import (
    BACKFILL_ID_TAG,
    PARENT_RUN_ID_TAG,
    SCHEDULE_NAME_TAG,
    SENSOR_NAME_TAG,
)
from dagster_shared.error import SerializableErrorInfo

from vector_pipeline.orchestration.alerts import runbooks
from vector_pipeline.orchestration.alerts.ended_runs import end_of, ended_runs
from vector_pipeline.orchestration.alerts.looking import Place, index_of, partitioned_assets, unfinished_partitions
from vector_pipeline.orchestration.alerts.retries import settle
from vector_pipeline.orchestration.alerts.trouble import HeldFailure, Memory, Trouble

# Runs end on other machines, whose clocks differ, and their end is committed later than it is dated.
_OVERLAP_SECONDS = 300.0
# Of partitions that fail: the cursor holds their names.
_MOST_PARTITIONS = 1000
# Of one run that fail: they say what has to go well before it is over.
_MOST_STEPS = 100
# Whoever starts a job by hand sees how it ends; of these, nobody does.
_UNWATCHED = (SCHEDULE_NAME_TAG, SENSOR_NAME_TAG, BACKFILL_ID_TAG, PARENT_RUN_ID_TAG)
_INDEX_TAG = "vector/index"


@dataclass(frozen=True)
class _Ended:
    """What there is to know of a run that ended; `failed` is None for one that ended well."""

    run_id: str
    at: float
    subjects: frozenset[str]
    failed: RunRecord | None


def look_at_runs(
    instance: dg.DagsterInstance, place: Place, memory: Memory, now: float
) -> tuple[Memory, dict[str, Trouble]]:
    """The memory with the runs that ended since, and the troubles with runs as they are now.

    What partitioned assets fail at is over when each partition that failed has been materialised since; what other
    assets fail at when they have been, by whatever run; all else when a run of the same succeeds.
    """
    failing = {key: trouble for key, trouble in memory.troubles.items() if key.startswith("run ")}
    held = dict(memory.runs_held)
    since = memory.runs_until if memory.runs_until is not None else now
    news, recent = _ended(instance, place, memory, since - _OVERLAP_SECONDS, now - _OVERLAP_SECONDS)
    for run in news:
        if run.failed is None:
            failing = {key: _after_success(trouble, run.subjects) for key, trouble in failing.items()}
            held = {key: _held_after_success(failure, run.subjects) for key, failure in held.items()}
        else:
            held[run.run_id] = HeldFailure(trouble=_trouble(instance, run.failed, place), found_at=now)
    held, told = settle(instance, held, now)
    failing |= {failure.trouble.key: failure.trouble for failure in told}
    seen = memory.model_copy(update={"runs_until": now, "runs_seen": recent, "runs_held": held})
    return seen, _still_failing(instance, place, failing)


def _ended(
    instance: dg.DagsterInstance, place: Place, memory: Memory, since: float, overlap_from: float
) -> tuple[list[_Ended], tuple[str, ...]]:
    """The runs to look at, in the order in which they ended; and all that the next look will find again."""
    news: dict[str, _Ended] = {}
    recent: set[str] = set()
    for record in ended_runs(instance, since):
        run, at = record.dagster_run, end_of(record)
        if at > overlap_from:
            recent.add(run.run_id)
        if run.run_id in memory.runs_seen or memory.runs_until is None or not _is_ours(run, place):
            continue
        if run.status is dg.DagsterRunStatus.SUCCESS:
            news[run.run_id] = _Ended(run.run_id, at, frozenset({_subject(run), *_assets(run)}), None)
        elif _is_watched(run):
            news[run.run_id] = _Ended(run.run_id, at, frozenset(), record)
    return sorted(news.values(), key=lambda run: run.at), tuple(sorted(recent))


def _is_ours(run: dg.DagsterRun, place: Place) -> bool:
    origin = run.remote_job_origin
    if origin is not None and place.name is not None and origin.location_name != place.name:
        return False
    graph = place.repository.asset_graph
    if run.asset_selection or run.asset_check_selection:
        checks = run.asset_check_selection or set()
        return any(graph.has(key) for key in (*(run.asset_selection or ()), *(one.asset_key for one in checks)))
    return place.repository.has_job(run.job_name)


def _is_watched(run: dg.DagsterRun) -> bool:
    return bool(run.asset_selection) or any(name in run.tags for name in _UNWATCHED)


def _subject(run: dg.DagsterRun) -> str:
    """What a run is of: two runs of the same subject do the same, for other partitions maybe."""
    if not run.job_name.startswith("__"):
        return run.job_name
    checks = sorted(key.to_user_string() for key in run.asset_check_selection or ())
    return ", ".join(_assets(run) or checks) or run.job_name


def _assets(run: dg.DagsterRun) -> list[str]:
    return sorted(key.to_user_string() for key in run.asset_selection or ())


def _partitioned(run: dg.DagsterRun, place: Place) -> list[str]:
    return [key.to_user_string() for key in partitioned_assets(place, run.asset_selection or ())]


def _after_success(trouble: Trouble, well: frozenset[str]) -> Trouble:
    return trouble.model_copy(update={"waiting": tuple(name for name in trouble.waiting if name not in well)})


def _held_after_success(failure: HeldFailure, well: frozenset[str]) -> HeldFailure:
    return failure.model_copy(update={"trouble": _after_success(failure.trouble, well)})


def _waiting(instance: dg.DagsterInstance, run: dg.DagsterRun, place: Place) -> tuple[str, ...]:
    """What else than partitions a run failed at: assets without any, and what is no asset, such as a check that raised,
    by the run's subject."""
    if not run.asset_selection:
        return (_subject(run),)
    others = sorted(set(_assets(run)) - set(_partitioned(run, place)))
    failed = {event.step_key for event in _failures(instance, run.run_id, dg.DagsterEventType.STEP_FAILURE)}
    if not failed:  # its process has ended: nobody has noted where it was
        return tuple(others)
    partitions = {_step_of(name) for name in _partitioned(run, place)}
    steps = {_step_of(name): name for name in others}
    return tuple(sorted({steps.get(step or "", _subject(run)) for step in failed - partitions}))


def _step_of(asset: str) -> str:
    """The step that makes an asset, as Dagster names it."""
    return dg.AssetKey.from_user_string(asset).to_python_identifier()


def _trouble(instance: dg.DagsterInstance, record: RunRecord, place: Place) -> Trouble:
    run = record.dagster_run
    kinds = _kinds_of_error(instance, run.run_id)
    of_assets = next(filter(None, map(index_of, sorted(run.asset_selection or ()))), None)
    runbook = next((runbooks.ERRORS[kind] for kind in kinds if kind in runbooks.ERRORS), runbooks.FAILING_RUNS)
    return Trouble(
        key=f"run {_subject(run)}",
        index=run.tags.get(_INDEX_TAG) or of_assets,
        what=f"runs of {_subject(run)} fail",
        detail=f"It ended with {kinds[0]}." if kinds else "",
        since=end_of(record),
        path=f"/runs/{run.run_id}",
        runbook=runbook,
        assets=tuple(_partitioned(run, place)),
        waiting=_waiting(instance, run, place),
    )


def _kinds_of_error(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    """The names of the errors that ended a run, the first cause first. Their words may be a provider's, or a row's."""
    for kind in (dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE):
        for event in _failures(instance, run_id, kind):
            error: SerializableErrorInfo | None = getattr(event.event_specific_data, "error", None)
            names: list[str] = []
            while error is not None:
                if error.cls_name:
                    names.insert(0, error.cls_name)
                error = error.cause
            if names:
                return names
    return []


def _failures(instance: dg.DagsterInstance, run_id: str, kind: dg.DagsterEventType) -> list[dg.DagsterEvent]:
    records = instance.get_records_for_run(run_id, of_type=kind, limit=_MOST_STEPS).records
    return [event for record in records if (event := record.event_log_entry.dagster_event) is not None]


def _still_failing(instance: dg.DagsterInstance, place: Place, failing: Mapping[str, Trouble]) -> dict[str, Trouble]:
    """These less what has gone well since, or what this location no longer has."""
    still: dict[str, Trouble] = {}
    for key, trouble in failing.items():
        waiting = tuple(name for name in trouble.waiting if _is_there(name, place))
        assets = partitioned_assets(place, map(dg.AssetKey.from_user_string, trouble.assets))
        failed, unfinished = unfinished_partitions(instance, assets)
        # One that failed and is being tried again is not well before that run has ended well.
        left = sorted(failed | (unfinished & set(trouble.partitions)))
        if waiting or left:
            now = {"partitions": tuple(left[:_MOST_PARTITIONS]), "waiting": waiting}
            still[key] = trouble.model_copy(update=now)
    return still


def _is_there(subject: str, place: Place) -> bool:
    """Whether the location has any of the assets or checks, or the job, that a run was of."""
    if place.repository.has_job(subject):
        return True
    assets = {key.to_user_string() for key in place.repository.asset_graph.get_all_asset_keys()}
    checks = {key.to_user_string() for key in place.check_keys}
    return not (assets | checks).isdisjoint(subject.split(", "))
