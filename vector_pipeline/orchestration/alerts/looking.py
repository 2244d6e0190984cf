"""What fails at the moment, by what Dagster's instance knows: checks, runs, and looks of sensors."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import InstigatorState, InstigatorTick, SensorInstigatorData, TickStatus
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
)

from vector_pipeline.orchestration.alerts import runbooks
from vector_pipeline.orchestration.alerts.trouble import Trouble

# A look that failed once may have met a restart of a database.
FAILED_LOOKS = 3
# Dagster reads all looks of a sensor that it keeps, some 20,000 of 30 s each, to find the latest: half a second for one
# sensor, and more for all at once (`get_batch_ticks`). Those of the last while are found by an index.
_RECENT_SECONDS = 1800.0
_KNOWN = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}


@dataclass(frozen=True)
class Place:
    """The code location that the sensor is in; `name` is None where Dagster does not say."""

    repository: dg.RepositoryDefinition
    name: str | None

    @property
    def check_keys(self) -> list[dg.AssetCheckKey]:
        return sorted(self.repository.asset_graph.asset_check_keys, key=lambda key: key.to_user_string())


def index_of(key: dg.AssetKey) -> str | None:
    """The index that an asset belongs to."""
    return key.path[0] if len(key.path) > 1 else None


def failing_checks(instance: dg.DagsterInstance, place: Place) -> dict[str, Trouble]:
    """The checks whose latest result is a failure. One that is being evaluated is what it was last."""
    keys = place.check_keys
    latest = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    found: dict[str, Trouble] = {}
    for key in keys:
        record = _evaluated(instance, key, latest.get(key))
        if record and isinstance(record.evaluation, dg.AssetCheckEvaluation) and not record.evaluation.passed:
            name = f"check {key.to_user_string()}"
            found[name] = _failing_check(name, key, record, record.evaluation, place)
    return found


def _evaluated(
    instance: dg.DagsterInstance, key: dg.AssetCheckKey, latest: AssetCheckExecutionRecord | None
) -> AssetCheckExecutionRecord | None:
    if latest is None or latest.status in _KNOWN:
        return latest
    history = instance.event_log_storage.get_asset_check_execution_history(key, limit=1, status=_KNOWN)
    return next(iter(history), None)


def _failing_check(
    name: str, key: dg.AssetCheckKey, record: AssetCheckExecutionRecord, found: dg.AssetCheckEvaluation, place: Place
) -> Trouble:
    promised = place.repository.asset_graph.get_check_spec(key).description or ""
    asset = key.asset_key.to_user_string()
    page = f"/assets/{asset}?view=checks&checkDetail={key.name}"
    return Trouble(
        key=name,
        index=index_of(key.asset_key),
        what=f"check {key.name} of {asset} fails",
        detail="\n".join(filter(None, (f"It does not hold: {promised}" if promised else "", _numbers(found)))),
        since=record.create_timestamp,
        serious=found.severity is dg.AssetCheckSeverity.ERROR,
        # What a sensor notes without a run has no run's page.
        path=f"/runs/{record.run_id}" if record.run_id else page,
        runbook=runbooks.CHECKS.get(key.name, ""),
    )


def _numbers(found: dg.AssetCheckEvaluation) -> str:
    """Its metadata less all words: those may be a row's, or a provider's."""
    values = ((name, value.value) for name, value in found.metadata.items())
    return ", ".join(
        f"{name} {value:,}" if isinstance(value, int) else f"{name} {value:,.3g}"
        for name, value in values
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    )


def failing_sensors(instance: dg.DagsterInstance, place: Place, now: float) -> dict[str, Trouble]:
    """The sensors that look after an index and whose last looks have all failed."""
    found: dict[str, Trouble] = {}
    for state in instance.all_instigator_state(instigator_type=InstigatorType.SENSOR):
        if not state.is_running or not _is_ours(state, place) or _went_well(state):
            continue
        ended = _last_looks(instance, state, now)
        if len(ended) < FAILED_LOOKS or any(tick.status is not TickStatus.FAILURE for tick in ended):
            continue
        key = f"sensor {state.name}"
        found[key] = Trouble(
            key=key,
            index=_index_of_sensor(place, state.name),
            what=f"sensor {state.name} fails",
            detail=f"Its last {FAILED_LOOKS} looks failed: the index does not follow its table meanwhile.",
            since=min(tick.timestamp for tick in ended),
            path=f"/locations/{place.repository.name}@{place.name}/sensors/{state.name}",
            runbook=runbooks.FAILING_SENSOR,
        )
    return found


def _went_well(state: InstigatorState) -> bool:
    """Whether its last look did, by what the sensor's own row says. It says nothing while a look is under way."""
    data = state.instigator_data
    return isinstance(data, SensorInstigatorData) and data.last_tick_success_timestamp is not None


def _last_looks(instance: dg.DagsterInstance, state: InstigatorState, now: float) -> list[InstigatorTick]:
    """The latest looks that have ended, as many as have to fail until it is told."""
    ended: list[InstigatorTick] = []
    for after in (now - _RECENT_SECONDS, None):
        ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, after=after, limit=FAILED_LOOKS + 1)
        ended = [tick for tick in ticks if tick.status is not TickStatus.STARTED][:FAILED_LOOKS]
        if len(ended) == FAILED_LOOKS or any(tick.status is not TickStatus.FAILURE for tick in ended):
            break
    return ended


def _is_ours(state: InstigatorState, place: Place) -> bool:
    selector = state.repository_selector
    named = {sensor.name for sensor in place.repository.sensor_defs}
    return state.name in named and place.name in {None, selector.location_name}


def _index_of_sensor(place: Place, name: str) -> str | None:
    """By its name: Dagster does not keep whose assets a sensor asks runs for where it asks for several."""
    indexes = {index_of(key) or "" for key in place.repository.asset_graph.get_all_asset_keys()}
    return max((index for index in indexes if index and name.startswith(f"{index}_")), key=len, default=None)


def partitioned_assets(place: Place, keys: Iterable[dg.AssetKey]) -> list[dg.AssetKey]:
    """Those of the assets that this location has, and that are partitioned."""
    graph = place.repository.asset_graph
    return [key for key in sorted(keys) if graph.has(key) and graph.get(key).partitions_def is not None]


def unfinished_partitions(
    instance: dg.DagsterInstance, keys: Sequence[dg.AssetKey]
) -> tuple[frozenset[str], frozenset[str]]:
    """The partitions whose latest run failed, as the UI shows them; and all whose latest run hasn't finished them."""
    attempts: dict[str, set[str]] = {}
    for key in keys:
        latest = instance.event_log_storage.get_latest_asset_partition_materialization_attempts_without_materializations
        for partition, (run_id, _) in latest(key).items():
            attempts.setdefault(partition, set()).add(run_id)
    runs = {run_id for ids in attempts.values() for run_id in ids}
    failed = _failed(instance, runs)
    return frozenset(partition for partition, ids in attempts.items() if ids & failed), frozenset(attempts)


def _failed(instance: dg.DagsterInstance, run_ids: set[str]) -> set[str]:
    if not run_ids:
        return set()
    failed = dg.RunsFilter(run_ids=sorted(run_ids), statuses=[dg.DagsterRunStatus.FAILURE])
    return {run.run_id for run in instance.get_runs(failed)}
