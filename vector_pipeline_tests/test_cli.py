"""The command line, as its users call it: on the shipped index, with the local model and real databases."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from vector_pipeline.cli import main
from vector_pipeline.core.settings import SourceSettings, TargetSettings
from vector_pipeline.core.spec import GoldenFloorSpec
from vector_pipeline.declarations import find_declaration
from vector_pipeline.embedded.ports import choose_port
from vector_pipeline_tests.dagster_instances import DagsterHome
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.workbench import Workbench

TABLE = """
CREATE TABLE tbl_genie_genie (
    id BIGINT PRIMARY KEY, genie_question TEXT, genie_answer TEXT, genie_questiondate DATETIME,
    genie_sourcelink VARCHAR(500)
)
"""
PASSPORT = "Where do I renew my passport?"


@pytest.fixture
def workbench(
    mysql_database: SourceSettings,
    pg_database: TargetSettings,
    tmp_path: Path,
    dagster_home: DagsterHome,
    monkeypatch: pytest.MonkeyPatch,
) -> Workbench:
    """The shipped index's table with three rows, and an environment that leads the command line to it."""
    workbench = Workbench(mysql_database, pg_database)
    workbench.mysql(TABLE)
    workbench.mysql(
        "INSERT INTO tbl_genie_genie VALUES (%s, %s, %s, '2026-01-02 03:04:05', NULL)",
        [
            (1, PASSPORT, "At the Immigration office."),
            (2, "How is income tax paid?", "Online, by the end of April."),
            (3, "When is the library open?", "Every day but Sunday."),
        ],
    )
    monkeypatch.chdir(tmp_path)
    for name in ("EMBEDDING_MODEL_HOST", "SIMILARITY_THRESHOLD", "DB_PORT", "PG_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VECTOR_PIPELINE_STACK", str(tmp_path / "no-stack"))
    monkeypatch.setenv("DAGSTER_HOME", str(dagster_home.folder))
    for prefix, settings, database in (("DB", mysql_database, "DB_NAME"), ("PG", pg_database, "PGVECTOR_DB_NAME")):
        monkeypatch.setenv(f"{prefix}_HOST", settings.host)
        monkeypatch.setenv(f"{prefix}_PORT", str(settings.port))
        monkeypatch.setenv(f"{prefix}_USER", settings.user)
        monkeypatch.setenv(f"{prefix}_PASSWORD", settings.password)
        monkeypatch.setenv(database, settings.database)
    return workbench


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def printed(*arguments: str) -> dict[str, object]:
    """The JSON that a command prints."""
    result = run(*arguments, "--json")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    answer: dict[str, object] = json.loads(result.stdout)
    return answer


@pytest.mark.usefixtures("workbench")
def test_sync_prints_what_it_did_and_the_next_one_has_nothing_to_do() -> None:
    first = printed("sync", "genie_documents")
    assert (first["inserted"], first["texts_embedded"], first["ranges_synced"]) == (3, 6, 1)
    second = printed("sync", "genie_documents")
    assert (second["ranges_synced"], second["requests"]) == (0, 0)


