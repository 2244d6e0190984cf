"""Runs of an index's assets: what they do to the index, and what they tell of it."""

from __future__ import annotations

import dagster as dg
import pytest
from dagster._core.remote_representation.external_data import RepositorySnap

from vector_pipeline.declarations import Declaration
from vector_pipeline.orchestration import search_job
from vector_pipeline_tests.dagster_instances import DagsterHome
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.orchestration.location import BREAK_RANGE_OF_150, QUIET, Location, covered_by
from vector_pipeline_tests.workbench import faq_spec


def _latest(location: Location, asset: str, partition: str) -> dict[str, object]:
    """The metadata of a partition's last materialization."""
    [record] = location.instance.fetch_materializations(
        dg.AssetRecordsFilter(location.index.key(asset), asset_partitions=[partition]), limit=1
    ).records
    materialization = record.asset_materialization
    assert materialization is not None
    return {name: value.value for name, value in materialization.metadata.items()}


def _partitions_with(location: Location, asset: str) -> set[str]:
    return location.instance.get_materialized_partitions(location.index.key(asset))


def test_one_range_can_be_materialised_alone(location: Location) -> None:
    location.workbench.create_faq(300)
    location.tick()
    second = location.partitions()[1]
    assert location.materialize("documents", "embeddings", tags={"dagster/partition": second}).success
    assert location.workbench.postgres("SELECT count(*) FROM faq.documents") == [(100,)]
    assert _partitions_with(location, "embeddings") == {second}


def test_a_backfill_puts_many_ranges_into_each_run(location: Location) -> None:
    location.spec = faq_spec(automation={"ranges_per_run": 7})
    for name in ("documents", "embeddings"):
        asset = location.definitions.resolve_assets_def(location.index.key(name))
        assert asset.backfill_policy == dg.BackfillPolicy.multi_run(7)


@pytest.mark.dagster_in_postgres
def test_each_partition_has_the_numbers_of_its_own_range(location: Location) -> None:
    location.workbench.create_faq(250)
    location.settle()
    numbers = [_latest(location, "documents", name) for name in location.partitions()]
    assert [facts["rows_read"] for facts in numbers] == [100, 100, 50]
    assert [facts["inserted"] for facts in numbers] == [100, 100, 50]
    with location.opened() as index:
        assert [facts["digest"] for facts in numbers] == [state.synced_digest for state in index.ranges()]
    passages = [_latest(location, "embeddings", name)["passages"] for name in location.partitions()]
    assert passages == [200, 200, 100]


def test_a_materialization_carries_numbers_to_plot_and_a_preview(location: Location) -> None:
    location.workbench.create_faq(250)
    location.settle()
    first = location.partitions()[0]
    documents, embeddings = _latest(location, "documents", first), _latest(location, "embeddings", first)
    assert {"rows_read", "inserted", "updated", "deleted", "seconds", "rows_per_second"} <= documents.keys()
    assert {"texts_reused", "texts_quarantined", "tokens", "requests", "seconds"} <= embeddings.keys()
    assert (embeddings["texts_needed"], embeddings["texts_embedded"]) == (500, 500)
    assert "question number" in str(documents["preview"])


def test_the_lineage_says_what_it_is(location: Location) -> None:
    location.spec = faq_spec(owners=["team:search", "ops@example.com"], description="Answers.")
    graph = location.definitions.resolve_asset_graph()
    nodes = {name: graph.get(location.index.key(name)) for name in ("rows", "documents", "embeddings", "search_index")}
    assert [sorted(key.path[-1] for key in node.parent_keys) for node in nodes.values()] == [
        [],
        ["rows"],
        ["documents"],
        ["embeddings"],
    ]
    assert {node.group_name for node in nodes.values()} == {"faq"}
    for node in nodes.values():
        assert list(node.owners) == ["team:search", "ops@example.com"]
        assert "Answers." in (node.description or "")
        assert {"dagster/table_name", "dagster/column_schema", "dagster/code_references"} <= node.metadata.keys()
    assert nodes["rows"].is_external
    assert not nodes["search_index"].is_partitioned


def test_ranges_before_the_one_that_fails_are_shown_as_done(location: Location) -> None:
    location.workbench.create_faq(300)
    with location.opened() as index:
        index.prepare()
    location.workbench.postgres(BREAK_RANGE_OF_150)
    [request] = location.tick().run_requests or []
    result = location.run(request)
    assert not result.success
    assert _partitions_with(location, "documents") == {location.partitions()[0]}
    assert _partitions_with(location, "embeddings") == set()


def test_a_text_that_the_provider_refuses_ends_as_success_warning_and_failing_check(
    location: Location, provider: MisbehavingProvider
) -> None:
    del provider
    location.workbench.create_faq(300)
    location.workbench.mysql("UPDATE faq SET question = 'poison' WHERE id = 150")
    [request] = location.tick().run_requests or []
    result = location.run(request)
    assert result.success
    [quarantine] = [e for e in result.get_asset_check_evaluations() if e.check_name == "no_quarantine"]
    assert not quarantine.passed
    assert quarantine.severity == dg.AssetCheckSeverity.WARN
    assert "150 (question)" in (quarantine.description or "")
    logged = location.instance.all_logs(result.run_id)
    assert any(
        entry.level == 30 and location.partitions()[1] in entry.user_message and "quarantine" in entry.user_message
        for entry in logged
    )


