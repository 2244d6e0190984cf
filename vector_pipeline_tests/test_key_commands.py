"""`vector-pipeline keys`, as its users call it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from vector_pipeline.cli import main
from vector_pipeline.core.settings import TargetSettings
from vector_pipeline.core.store.api_keys import digest_of, keys_on_file
from vector_pipeline_tests.servers import postgres


@pytest.fixture
def target(pg_database: TargetSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TargetSettings:
    """A fresh database, and an environment that leads the command line to it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VECTOR_PIPELINE_STACK", str(tmp_path / "no-stack"))
    for name, value in (
        ("DB_HOST", "127.0.0.1"),
        ("DB_USER", "nobody"),
        ("DB_NAME", "nothing"),
        ("PG_HOST", pg_database.host),
        ("PG_PORT", str(pg_database.port)),
        ("PG_USER", pg_database.user),
        ("PG_PASSWORD", pg_database.password),
        ("PGVECTOR_DB_NAME", pg_database.database),
    ):
        monkeypatch.setenv(name, value)
    return pg_database


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["keys", *arguments])


def test_a_key_is_shown_once_listed_by_its_beginning_and_revoked(target: TargetSettings) -> None:
    made = run("create", "dify", "--scope", "search", "--scope", "sync", "--index", "faq", "--days", "30")
    secret = made.stdout.strip()
    assert "key dify, search and sync on faq until 20" in made.stderr
    with postgres(target) as connection:
        assert keys_on_file(connection).by_digest[digest_of(secret)].name == "dify"
    for listed in (run("list"), run("list", "--json")):
        assert secret[:8] in listed.stdout
        assert secret not in listed.output
    assert run("revoke", "dify").exit_code == 0
    assert "revoked" in run("list").stdout
    again = run("revoke", "dify")
    assert (again.exit_code, "no key in use has the name 'dify'" in again.stderr) == (2, True)


@pytest.mark.usefixtures("target")
def test_a_key_is_for_search_on_all_indexes_unless_said_otherwise() -> None:
    made = json.loads(run("create", "page", "--json").stdout)
    assert (made["scopes"], made["indexes"], made["expires_at"]) == (["search"], None, None)
    assert made["secret"].startswith(made["hint"])
    assert "page" in run("list").stdout


@pytest.mark.usefixtures("target")
def test_whoever_makes_the_first_key_is_told_that_it_is_needed_from_now_on() -> None:
    first, second = (run("create", name).stderr for name in ("one", "two"))
    assert "from now on the service asks for one, on this machine too" in first
    assert "from now on" not in second