@pytest.mark.usefixtures("workbench")
def test_search_verify_and_status_tell_of_a_synced_index() -> None:
    run("sync", "genie_documents")
    hits = printed("search", "genie_documents", "my passport has to be renewed", "--limit", "1")["hits"]
    assert isinstance(hits, list)
    assert [hit["key"] for hit in hits] == ["1"]
    assert hits[0]["texts"]["question"] == PASSPORT
    assert hits[0]["metadata"]["date"] == "2026-01-02 03:04:05"
    for day, found in (("date=2026-01-02", 3), ("date>2026-01-02", 0)):
        filtered = printed("search", "genie_documents", "passport", "--filter", day, "--threshold", "-1")["hits"]
        assert isinstance(filtered, list)
        assert len(filtered) == found
    refused = run("search", "genie_documents", "passport", "--filter", "colour=red").stderr
    assert "'colour' is no metadata of 'genie_documents'; filter by date (date and time), link (text)" in refused
    for across in (["--all"], ["--index", "genie_documents"]):
        found = printed(
            "search", *across, "passport", "--field", "question=0.7", "--field", "answer=0.3", "--limit", "1"
        )
        [hit] = found["hits"]
        assert (hit["index"], hit["hit"]["key"], set(hit["hit"]["field_scores"])) == (
            "genie_documents",
            "1",
            {"question", "answer"},
        )
        assert (found["merged_by"], found["failures"]) == ("score", [])
    assert "key 1 of genie_documents" in run("search", "--all", "passport", "--threshold", "-1").stdout
    assert "give INDEX and QUERY" in run("search", "passport").stderr
    Path("queries.txt").write_text(f"{PASSPORT}\n\nWhen is the library open?\n", encoding="utf-8")
    many = json.loads(run("search", "genie_documents", "--queries", "queries.txt", "--limit", "1", "--json").stdout)
    assert [answer["hits"][0]["key"] for answer in many] == ["1", "3"]
    wrong = run("search", "genie_documents", "--queries", "queries.txt", "--field", "title")
    assert (wrong.exit_code, wrong.stdout.count("'title' is no field")) == (2, 2)
    like = printed("similar", "genie_documents", "1", "--threshold", "-1")
    assert [like["like"], {hit["key"] for hit in like["hits"]}] == ["1", {"2", "3"}]
    assert "no document with the key '9'" in run("similar", "genie_documents", "9").stderr
    assert printed("verify", "genie_documents")["equal"] is True
    assert run("verify", "genie_documents").exit_code == 0
    status = {one["index"]: one for one in json.loads(run("status", "--json").stdout)}
    assert set(status) == {"catalog", "genie_documents"}
    assert (status["genie_documents"]["documents"], status["genie_documents"]["ranges_dirty"]) == (3, 0)
    assert "100.0%" in run("status", "genie_documents").stdout


