"""The run that an API call or an agent starts: it finds what differs, syncs it, and tells what it has done."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from vector_pipeline.core.store import connection as store_connection
from vector_pipeline.core.store import open_runs
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.orchestration.location import QUIET, Location

# Stands for a caller who joins the run while its first round is at work.
ASK_WHEN_A_DOCUMENT_IS_WRITTEN = """
CREATE FUNCTION ask() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN UPDATE vector_pipeline.open_runs SET asked_at = clock_timestamp() WHERE NOT closed; RETURN NEW; END $$;
CREATE TRIGGER ask AFTER INSERT ON faq.documents FOR EACH ROW EXECUTE FUNCTION ask()
"""


def run(location: Location, kind: str, run_id: str | None = None) -> dg.ExecuteInProcessResult:
    job = location.definitions.resolve_job_def(f"faq_{kind}")
    return job.execute_in_process(instance=location.instance, run_config=QUIET, raise_on_error=False, run_id=run_id)


def told(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """The metadata of the op's output."""
    [event] = [e for e in result.all_events if e.event_type is dg.DagsterEventType.STEP_OUTPUT]
    return {name: value.value for name, value in event.step_output_data.metadata.items()}


def numbers(result: dg.ExecuteInProcessResult, *names: str) -> tuple[Any, ...]:
    return tuple(told(result)[name] for name in names)


def materialized(result: dg.ExecuteInProcessResult, asset: str) -> list[str | None]:
    events = result.get_asset_materialization_events()
    return [e.partition for e in events if e.asset_key is not None and e.asset_key.path[-1] == asset]


def reason(result: dg.ExecuteInProcessResult) -> str:
    """Why a run failed."""
    [event] = [e for e in result.all_events if e.event_type is dg.DagsterEventType.STEP_FAILURE]
    error = event.step_failure_data.error
    assert error is not None
    return "\n".join([error.message, *(cause.message for cause in [error.cause] if cause is not None)])


def test_one_run_fills_an_index_and_tells_what_it_wrote(location: Location) -> None:
    location.workbench.create_faq(250)

    result = run(location, "sync")

    assert result.success
    assert numbers(result, "documents_written", "inserted", "deleted", "ranges_synced") == (250, 250, 0, 3)
    assert numbers(result, "texts_needed", "texts_embedded", "rounds") == (500, 500, 1)
    assert materialized(result, "documents") == location.partitions()
    assert materialized(result, "embeddings") == location.partitions()
    assert len(materialized(result, "search_index")) == 1
    with location.opened() as index:
        assert index.search("question number 207?").hits[0].key == "207"


def test_only_what_differs_is_written_and_nothing_where_nothing_does(location: Location) -> None:
    location.workbench.create_faq(250)
    run(location, "sync")
    location.workbench.mysql("UPDATE faq SET question = 'Where is the lost property office?' WHERE id = 7")
    location.workbench.mysql("DELETE FROM faq WHERE id IN (8, 9)")
    location.workbench.add_faq([251])

    changed, unchanged = run(location, "sync"), run(location, "sync")

    assert numbers(changed, "documents_written", "inserted", "updated", "deleted") == (2, 1, 1, 2)
    assert numbers(changed, "texts_embedded") == (3,)
    assert numbers(unchanged, "documents_written", "deleted", "rows_read", "texts_embedded") == (0, 0, 0, 0)


def test_a_mass_deletion_is_held_and_the_run_says_so(location: Location) -> None:
    location.workbench.create_faq(1200)
    run(location, "sync")
    location.workbench.mysql("DELETE FROM faq")
    result = run(location, "sync")
    assert not result.success
    assert "is paused: the source lacks 1,200" in reason(result)


def test_a_provider_that_is_down_fails_the_run_and_its_documents_are_kept(
    location: Location, provider: MisbehavingProvider
) -> None:
    location.workbench.create_faq(3)
    run(location, "sync")
    location.workbench.add_faq([4])
    provider.api_key = "another"
    failed = run(location, "sync")
    provider.api_key = None
    assert not failed.success
    assert numbers(run(location, "sync"), "documents_written", "texts_embedded") == (0, 2)


def test_reindex_makes_anew_what_is_damaged_and_pays_for_nothing_that_is_there(location: Location) -> None:
    location.workbench.create_faq(250)
    run(location, "sync")
    location.workbench.postgres("DELETE FROM faq.documents WHERE key IN ('3', '4')")
    location.workbench.postgres("UPDATE faq.documents SET question = 'forged' WHERE key = '207'")
    assert numbers(run(location, "sync"), "documents_written") == (0,)

    result = run(location, "reindex")

    assert numbers(result, "documents_written", "texts_embedded") == (3, 0)
    with location.opened() as index:
        assert index.verify().equal


def test_who_joins_a_run_at_work_gets_a_round_that_begins_after(location: Location) -> None:
    location.workbench.create_faq(3)
    run(location, "sync")
    run_id = "11111111-1111-1111-1111-111111111111"
    with store_connection.connect(location.workbench.target) as connection:
        with open_runs.alone(connection, "faq_sync"):
            assert open_runs.ask(connection, run_id)
        location.workbench.postgres(ASK_WHEN_A_DOCUMENT_IS_WRITTEN)
        location.workbench.add_faq([4])

        result = run(location, "sync", run_id)

        assert numbers(result, "rounds", "documents_written") == (2, 1)
        assert not open_runs.ask(connection, run_id)


@pytest.mark.parametrize("kind", ["sync", "reindex"])
def test_the_runs_count_as_those_of_their_index(location: Location, kind: str) -> None:
    location.workbench.create_faq(3)
    assert run(location, kind).dagster_run.tags["vector/index"] == "faq"
