"""A sync in this process, on the configured Dagster instance: the UI shows it like any other run."""

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import dagster as dg

from vector_pipeline.core.errors import (
    MassDeletionHeldError,
    ProviderError,
    SourceUnavailableError,
    TargetUnavailableError,
    VectorPipelineError,
)
from vector_pipeline.core.generations import TO_BE_BUILT, GenerationWork
from vector_pipeline.core.index import VectorIndex, open_index
from vector_pipeline.core.reports import SyncReport
from vector_pipeline.core.settings import read_settings
from vector_pipeline.declarations import Declaration
from vector_pipeline.orchestration.assets import DOCUMENTS, EMBEDDINGS, SEARCH_INDEX
from vector_pipeline.orchestration.found_ranges import tell_of_ranges
from vector_pipeline.orchestration.index_context import IndexContext
from vector_pipeline.orchestration.index_definitions import build_index_definitions
from vector_pipeline.orchestration.metadata import NOT_SERVED_YET
from vector_pipeline.orchestration.next_generation import NEXT_GENERATION
from vector_pipeline.orchestration.resources import indexes_from_environment
from vector_pipeline.orchestration.sensors import unknown_partitions
from vector_pipeline.orchestration.windows import Window, cover

OnProgress = Callable[[int, int], None]

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class _Sums:
    """Numbers of the materializations of all runs, added up."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._costs: list[float | None] = []
        self.paused: str | None = None
        self.obstacle: str | None = None

    def add(self, result: dg.ExecuteInProcessResult, index: IndexContext) -> None:
        """Adds a run. Numbers of its whole run stand at each partition, and are taken once."""
        for name in (DOCUMENTS, EMBEDDINGS, NEXT_GENERATION):
            events = [e for e in result.get_asset_materialization_events() if e.asset_key == index.key(name)]
            found = events[0].materialization.metadata if events else {}
            for key, value in found.items():
                if isinstance(value, dg.IntMetadataValue) and value.value is not None:
                    self._numbers[key] = self._numbers.get(key, 0) + value.value
            if isinstance(obstacle := found.get(NOT_SERVED_YET), dg.TextMetadataValue):
                self.obstacle = obstacle.value
            if found.get("texts_embedded") is not None:
                cost, paused = found.get("cost_usd"), found.get("paused")
                self._costs.append(cost.value if isinstance(cost, dg.FloatMetadataValue) else None)
                self.paused = self.paused or (paused.value if isinstance(paused, dg.TextMetadataValue) else None)

    @property
    def cost(self) -> float | None:
        """USD; None where a run's isn't known."""
        known = [cost for cost in self._costs if cost is not None]
        return sum(known) if len(known) == len(self._costs) else None

    def __getitem__(self, key: str) -> int:
        return self._numbers.get(key, 0)


def sync_in_process(declaration: Declaration, on_progress: OnProgress | None = None) -> SyncReport:
    """Finds the dirty ranges of an index and materialises their assets, builds the generation that is declared where
    another is served, then `search_index` if it is due.

    A range that fails is left for the end, and next time it runs alone, so that it keeps no other from being synced.

    Raises:
        IndexSpecError: the declaration is wrong.
        VectorPipelineError: what made a run fail. Unless a server was down, all other ranges are synced.
    """
    started = time.monotonic()
    declaration.refuse_if_wrong()
    index = IndexContext(declaration)
    job = _job_of_all_assets(index)
    sums = _Sums()
    synced: list[str] = []
    with (
        dg.DagsterInstance.get() as instance,
        open_index(declaration.spec, read_settings(), origin=declaration.origin, folder=declaration.folder) as opened,
    ):
        opened.detect()
        opened.refuse_if_deletions_are_held()
        windows = _dirty_windows(instance, index, opened)
        total = sum(len(window.dirty) for window in windows)
        served = opened.served_generation()
        failure: VectorPipelineError | None = None
        for window in windows:
            selection = [index.key(DOCUMENTS), index.key(EMBEDDINGS)]
            opened.note_attempt(window.dirty)
            try:
                sums.add(_run(job, instance, selection, index.run_tags | window.tags), index)
            except (ProviderError, SourceUnavailableError, TargetUnavailableError, MassDeletionHeldError):
                raise  # the next window would only wait for the same server, or the same person
            except VectorPipelineError as error:
                failure = failure or error
                continue
            synced += window.dirty
            if on_progress is not None:
                on_progress(len(synced), total)
        if opened.next_generation_work() in TO_BE_BUILT:
            try:
                sums.add(_run(job, instance, [index.key(NEXT_GENERATION)], index.run_tags), index)
            except VectorPipelineError as error:
                failure = failure or error
        if opened.search_index_is_due() or not opened.search_index_is_as_declared():
            _run(job, instance, [index.key(SEARCH_INDEX)], index.run_tags)
        if failure is not None:
            raise failure
        report = _report(declaration.spec.name, sums, synced, time.monotonic() - started)
        return _with_generations(report, opened, served, sums.obstacle)


def _job_of_all_assets(index: IndexContext) -> Any:
    """Runs any of the index's assets. Users of the command line have no use for Dagster's own warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        warnings.simplefilter("ignore", dg.PreviewWarning)
        definitions = dg.Definitions.merge(
            build_index_definitions(index),
            dg.Definitions(resources={"indexes": indexes_from_environment()}, executor=dg.in_process_executor),
        )
        return definitions.resolve_implicit_global_asset_job_def()