def test_verify_exits_with_1_and_names_the_keys_that_differ(workbench: Workbench) -> None:
    run("sync", "genie_documents")
    workbench.mysql("UPDATE tbl_genie_genie SET genie_answer = 'Closed.' WHERE id = 3")
    workbench.mysql("INSERT INTO tbl_genie_genie (id, genie_question) VALUES (4, 'new')")
    workbench.mysql("DELETE FROM tbl_genie_genie WHERE id = 1")
    result = run("verify", "genie_documents", "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    (difference,) = report["differences"]
    assert (difference["missing"], difference["stale"], difference["orphaned"]) == (["4"], ["3"], ["1"])
    shown = run("verify", "genie_documents")
    assert shown.exit_code == 1
    assert "parity: DIFFERENT" in shown.stdout


@pytest.mark.long
def test_damage_done_to_the_target_by_hand_is_repaired_on_request(workbench: Workbench) -> None:
    run("sync", "genie_documents")
    workbench.postgres("UPDATE genie_documents.documents SET answer = 'forged' WHERE key = '2'")
    workbench.postgres("DELETE FROM genie_documents.vectors_1 WHERE field = 'question'")
    assert run("verify", "genie_documents").exit_code == 1
    assert run("verify", "genie_documents", "--repair").exit_code == 0
    assert printed("verify", "genie_documents")["equal"] is True


@pytest.mark.long
@pytest.mark.usefixtures("workbench")
def test_a_removed_index_is_gone_and_can_be_built_anew() -> None:
    run("sync", "genie_documents")
    assert run("drop", "genie_documents", "--yes").exit_code == 0
    assert "is not in PostgreSQL yet" in run("search", "genie_documents", "passport").stderr
    assert printed("sync", "genie_documents")["inserted"] == 3
    assert printed("verify", "genie_documents")["equal"] is True


@pytest.mark.long
def test_a_retyped_column_is_an_error_until_it_is_accepted(workbench: Workbench) -> None:
    run("sync", "genie_documents")
    assert "no column of index genie_documents" in run("accept-schema", "genie_documents").stderr
    workbench.mysql("ALTER TABLE tbl_genie_genie MODIFY genie_questiondate DATE")
    assert "`vector-pipeline accept-schema genie_documents`" in run("sync", "genie_documents").stderr
    accepted = run("accept-schema", "genie_documents")
    assert accepted.exit_code == 0
    assert "accepted: column 'genie_questiondate' was datetime" in accepted.stderr
    assert printed("sync", "genie_documents")["updated"] == 3
    assert printed("verify", "genie_documents")["equal"] is True


def test_a_held_mass_deletion_is_shown_with_the_ways_out_and_decided_on(workbench: Workbench) -> None:
    run("sync", "genie_documents")
    assert printed("deletions", "genie_documents")["held"] is False
    assert "nothing to decide" in run("deletions", "genie_documents", "--approve").stderr
    workbench.postgres("UPDATE vector_pipeline.deletion_guards SET held_since = now(), held_deletions = 2")
    held = run("deletions", "genie_documents")
    assert held.exit_code == 1
    assert "lacks 2 of its 3 documents (67%)" in " ".join(held.stdout.split())
    rejected = run("deletions", "genie_documents", "--reject")
    assert rejected.exit_code == 1
    assert "were rejected" in " ".join(rejected.stdout.split())
    assert run("deletions", "genie_documents", "--approve").exit_code == 0
    assert run("deletions", "genie_documents").exit_code == 0


@pytest.mark.long
def test_canary_tells_whether_the_model_is_the_same_and_accepts_a_change(workbench: Workbench) -> None:
    run("sync", "genie_documents")
    assert printed("canary", "genie_documents")["drifted"] is False
    # As if the vectors of then had been another model's.
    workbench.postgres(
        "UPDATE vector_pipeline.canaries SET embedding = (SELECT embedding FROM vector_pipeline.canaries LIMIT 1)"
    )
    drifted = run("canary", "genie_documents")
    assert drifted.exit_code == 1
    assert "has changed under its name" in " ".join(drifted.stdout.split())
    assert run("canary", "genie_documents", "--accept").exit_code == 0
    assert run("canary", "genie_documents").exit_code == 0


@pytest.mark.long
@pytest.mark.usefixtures("workbench")
def test_quality_tells_how_the_golden_set_is_answered_and_exits_with_1_below_a_floor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("sync", "genie_documents")
    declared = find_declaration("genie_documents")
    golden = tmp_path / "golden.csv"
    golden.write_text(f"query,key\n{PASSPORT},1\n")
    search = declared.spec.search.model_copy(
        update={"golden_set": "golden.csv", "golden_floor": GoldenFloorSpec(recall_at_1=0.6)}
    )
    judged = replace(declared, spec=declared.spec.model_copy(update={"search": search}))
    monkeypatch.setattr("vector_pipeline.cli.opening.find_declaration", {"genie_documents": judged}.__getitem__)
    well = run("quality", "genie_documents")
    assert well.exit_code == 0
    assert "question: searched exactly" in well.output
    assert "nDCG@10 1.00" in well.output
    golden.write_text(f"query,key\n{PASSPORT},1\nWhen is the library open?,2\n")
    badly = run("quality", "genie_documents", "--json")
    assert badly.exit_code == 1
    assert json.loads(badly.stdout)["golden_set"]["below"] == ["recall_at_1 is 0.500, below 0.6"]
    alone = run("quality", "genie_documents", "--compare")
    assert alone.exit_code == 2
    assert "one generation alone" in " ".join(alone.output.split())


@pytest.mark.usefixtures("workbench")
def test_doctor_looks_at_servers_and_providers_and_exits_with_1_if_one_is_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = printed("doctor")
    assert found["healthy"] is True
    providers = found["providers"]
    assert isinstance(providers, list)
    assert [(one["provider"], one["dimensions"]) for one in providers] == [
        ("local:universal-sentence-encoder-multilingual-3", 512)
    ]
    monkeypatch.setenv("EMBEDDING_MODEL_HOST", "http://127.0.0.1:1")
    wrong = run("doctor", "genie_documents")
    assert wrong.exit_code == 1
    assert "EMBEDDING_MODEL_NAME" in " ".join(wrong.stdout.split())


@pytest.mark.long
def test_refused_texts_are_listed_ignored_and_tried_again(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MisbehavingProvider(dimensions=8) as provider:
        monkeypatch.setenv("EMBEDDING_MODEL_HOST", provider.url)
        monkeypatch.setenv("EMBEDDING_MODEL_NAME", "numbers")
        workbench.mysql("UPDATE tbl_genie_genie SET genie_question = CONCAT('poison ', id) WHERE id IN (1, 2)")
        run("sync", "genie_documents")

        def listed(*arguments: str) -> dict[str, object]:
            entries = json.loads(run("quarantine", "genie_documents", "--json", *arguments).stdout)
            return {entry["key"]: entry["ignored_at"] for entry in entries}

        assert listed() == {"1": None, "2": None}
        assert list(listed("2")) == ["2"]
        assert listed("--ignore", "2")["2"] is not None
        shown = " ".join(run("quarantine", "genie_documents").stdout.split())
        assert "ignored" in shown
        assert "1 text will be tried again" in run("quarantine", "genie_documents", "--retry").stderr
        assert "row '2'; `vector-pipeline quarantine" in run("quarantine", "genie_documents", "--retry", "2").stderr
        assert listed("--unignore", "2") == {"2": None}
        provider.reset()
        run("sync", "genie_documents")
        assert all(provider.times_sent(f"poison {key}") for key in (1, 2))
        unknown = run("quarantine", "genie_documents", "--ignore", "1", "99")
    assert unknown.exit_code == 2
    assert "no text in quarantine of row '99'" in unknown.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--ignore"], "--ignore needs the keys of rows"),
        (["--unignore"], "--unignore needs the keys of rows"),
        (["--retry", "--ignore", "1"], "exclude each other"),
    ],
)
def test_a_decision_on_refused_texts_that_makes_no_sense_is_an_error(arguments: list[str], problem: str) -> None:
    result = run("quarantine", "genie_documents", *arguments)
    assert result.exit_code == 2
    assert problem in result.stderr


