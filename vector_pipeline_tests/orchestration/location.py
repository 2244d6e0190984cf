"""A code location over real databases, and what Dagster's daemon does with it: ticks of the sensor, runs, events."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
from dagster._core.definitions.sensor_definition import SensorExecutionData

from vector_pipeline.core.index import VectorIndex
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.declarations import Declaration
from vector_pipeline.orchestration.compare_search_job import compare_search_job
from vector_pipeline.orchestration.index_context import IndexContext
from vector_pipeline.orchestration.index_definitions import build_index_definitions
from vector_pipeline.orchestration.nothing_kept import NothingKept
from vector_pipeline.orchestration.resources import indexes_from_environment
from vector_pipeline.orchestration.search_job import search_job
from vector_pipeline_tests.workbench import Workbench, faq_spec

QUIET: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

# Stands for whatever makes one range fail while its neighbours would not.
BREAK_RANGE_OF_150 = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'key 150 breaks'; END $$;
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON faq.documents FOR EACH ROW WHEN (NEW.key = '150')
EXECUTE FUNCTION refuse()
"""


@dataclass
class Location:
    """One index in a location of its own, on an instance."""

    workbench: Workbench
    instance: dg.DagsterInstance
    spec: IndexSpec = field(default_factory=faq_spec)
    cursor: str | None = None
    _loaded: tuple[tuple[IndexSpec, dict[str, str]], dg.Definitions] | None = field(default=None, repr=False)

    @property
    def index(self) -> IndexContext:
        return IndexContext(Declaration(self.spec, "defs/faq/defs.yaml"))

    @property
    def definitions(self) -> dg.Definitions:
        """Made anew when the declaration or the environment has changed, as a reloaded location makes them."""
        made_of = (self.spec, dict(os.environ))
        if self._loaded is None or self._loaded[0] != made_of:
            self._loaded = made_of, self._load()
        return self._loaded[1]

    def _load(self) -> dg.Definitions:
        shared = dg.Definitions(
            resources={"indexes": indexes_from_environment(), "io_manager": NothingKept()},
            jobs=[search_job, compare_search_job],
            executor=dg.in_process_executor,
        )
        return dg.Definitions.merge(build_index_definitions(self.index), shared)

    @contextmanager
    def opened(self) -> Iterator[VectorIndex]:
        with self.workbench.index(self.spec) as index:
            yield index

    def tick(self) -> SensorExecutionData:
        """One look of the sensor; the daemon's part of it is done as well, but for the runs that it requests."""
        definitions = self.definitions
        sensor = definitions.resolve_sensor_def(f"{self.index.prefix}_reconcile")
        with dg.build_sensor_context(
            instance=self.instance,
            instance_ref=self.instance.get_ref(),
            definitions=definitions,
            resources={"indexes": indexes_from_environment()},
            cursor=self.cursor,
        ) as context:
            result = sensor.evaluate_tick(context)
        self.cursor = result.cursor
        for request in result.dynamic_partitions_requests or ():
            self.instance.add_dynamic_partitions(request.partitions_def_name, request.partition_keys)
        for event in result.asset_events:
            assert isinstance(event, dg.AssetMaterialization | dg.AssetObservation)
            self.instance.report_runless_asset_event(event)
        return result

    def run(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        return self.materialize(
            *(key.path[-1] for key in request.asset_selection or ()),
            checks=[key.name for key in request.asset_check_keys or ()],
            tags=dict(request.tags),
        )

    def materialize(
        self, *assets: str, checks: list[str] | None = None, tags: dict[str, str] | None = None
    ) -> dg.ExecuteInProcessResult:
        """A run of these assets and checks alone; it may fail."""
        job = self.job_of(*assets, checks=checks)
        return job.execute_in_process(instance=self.instance, tags=tags, run_config=QUIET, raise_on_error=False)

    def job_of(self, *assets: str, checks: list[str] | None = None) -> dg.JobDefinition:
        """The job of these assets and checks alone."""
        return self.definitions.resolve_implicit_global_asset_job_def().get_subset(
            asset_selection={self.index.key(name) for name in assets},
            asset_check_selection={key for key in self._check_keys() if key.name in (checks or [])},
        )

    def check(self, name: str) -> dg.AssetCheckEvaluation:
        """Runs one check."""
        [evaluation] = self.materialize(checks=[name]).get_asset_check_evaluations()
        return evaluation

    def settle(self) -> list[dg.RunRequest]:
        """Ticks, and runs what is requested, until nothing is; tells what was."""
        requested: list[dg.RunRequest] = []
        for _ in range(20):
            requests = self.tick().run_requests or []
            if not requests:
                return requested
            for request in requests:
                assert self.run(request).success
            requested += requests
        raise AssertionError(f"never settles: {requested[-1]}")

    def partitions(self) -> list[str]:
        name = self.index.ranges.name
        assert name is not None
        return list(self.instance.get_dynamic_partitions(name))

    def end_pauses(self) -> None:
        """The pauses of failed ranges are over."""
        self.workbench.postgres("UPDATE vector_pipeline.key_ranges SET next_attempt_at = now() - interval '1 second'")

    def _check_keys(self) -> set[dg.AssetCheckKey]:
        return set(self.definitions.resolve_asset_graph().asset_check_keys)


def covered_by(request: dg.RunRequest) -> tuple[str, str]:
    """The first and last partition of a run."""
    return (
        request.tags["dagster/asset_partition_range_start"],
        request.tags["dagster/asset_partition_range_end"],
    )
