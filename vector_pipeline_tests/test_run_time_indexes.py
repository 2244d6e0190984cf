"""Indexes that are declared and removed while everything is running."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from vector_pipeline.cli import main
from vector_pipeline.core.batches import alone
from vector_pipeline.core.errors import (
    DeclaredInAFileError,
    IndexExistsError,
    IndexSpecError,
    NotDeclaredHereError,
    VectorPipelineError,
)
from vector_pipeline.core.index import open_index
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.core.store import connection as store_connection
from vector_pipeline.core.store import declared_indexes, registry
from vector_pipeline.declarations import (
    REGISTRY,
    UnknownIndexError,
    declarations_made_at_run_time,
    find_declaration,
    read_declarations,
    well_formed_declarations,
)
from vector_pipeline.declared_at_run_time import CACHE_VARIABLE, RegistryCache, read_stored_declarations
from vector_pipeline.embedded.ports import choose_port
from vector_pipeline.run_time_indexes import declare_index, remove_index
from vector_pipeline_tests.components.declared import faq_attributes, written
from vector_pipeline_tests.orchestration.conftest import provider, workbench
from vector_pipeline_tests.workbench import Workbench, faq_spec, sync_all

__all__ = ["provider", "workbench"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "cache" / "declared.json"
    monkeypatch.setenv(CACHE_VARIABLE, str(path))
    return path


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder of YAML declarations with nothing in it."""
    folder = tmp_path / "defs"
    folder.mkdir()
    return folder


def write(files: Path, attributes: dict[str, Any]) -> Path:
    path = files / "one" / "defs.yaml"
    path.parent.mkdir()
    path.write_text(written(attributes))
    return path


def declare(workbench: Workbench, files: Path, **changes: Any) -> IndexSpec:
    return declare_index(faq_spec(**changes), workbench.settings, "a test", well_formed_declarations(files)).spec


def over_another_table(workbench: Workbench, name: str) -> dict[str, Any]:
    workbench.mysql("CREATE TABLE other LIKE faq")
    return {"name": name, "source": {"table": "other", "primary_key": "id"}}


def run_time_names() -> list[str]:
    return [declaration.spec.name for declaration in declarations_made_at_run_time()]


def test_an_index_declared_at_run_time_stands_beside_those_of_files(workbench: Workbench, files: Path) -> None:
    workbench.create_faq(3)
    declare(workbench, files)

    found = find_declaration("faq")

    assert (found.origin, found.problems, found.at_run_time) == (REGISTRY, (), True)
    assert found.spec.source.database == workbench.source.database
    assert found.spec.document == faq_spec().document
    names = [(d.spec.name, d.at_run_time) for d in read_declarations()]
    assert names == [("catalog", False), ("faq", True), ("genie_documents", False)]
    assert {d.spec.name for d in well_formed_declarations()} == {"catalog", "faq", "genie_documents"}
    with pytest.raises(UnknownIndexError, match="there are: catalog, faq, genie_documents"):
        find_declaration("nowhere")


def test_without_a_postgresql_in_the_environment_only_files_declare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PG_HOST", "PG_USER", "PGVECTOR_DB_NAME"):
        monkeypatch.delenv(name, raising=False)
    assert [declaration.spec.name for declaration in read_declarations()] == ["catalog", "genie_documents"]


@pytest.mark.parametrize("same", ["name", "table"])
@pytest.mark.parametrize("where", ["file", "registry"])
def test_what_exists_is_refused_with_what_to_do_instead(
    workbench: Workbench, files: Path, same: str, where: str
) -> None:
    workbench.create_faq(3)
    if where == "file":
        write(files, faq_attributes())
    else:
        declare(workbench, files)
    changes = over_another_table(workbench, "faq") if same == "name" else {"name": "other"}
    with pytest.raises(IndexExistsError, match=r"'faq' already.*embed_reindex"):
        declare(workbench, files, **changes)
    assert run_time_names() == (["faq"] if where == "registry" else [])


def test_an_index_that_is_built_and_declared_nowhere_keeps_its_name(workbench: Workbench, files: Path) -> None:
    workbench.create_faq(3)
    workbench.sync()
    with workbench.index() as index:
        assert index.search("question number 3?").hits
    declare(workbench, files, **over_another_table(workbench, "second"))
    with pytest.raises(IndexExistsError, match="vector-pipeline drop faq"):
        declare(workbench, files)


def test_a_wrong_declaration_is_told_and_not_kept(workbench: Workbench, files: Path) -> None:
    workbench.create_faq(3)
    with pytest.raises(IndexSpecError, match="has no column 'frage'"):
        declare(workbench, files, document={"text": {"question": "frage"}})
    assert run_time_names() == []