@pytest.mark.long
def test_the_catalog_is_an_index_of_its_own(workbench: Workbench) -> None:
    workbench.mysql("CREATE TABLE customerOrders (id INT PRIMARY KEY, total INT) COMMENT 'What customers purchased'")
    assert printed("estimate", "catalog")["rows"] == 2
    assert printed("sync", "catalog")["inserted"] == 2
    assert printed("sync", "catalog")["ranges_synced"] == 0
    [best, *_] = printed("search", "catalog", "tables related to customer purchases")["hits"]
    assert (best["metadata"]["table"], best["metadata"]["primary_key"]) == ("customerOrders", "id")
    assert printed("verify", "catalog")["equal"] is True
    [status] = json.loads(run("status", "catalog", "--json").stdout)
    assert (status["documents"], status["ranges_dirty"]) == (2, 0)
    assert run("doctor", "catalog").exit_code == 0
    run("sync", "genie_documents")
    assert "catalog" not in run("search", "--all", "customer purchases", "--threshold", "-1").stdout


@pytest.mark.long
@pytest.mark.usefixtures("workbench")
def test_estimate_tells_what_a_sync_would_take_and_status_what_it_took() -> None:
    before = printed("estimate", "genie_documents")
    assert (before["rows"], before["texts"], before["cost"], before["sampled"]) == (3, 6, 0.0, 1)
    told = run("estimate", "genie_documents").stdout
    assert "an index that was never synced" in told
    assert "unknown: no run was long enough" in told
    run("sync", "genie_documents")
    assert printed("estimate", "genie_documents")["texts"] == 0
    [status] = json.loads(run("status", "genie_documents", "--json").stdout)
    assert (status["spent"]["texts"], status["spent_today"]["cost"]) == (6, 0)
    assert "tokens" in run("status", "genie_documents").stdout


