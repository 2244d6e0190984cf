"""A project of one's own, as who has installed the package makes it: `vector-pipeline init`, then `dg` and the command
line in that folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml
from click.testing import CliRunner

from vector_pipeline.cli import main
from vector_pipeline.core.errors import ConfigurationError
from vector_pipeline.declarations import CATALOG_INDEX, find_declaration, read_declarations
from vector_pipeline.local_instance import HOME_VARIABLE, ensure_dagster_home
from vector_pipeline.location import load_location
from vector_pipeline.new_project import make_project
from vector_pipeline.project_folder import DEFS_VARIABLE, OWN_DEFS, PACKAGE_PARENT, defs_folder, working_folder
from vector_pipeline_tests.components.declared import COMPONENT, faq_attributes, written
from vector_pipeline_tests.conftest import PROJECT

DG = Path(sys.executable).parent / "dg"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new project, with the index `faq` in it; commands are called there."""
    folder = tmp_path / "shop"
    make_project(folder)
    _declare(folder / "defs" / "faq")
    monkeypatch.delenv(DEFS_VARIABLE, raising=False)
    monkeypatch.chdir(folder)
    return folder


def _declare(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "defs.yaml").write_text(written(faq_attributes()))


def _names(definitions: dg.Definitions) -> set[str]:
    """How assets begin: those of an index with its name."""
    return {spec.key.path[0] for spec in definitions.resolve_all_asset_specs()} - {"dagster_history"}


def test_a_project_has_its_own_indexes_and_none_of_the_package(project: Path) -> None:
    assert [one.spec.name for one in read_declarations(defs_folder())] == [CATALOG_INDEX, "faq"]
    assert find_declaration("faq", defs_folder()).origin == "defs/faq/defs.yaml"
    (project / "defs" / "faq" / "deeper").mkdir()
    os.chdir(project / "defs" / "faq" / "deeper")
    assert defs_folder() == project / "defs"
    assert working_folder() == project


def test_dagster_loads_a_project_with_the_jobs_and_resources_of_every_deployment(project: Path) -> None:
    definitions = load_location(project / "defs")
    assert _names(definitions) == {CATALOG_INDEX, "faq"}
    assert {"search_job", "faq_sync"} <= {job.name for job in definitions.resolve_all_job_defs()}
    dg.Definitions.validate_loadable(definitions)


def test_python_files_of_a_project_are_loaded_beside_its_declarations(project: Path) -> None:
    (project / "defs" / "reports").mkdir()
    source = "import dagster as dg\n\n@dg.asset(deps=[dg.AssetKey(['faq', 'rows'])])\ndef weekly() -> None: ...\n"
    (project / "defs" / "reports" / "weekly.py").write_text(source)
    assert "weekly" in _names(load_location(project / "defs"))


def test_a_variable_names_the_folder_wherever_the_call_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _declare(tmp_path / "indexes" / "faq")
    monkeypatch.setenv(DEFS_VARIABLE, str(tmp_path / "indexes"))
    assert [one.spec.name for one in read_declarations(defs_folder())] == ["faq"]
    assert _names(load_location(defs_folder())) == {"faq"}


def test_a_variable_that_names_no_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEFS_VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(ConfigurationError, match=f"{DEFS_VARIABLE} is '.*nowhere'"):
        defs_folder()


def test_a_clone_keeps_its_own_folders_from_wherever_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(DEFS_VARIABLE, raising=False)
    for folder in (PROJECT, PROJECT / "docs", tmp_path):
        monkeypatch.chdir(folder)
        assert defs_folder() == OWN_DEFS
        assert working_folder() == PACKAGE_PARENT


def test_the_module_of_another_dagster_project_is_searched_for_its_declarations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.dg.project]\nroot_module = "their_shop"\n')
    _declare(tmp_path / "src" / "their_shop" / "defs" / "faq")
    monkeypatch.delenv(DEFS_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    assert defs_folder() == tmp_path / "src" / "their_shop" / "defs"


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    called = CliRunner().invoke(main, ["init", str(tmp_path)])
    assert called.exit_code == 2
    assert sorted(tmp_path.iterdir()) == [tmp_path / "pyproject.toml"]
    assert (tmp_path / "pyproject.toml").read_text() == "[project]\n"


def test_a_project_is_configured_as_the_clone_is(tmp_path: Path) -> None:
    make_project(tmp_path)
    for name in ("dagster.yaml", ".env.example"):
        assert (tmp_path / name).read_bytes() == (PROJECT / name).read_bytes()
    shipped = yaml.safe_load((OWN_DEFS / "catalog" / "defs.yaml").read_text())
    assert yaml.safe_load((tmp_path / "defs" / "catalog" / "defs.yaml").read_text()) == shipped


@pytest.mark.long
def test_dg_scaffolds_checks_and_loads_in_a_project(project: Path) -> None:
    def dg_in_project(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": str(PROJECT), "COLUMNS": "200", "NO_COLOR": "1"}
        return subprocess.run(
            [DG, *arguments], cwd=project, env=environment, capture_output=True, text=True, check=False, timeout=120
        )

    scaffolded = dg_in_project(
        "scaffold", "defs", COMPONENT, "products", "--table", "products", "--text-columns", "name"
    )
    assert scaffolded.returncode == 0, scaffolded.stderr
    assert find_declaration("products", project / "defs").spec.source.table == "products"
    checked = dg_in_project("check", "defs")  # checks the YAML first
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_folder_that_takes_no_runs_is_told(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(HOME_VARIABLE, raising=False)
    (project / ".dagster").write_text("a file")
    with pytest.raises(ConfigurationError, match=f"{project}/.dagster .*set DAGSTER_HOME"):
        ensure_dagster_home()
