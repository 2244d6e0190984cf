"""What Dagster's pages show of an index, read from where they read it."""

from __future__ import annotations

from dataclasses import dataclass

import dagster as dg
from dagster._core.scheduler.instigation import TickStatus
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES


@dataclass(frozen=True)
class UserInterface:
    """The pages of one instance."""

    instance: dg.DagsterInstance
    index: str

    def shows(self, line: str) -> str:
        """What stands there now of what a line of a runbook names: `sensor NAME`, `check NAME`, `run of STEP`."""
        kind, _, name = line.partition(" ")
        if kind == "sensor":
            return self.last_tick(name)
        if kind == "check":
            return self.check(name)
        if kind == "run":
            return self.failure(name.removeprefix("of "))
        raise ValueError(f"nothing in the UI is called {line!r}")

    def last_tick(self, sensor: str) -> str:
        """Automation › the sensor: what its last tick says."""
        for state in self.instance.all_instigator_state():
            if state.instigator_name == sensor:
                for tick in self.instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=2):
                    if tick.error is not None:
                        return tick.error.message
                    if tick.skip_reason:
                        return tick.skip_reason
        return ""

    def is_quiet(self) -> bool:
        """Neither a tick nor a run is under way."""
        if self.instance.get_runs(dg.RunsFilter(statuses=list(IN_PROGRESS_RUN_STATUSES))):
            return False
        started = [TickStatus.STARTED]
        return not any(
            self.instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1, statuses=started)
            for state in self.instance.all_instigator_state()
        )

    def check(self, name: str) -> str:
        """The asset's page › Checks: the latest result, with what it is about first."""
        for key in self._check_keys(name):
            records = self.instance.event_log_storage.get_latest_asset_check_execution_by_key([key])
            record = records.get(key)
            result = None if record is None else record.evaluation
            if isinstance(result, dg.AssetCheckEvaluation):
                return f"{'passed' if result.passed else 'failed'}: {result.description}"
        return ""

    def failure(self, step: str) -> str:
        """Runs › the latest failed one: what the step says."""
        failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE])
        for run in self.instance.get_runs(failed, limit=5):
            for entry in self.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
                event = entry.get_dagster_event()
                data = event.step_failure_data
                if event.step_key and event.step_key.endswith(step) and data.error is not None:
                    return (data.error.cause or data.error).message
        return ""

    def _check_keys(self, name: str) -> list[dg.AssetCheckKey]:
        assets = ("rows", "documents", "embeddings", "search_index", "next_generation")
        return [dg.AssetCheckKey(dg.AssetKey([self.index, asset]), name) for asset in assets]