def test_while_postgresql_is_down_the_last_declarations_are_taken_and_the_log_says_so(
    workbench: Workbench, files: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    workbench.create_faq(3)
    declare(workbench, files)
    stored = read_stored_declarations()
    down = replace(workbench.target, port=choose_port())
    RegistryCache(cache, down).keep(stored)
    monkeypatch.setenv("PG_PORT", str(down.port))

    assert run_time_names() == ["faq"]

    assert str(cache) in caplog.text
    assert workbench.target.password not in caplog.text


def test_the_cache_of_another_database_is_not_taken(
    workbench: Workbench, files: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    workbench.create_faq(3)
    declare(workbench, files)
    assert cache.exists()
    monkeypatch.setenv("PG_PORT", str(choose_port()))
    assert run_time_names() == []
    assert "no file has them" in caplog.text


@pytest.mark.parametrize("content", ["", "[]", '{"of": 1}', '{"of": "x", "declared": 3}', "\udcff"])
def test_a_damaged_cache_keeps_nobody_from_loading(
    workbench: Workbench, cache: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    cache.parent.mkdir()
    cache.write_bytes(content.encode(errors="surrogateescape"))
    port = choose_port()
    monkeypatch.setenv("PG_PORT", str(port))
    assert run_time_names() == []
    monkeypatch.setenv("PG_PORT", str(workbench.target.port))
    assert run_time_names() == []


@pytest.mark.usefixtures("workbench")
def test_nothing_is_written_where_nothing_was_ever_declared(cache: Path) -> None:
    assert run_time_names() == []
    assert not cache.exists()


def test_a_file_wins_over_what_was_declared_at_run_time_by_its_name(workbench: Workbench, files: Path) -> None:
    workbench.create_faq(3)
    declare(workbench, files, name="genie_documents")

    assert not find_declaration("genie_documents").at_run_time
    [late] = declarations_made_at_run_time()
    assert [problem.field for problem in late.problems] == ["name"]
    with pytest.raises(IndexSpecError, match=r"genie_documents/defs\.yaml as well, which wins"):
        late.refuse_if_wrong()


def test_a_removed_index_is_gone_and_a_run_from_before_builds_nothing_anew(workbench: Workbench, files: Path) -> None:
    workbench.create_faq(3)
    spec = declare(workbench, files)
    with open_index(spec, workbench.settings, origin=REGISTRY) as index:
        sync_all(index)
        assert index.search("question number 3?").hits[0].key == "3"

    assert remove_index("faq", workbench.settings, well_formed_declarations(files)).declared_by == "a test"

    assert run_time_names() == []
    assert workbench.postgres("SELECT FROM pg_namespace WHERE nspname = 'faq'") == []
    with (
        open_index(spec, workbench.settings, origin=REGISTRY) as index,
        pytest.raises(NotDeclaredHereError, match="has been removed"),
    ):
        index.detect()
    assert workbench.postgres("SELECT FROM pg_namespace WHERE nspname = 'faq'") == []
    declare(workbench, files)


def test_the_command_line_removes_it_with_its_declaration(
    workbench: Workbench, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VECTOR_PIPELINE_STACK", str(tmp_path / "no-stack"))
    workbench.create_faq(3)
    spec = declare(workbench, files)
    with open_index(spec, workbench.settings, origin=REGISTRY) as index:
        sync_all(index)
    result = CliRunner().invoke(main, ["drop", "faq", "--yes"])
    assert (result.exit_code, run_time_names()) == (0, [])
    assert workbench.postgres("SELECT FROM pg_namespace WHERE nspname = 'faq'") == []


def test_an_index_that_was_never_filled_can_be_removed(workbench: Workbench, files: Path) -> None:
    workbench.create_faq(3)
    declare(workbench, files)
    remove_index("faq", workbench.settings, well_formed_declarations(files))
    assert run_time_names() == []


def test_what_a_file_declares_is_not_removed_and_the_file_is_named(workbench: Workbench, files: Path) -> None:
    path = write(files, faq_attributes())
    with pytest.raises(DeclaredInAFileError, match=str(path)):
        remove_index("faq", workbench.settings, well_formed_declarations(files))
    with pytest.raises(NotDeclaredHereError, match="'nowhere'"):
        remove_index("nowhere", workbench.settings, well_formed_declarations(files))


def test_a_removal_that_fails_leaves_the_index_declared(workbench: Workbench, files: Path) -> None:
    workbench.create_faq(3)
    spec = declare(workbench, files)
    with open_index(spec, workbench.settings, origin=REGISTRY) as index:
        sync_all(index)
    with store_connection.connect(workbench.target) as other:
        registered = registry.load(other, "faq")
        assert registered is not None
        with alone(other, registered), pytest.raises(VectorPipelineError):
            remove_index("faq", workbench.settings, well_formed_declarations(files))
    assert run_time_names() == ["faq"]
    with open_index(spec, workbench.settings, origin=REGISTRY) as index:
        assert index.search("question number 3?").hits


def test_a_removal_that_was_broken_off_is_finished_by_the_next(workbench: Workbench, files: Path) -> None:
    workbench.create_faq(3)
    declare(workbench, files)
    with store_connection.connect(workbench.target) as connection:
        declared_indexes.begin_removal(connection, "faq")
    assert run_time_names() == []
    with pytest.raises(IndexExistsError, match="is being removed"):
        declare(workbench, files)
    remove_index("faq", workbench.settings, well_formed_declarations(files))
    declare(workbench, files)


def test_a_declaration_of_another_version_is_left_out_with_a_word_and_can_be_removed(
    workbench: Workbench, files: Path, caplog: pytest.LogCaptureFixture
) -> None:
    workbench.create_faq(3)
    spec = declare(workbench, files)
    with open_index(spec, workbench.settings, origin=REGISTRY) as index:
        sync_all(index)
    unknown = json.dumps({"name": "faq", "shape": "round"})
    workbench.postgres("UPDATE vector_pipeline.declared_indexes SET declaration = %s", [unknown])

    assert run_time_names() == []
    assert "shape" in caplog.text
    with pytest.raises(IndexSpecError, match="embed_delete_index"):
        find_declaration("faq")

    remove_index("faq", workbench.settings, well_formed_declarations(files))
    assert workbench.postgres("SELECT FROM pg_namespace WHERE nspname = 'faq'") == []