def test_a_backfill_by_offline_batches_is_submitted_asked_after_and_ingested(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MisbehavingProvider(dimensions=8) as server:
        monkeypatch.setenv("EMBEDDING_MODEL_HOST", server.url)
        monkeypatch.setenv("EMBEDDING_MODEL_NAME", "text-embedding-3-small")
        assert printed("batch", "genie_documents", "submit")["texts"] == 6
        assert "validating" in run("batch", "genie_documents").stdout
        server.offline.finish()
        assert "there is something to take in" in run("batch", "genie_documents").stderr
        ingested = run("batch", "genie_documents", "ingest")
        assert "1 batch has ended" in ingested.stderr
        assert "completed" in ingested.stdout
        assert run("sync", "genie_documents").exit_code == 0
        assert run("verify", "genie_documents").exit_code == 0
    assert workbench.postgres("SELECT sum(texts) FROM vector_pipeline.spending") == [(6,)]


@pytest.mark.long
@pytest.mark.usefixtures("workbench")
def test_erase_refuses_a_row_that_mysql_has_and_tells_what_of_a_deleted_one_is_gone(
    workbench: Workbench, tmp_path: Path
) -> None:
    run("sync", "genie_documents")
    refused = run("erase", "genie_documents", "1")
    assert refused.exit_code == 2
    assert "still has row '1'" in refused.stderr
    assert _files_with(tmp_path / "dagster", PASSPORT)
    workbench.mysql("DELETE FROM tbl_genie_genie WHERE id = 1")
    shown = run("erase", "genie_documents", "1", "99")
    assert shown.exit_code == 0
    assert "already absent from the index: 99" in shown.stdout
    assert _files_with(tmp_path / "dagster", PASSPORT) == []
    again = json.loads(run("erase", "genie_documents", "--json", "--", "1", "-5").stdout)
    assert (again["erased"], again["absent"], again["events"]) == ([], ["1", "-5"], 0)


def _files_with(folder: Path, text: str) -> list[str]:
    return [str(file) for file in folder.rglob("*") if file.is_file() and text.encode() in file.read_bytes()]


@pytest.mark.long
def test_queries_that_found_nothing_are_listed_and_forgotten(workbench: Workbench) -> None:
    run("sync", "genie_documents")
    assert "VECTOR_PIPELINE_UNANSWERED_DAYS" in run("unanswered", "genie_documents").stdout
    workbench.postgres(
        "INSERT INTO vector_pipeline.unanswered_queries"
        " SELECT index_id, 'hash', 'Mengapa langit [biru]?', 3, 0.7, false, now(), now(), now() + interval '1 day'"
        " FROM vector_pipeline.embedding_indexes"
    )
    listed = run("unanswered", "genie_documents").stdout
    assert "Mengapa langit [biru]?" in listed
    assert "0.70" in listed
    [found] = json.loads(run("unanswered", "genie_documents", "--json").stdout)
    assert (found["query"], found["times"], found["filtered"]) == ("Mengapa langit [biru]?", 3, False)
    assert "1 query forgotten" in run("unanswered", "genie_documents", "--forget").stderr
    assert json.loads(run("unanswered", "genie_documents", "--json").stdout) == []


@pytest.mark.usefixtures("workbench")
def test_an_unknown_index_is_an_error_that_names_the_known_ones() -> None:
    result = run("sync", "nothing")
    assert result.exit_code == 2
    assert "genie_documents" in result.stderr


def test_missing_variables_are_all_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VECTOR_PIPELINE_STACK", str(tmp_path / "no-stack"))
    for name in ("DB_HOST", "DB_USER", "DB_NAME", "PG_HOST", "PG_USER", "PGVECTOR_DB_NAME"):
        monkeypatch.delenv(name, raising=False)
    result = run("status")
    assert result.exit_code == 2
    for name in ("DB_HOST", "DB_NAME", "PG_HOST", "PGVECTOR_DB_NAME"):
        assert name in result.stderr


@pytest.mark.usefixtures("workbench")
def test_a_wrong_password_is_told_without_being_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", "not-the-password-42")
    result = run("sync", "genie_documents")
    assert result.exit_code == 2
    assert "DB_PASSWORD" in result.stderr
    assert "not-the-password-42" not in result.output


def test_reload_says_where_it_has_looked_for_dagster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECTOR_PIPELINE_DAGSTER_URL", f"http://127.0.0.1:{choose_port()}")
    result = run("reload")
    assert result.exit_code == 2
    assert "can't be reached" in result.stderr
    assert "VECTOR_PIPELINE_DAGSTER_URL" in result.stderr
