"""The real `dg` on a copy of the project: it checks, scaffolds and describes declarations."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vector_pipeline.declarations import find_declaration, read_declarations
from vector_pipeline_tests.components.declared import COMPONENT, faq_attributes, written
from vector_pipeline_tests.conftest import PROJECT

DG = Path(sys.executable).parent / "dg"

MALFORMED = {
    "a value of the wrong type": ("range_size: 10\n", "range_size: many\n", "many"),
    "an unknown field": ("range_size: 10\n", "rangesize: 10\n", "rangesize"),
    "a field out of its bounds": ("range_size: 10\n", "range_size: 0\n", "0"),
    "a missing field": ("primary_key: id\n", "database: shop\n", "primary_key"),
    "no YAML": ("range_size: 10\n", "range_size: [\n", "line 13"),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("pyproject.toml", "workspace.yaml", "README.md"):
        if (PROJECT / name).exists():
            shutil.copy(PROJECT / name, folder)
    shutil.copytree(
        PROJECT / "vector_pipeline", folder / "vector_pipeline", ignore=shutil.ignore_patterns("__pycache__")
    )
    return folder


def dg(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(project), "COLUMNS": "200", "NO_COLOR": "1"}
    return subprocess.run(
        [DG, *arguments],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.long
def test_what_is_scaffolded_is_checked_listed_and_read(project: Path) -> None:
    scaffolded = dg(
        project, "scaffold", "defs", COMPONENT, "products", "--table", "products", "--text-columns", "name, description"
    )
    assert scaffolded.returncode == 0, scaffolded.stderr
    assert dg(project, "check", "yaml").returncode == 0
    folder = project / "vector_pipeline" / "defs"
    spec = find_declaration("products", folder).spec
    assert (spec.source.table, spec.source.primary_key) == ("products", "id")
    assert dict(spec.document.text) == {"name": "name", "description": "description"}
    assert not find_declaration("products", folder).problems
    declared = [declaration.spec.name for declaration in read_declarations(folder)]
    assert declared == ["catalog", "genie_documents", "products"]
    listed = json.loads(dg(project, "list", "defs", "--json").stdout)
    keys = {asset["asset_key"] for asset in listed["assets"]}
    assert {"products/rows", "products/search_index", "genie_documents/rows", "catalog/rows"} <= keys
    shutil.rmtree(folder / "products")


@pytest.mark.long
@pytest.mark.parametrize(
    "malformed",
    [name if place == 0 else pytest.param(name, marks=pytest.mark.long) for place, name in enumerate(MALFORMED)],
)
def test_malformed_yaml_is_refused_with_file_and_line(project: Path, malformed: str) -> None:
    right, wrong, said = MALFORMED[malformed]
    path = project / "vector_pipeline" / "defs" / "faq" / "defs.yaml"
    path.parent.mkdir()
    text = written(faq_attributes(range_size=10))
    path.write_text(text.replace(right, wrong))
    try:
        checked = dg(project, "check", "yaml")
    finally:
        shutil.rmtree(path.parent)
    assert checked.returncode == 1
    told = checked.stdout + checked.stderr
    assert f"{path.relative_to(project)}:" in told or f"{path}:" in told or f'"{path}", line' in told, told
    assert said in told, told


def test_the_schema_is_shown_with_descriptions(project: Path) -> None:
    shown = dg(project, "utils", "inspect-component", COMPONENT)
    assert shown.returncode == 0, shown.stderr
    assert "Keeps a vector index in PostgreSQL/pgvector true to a table in MySQL" in shown.stdout
    assert "Rows in a key range, about; a range is a Dagster partition." in shown.stdout
    assert "Columns to embed, separated by commas." in shown.stdout


@pytest.mark.long
def test_the_location_loads_with_a_wrong_declaration_in_it(project: Path) -> None:
    path = project / "vector_pipeline" / "defs" / "faq" / "defs.yaml"
    path.parent.mkdir()
    path.write_text(written(faq_attributes("no-name"), faq_attributes("genie_documents")))
    try:
        checked = dg(project, "check", "defs")
    finally:
        shutil.rmtree(path.parent)
    assert checked.returncode == 0, checked.stderr