def test_the_search_job_finds_documents_of_any_index_by_its_name(
    location: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    location.workbench.create_faq(120)
    location.settle()
    monkeypatch.setattr(search_job, "find_declaration", {"faq": location.index.declaration}.__getitem__)
    search = {"index": "faq", "query": "question number 7?", "limit": 3, "filter": {"link": {"prefix": "https:"}}}
    config = {"ops": {"search": {"config": search}}}
    job = location.definitions.resolve_job_def("search_job")
    result = job.execute_in_process(instance=location.instance, run_config=config | QUIET)
    hits = result.output_for_node("search")
    assert len(hits) == 3
    assert (hits[0]["key"], hits[0]["field"], hits[0]["score"]) == ("7", "question", pytest.approx(1))
    [output] = [event for event in result.all_events if event.is_successful_output]
    assert "question number 7?" in str(output.step_output_data.metadata["hits"].value)


@pytest.mark.long
def test_the_search_job_searches_several_indexes_and_names_one_that_fails(
    location: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    location.workbench.create_faq(20)
    location.settle()
    declared = {"faq": location.index.declaration, "new": Declaration(faq_spec("new"), "defs/new/defs.yaml")}
    monkeypatch.setattr(search_job, "find_declaration", declared.__getitem__)
    search = {"indexes": ["faq", "new"], "query": "question number 7?", "limit": 2, "field": "question=2, answer=1"}
    config = {"ops": {"search": {"config": search}}}
    job = location.definitions.resolve_job_def("search_job")
    result = job.execute_in_process(instance=location.instance, run_config=config | QUIET)
    hits = result.output_for_node("search")
    assert [hit["index"] for hit in hits] == ["faq", "faq"]
    assert hits[0]["merged_score"] == hits[0]["hit"]["score"]
    [output] = [event for event in result.all_events if event.is_successful_output]
    told = output.step_output_data.metadata
    assert (told["indexes"].value, told["merged_by"].value) == ("faq", "score")
    assert "index 'new' is not in PostgreSQL yet" in str(told["failed"].value)


def test_a_run_with_nothing_set_names_each_missing_variable(
    location: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    location.workbench.create_faq(10)
    location.tick()
    needed = ("DB_HOST", "DB_USER", "DB_NAME", "PG_HOST", "PG_USER", "PGVECTOR_DB_NAME")
    for name in (*needed, "DB_PORT", "DB_PASSWORD", "PG_PORT", "PG_PASSWORD"):
        monkeypatch.delenv(name)
    result = location.materialize("documents", tags={"dagster/partition": location.partitions()[0]})
    [failure] = [event for event in result.all_events if event.is_step_failure]
    message = str(failure.step_failure_data.error)
    assert all(name in message for name in needed)


def test_a_wrong_declaration_fails_its_run_with_file_field_and_remedy(location: Location) -> None:
    location.workbench.create_faq(10)
    location.tick()
    location.spec = faq_spec(source={"table": "faqs", "primary_key": "id"})
    result = location.materialize("documents", tags={"dagster/partition": location.partitions()[0]})
    [failure] = [event for event in result.all_events if event.is_step_failure]
    message = str(failure.step_failure_data.error)
    assert "defs/faq/defs.yaml, source.table: there is no table or view" in message
    assert "GRANT SELECT" in message


def test_secrets_show_nowhere(
    location: Location, dagster_home: DagsterHome, monkeypatch: pytest.MonkeyPatch, provider: MisbehavingProvider
) -> None:
    key = "key-that-nobody-may-see"
    monkeypatch.setenv("EMBEDDING_API_KEY", key)
    provider.api_key = key
    location.workbench.create_faq(150)
    location.settle()
    location.check("parity")
    wrong = "wrong-password-that-nobody-may-see"
    partition = {"dagster/partition": location.partitions()[0]}
    for variable in ("DB_PASSWORD", "PG_PASSWORD", "EMBEDDING_API_KEY"):
        location.workbench.mysql("UPDATE faq SET question = CONCAT('again ', question)")
        with monkeypatch.context() as broken:
            broken.setenv(variable, wrong)
            location.materialize("documents", "embeddings", tags=partition)
    snapshot = dg.serialize_value(RepositorySnap.from_def(location.definitions.get_repository_def()))
    secrets = {location.workbench.target.password, location.workbench.source.password, key, wrong} - {""}
    assert location.workbench.target.password
    assert [secret for secret in secrets if secret in snapshot or dagster_home.places_with(secret)] == []


@pytest.mark.long
def test_a_requested_window_runs_as_it_was_requested(location: Location) -> None:
    location.spec = faq_spec(automation={"ranges_per_run": 2})
    location.workbench.create_faq(400)
    for request in location.tick().run_requests or []:
        result = location.run(request)
        events = [
            e for e in result.get_asset_materialization_events() if e.asset_key == location.index.key("documents")
        ]
        assert sorted(str(event.partition) for event in events) == sorted(covered_by(request))