def _dirty_windows(instance: dg.DagsterInstance, index: IndexContext, opened: VectorIndex) -> list[Window]:
    """Adds new partitions, reports changed rows, and covers the dirty ranges with runs."""
    found = tell_of_ranges(instance, index, opened)
    states, dirty = found.states, found.dirty
    listed = instance.get_dynamic_partitions(_name(index))
    failed = {state.partition for state in states if state.attempts > 0}
    longest = index.declaration.spec.automation.ranges_per_run
    return list(cover(dirty, listed, failed & dirty, longest, unknown_partitions(states, listed)))


def _name(index: IndexContext) -> str:
    name = index.ranges.name
    assert name is not None
    return name


def _run(
    job: Any, instance: dg.DagsterInstance, selection: Sequence[dg.AssetKey], tags: dict[str, str]
) -> dg.ExecuteInProcessResult:
    try:
        result: dg.ExecuteInProcessResult = job.execute_in_process(
            instance=instance, asset_selection=list(selection), tags=tags, run_config=_QUIET
        )
    except dg.DagsterError as error:
        raise VectorPipelineError(str(error)) from error
    return result


def _with_generations(report: SyncReport, opened: VectorIndex, before: int, obstacle: str | None) -> SyncReport:
    """Adds which generation is served since, and why the declared one isn't.

    Args:
        before: the generation that was served at the beginning.
        obstacle: what the run that built the declared one has found; without it, what is known is told.
    """
    served = opened.served_generation()
    report = replace(report, switched_to=None if served == before else served)
    # Where what is declared is served, nothing has to be counted.
    if opened.next_generation_work() is GenerationWork.NONE:
        return report
    found = opened.generations()
    if found.building is None:
        return report
    obstacles = found.obstacles if obstacle is None else (obstacle,)
    return replace(report, building=found.building.number, obstacles=obstacles)


def _report(name: str, sums: _Sums, synced: Sequence[str], seconds: float) -> SyncReport:
    return SyncReport(
        index=name,
        ranges_synced=len(synced),
        rows_read=sums["run_rows_read"],
        inserted=sums["run_inserted"],
        updated=sums["run_updated"],
        deleted=sums["run_deleted"],
        texts_needed=sums["texts_needed"],
        texts_reused=sums["texts_reused"],
        texts_embedded=sums["texts_embedded"],
        texts_quarantined=sums["texts_quarantined"],
        requests=sums["requests"],
        tokens=sums["tokens"],
        seconds=seconds,
        ranges=tuple(synced),
        cost=sums.cost,
        paused=sums.paused,
    )
