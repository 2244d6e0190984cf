"""Where the Dagster instances of tests keep their history: what runs on PostgreSQL must not run on files unnoticed."""

from __future__ import annotations

import dagster as dg
import pytest
from dagster_postgres import PostgresEventLogStorage, PostgresRunStorage, PostgresScheduleStorage


def _is_in_postgres(instance: dg.DagsterInstance) -> bool:
    storages = {
        PostgresRunStorage: instance.run_storage,
        PostgresEventLogStorage: instance.event_log_storage,
        PostgresScheduleStorage: instance.schedule_storage,
    }
    [answer] = {isinstance(storage, kind) for kind, storage in storages.items()}
    return answer


def test_the_option_decides_where_no_mark_does(instance: dg.DagsterInstance, request: pytest.FixtureRequest) -> None:
    assert _is_in_postgres(instance) == (request.config.getoption("--dagster-storage") == "postgres")


@pytest.mark.dagster_in_postgres
def test_a_marked_test_has_all_of_its_history_in_postgresql(instance: dg.DagsterInstance) -> None:
    assert _is_in_postgres(instance)
    assert instance.get_runs() == []
