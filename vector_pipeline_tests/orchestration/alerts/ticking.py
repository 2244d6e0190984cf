"""Looks of a sensor, as Dagster's daemon writes them down."""

from __future__ import annotations

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster_shared.error import SerializableErrorInfo


class TickingSensor:
    """A sensor that runs.

    Args:
        well_at: when its last look went well, None for not at all: seconds since 1970.
    """

    def __init__(self, instance: dg.DagsterInstance, name: str, well_at: float | None = None) -> None:
        self._instance = instance
        repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("here"), "__repository__")
        data = SensorInstigatorData(sensor_type=None, last_tick_success_timestamp=well_at)
        self._state = InstigatorState(
            RemoteInstigatorOrigin(repository, name), InstigatorType.SENSOR, InstigatorStatus.RUNNING, data
        )
        instance.add_instigator_state(self._state)

    def tick(self, status: TickStatus, at: float) -> None:
        """One look, at that many seconds since 1970."""
        self._instance.create_tick(
            TickData(
                self._state.instigator_origin_id,
                self._state.name,
                InstigatorType.SENSOR,
                status,
                at,
                error=SerializableErrorInfo("MySQL is gone", [], None) if status is TickStatus.FAILURE else None,
                selector_id=self._state.selector_id,
            )
        )
