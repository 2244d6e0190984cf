"""What is in the wheel and in the sdist, and that both run where there is no clone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from vector_pipeline_tests.conftest import PROJECT
from vector_pipeline_tests.releasing.distributions import Distributions, build, copy_source, known_files

pytestmark = pytest.mark.skipif(
    shutil.which("git") is None or not (PROJECT / ".git").exists(), reason="git tells what a release holds"
)
NEEDED = {
    "vector_pipeline/core/store/migrations/0001_registry.sql",
    "vector_pipeline/defs/catalog/defs.yaml",
    "vector_pipeline/defs/genie_documents/defs.yaml",
    "vector_pipeline/project/dagster.yaml",
    "vector_pipeline/project/env.example",
    "vector_pipeline/project/pyproject.toml",
    "vector_pipeline/project/workspace.yaml",
    "vector_pipeline/py.typed",
    "vector_pipeline/serving/page/static/index.html",
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_source(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def distributions(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    return build(source, tmp_path_factory.mktemp("distributions"))


def test_the_wheel_has_the_package_with_its_data_and_nothing_else(distributions: Distributions) -> None:
    ours = {name for name in distributions.in_wheel if ".dist-info/" not in name}
    assert ours == {name for name in known_files() if name.startswith("vector_pipeline/")}
    assert ours >= NEEDED
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in distributions.in_wheel)


def test_the_sdist_has_all_that_git_knows(distributions: Distributions) -> None:
    assert distributions.in_sdist - {"PKG-INFO"} == known_files()


@pytest.mark.long
def test_the_wheel_and_the_sdist_are_the_same_each_time(
    source: Path, distributions: Distributions, tmp_path: Path
) -> None:
    elsewhere = shutil.copytree(source, tmp_path / "elsewhere", symlinks=True, copy_function=shutil.copy)
    again = build(elsewhere, tmp_path)
    assert again.wheel.read_bytes() == distributions.wheel.read_bytes()
    assert again.sdist.read_bytes() == distributions.sdist.read_bytes()


class Bare:
    """A virtual environment with the package alone, and an empty folder to call it in."""

    def __init__(self, folder: Path) -> None:
        self.environment, self.folder = folder / "environment", folder / "empty"
        self.folder.mkdir()
        subprocess.run([sys.executable, "-m", "venv", self.environment], check=True)

    def install(self, distribution: Path, *options: str) -> None:
        requirement = f"vector-pipeline[embedded,service] @ {distribution.as_uri()}"
        command = ["python", "-m", "pip", "install", "-q", "--disable-pip-version-check", *options]
        self.call(*command, "-c", str(PROJECT / "constraints.txt"), requirement)

    def call(self, program: str, *arguments: str, folder: Path | None = None) -> str:
        """What it prints; it must end well. Nothing of ours is in its environment."""
        ours = ("DB_", "PG_", "PGVECTOR", "EMBEDDING_", "VECTOR_PIPELINE_", "DAGSTER_", "PYTHON")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        kept |= {name: value for name, value in os.environ.items() if name == "VECTOR_PIPELINE_PACKAGES"}
        kept |= {"COLUMNS": "160", "NO_COLOR": "1", "PATH": f"{self.environment / 'bin'}:{os.environ['PATH']}"}
        command = [self.environment / "bin" / program, *arguments]
        ran = subprocess.run(
            command, cwd=folder or self.folder, env=kept, capture_output=True, text=True, check=False, timeout=560
        )
        assert ran.returncode == 0, f"{program} {' '.join(arguments)}: {ran.stdout[-3000:]}{ran.stderr[-3000:]}"
        return ran.stdout + ran.stderr


@pytest.mark.long
def test_the_wheel_runs_the_demo_and_a_project_of_ones_own_from_a_bare_environment(
    distributions: Distributions, tmp_path: Path
) -> None:
    bare = Bare(tmp_path)
    bare.install(distributions.wheel)
    try:
        assert "parity: equal" in bare.call("vector-pipeline", "demo")
        bare.call("vector-pipeline", "init", "shop")
        shop = bare.folder / "shop"
        (shop / ".env").write_text((bare.folder / ".stack" / "environment").read_text())
        component = "vector_pipeline.components.VectorIndexComponent"
        columns = ["--table", "tbl_genie_genie", "--text-columns", "genie_question"]
        bare.call("dg", "scaffold", "defs", component, "questions", *columns, folder=shop)
        bare.call("dg", "check", "defs", folder=shop)
        bare.call("dagster", "definitions", "validate", folder=shop)
        assert "inserted" in bare.call("vector-pipeline", "sync", "questions", folder=shop)
        assert "parity: equal" in bare.call("vector-pipeline", "verify", "questions", folder=shop)
        found = bare.call("vector-pipeline", "search", "questions", "how to sort a list", "--json", folder=shop)
        assert '"hits": [' in found
        assert not list(bare.environment.rglob("declared_indexes.json"))
    finally:
        bare.call("vector-pipeline", "stack", "down")


@pytest.mark.long
def test_the_sdist_installs_as_the_wheel_does_and_has_the_tests(distributions: Distributions, tmp_path: Path) -> None:
    bare = Bare(tmp_path)
    bare.install(distributions.sdist, "--no-deps")
    files = bare.call("python", "-m", "pip", "show", "--files", "vector-pipeline")
    listed = {line.strip() for line in files.partition("Files:")[2].splitlines()}
    ours = {name for name in listed if name.startswith("vector_pipeline/") and "__pycache__" not in name}
    assert ours == {name for name in distributions.in_wheel if name.startswith("vector_pipeline/")}
    with tarfile.open(distributions.sdist) as opened:
        opened.extractall(tmp_path, filter="data")
    [source] = (tmp_path).glob("vector_pipeline-*")
    # The tests' own parts are of the shared environment, not of the bare one.
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "vector_pipeline_tests/core/documents"]
    tested = subprocess.run(
        command, cwd=source, env=os.environ | {"PYTHONPATH": str(source)}, capture_output=True, text=True, check=False
    )
    assert tested.returncode == 0, tested.stdout[-3000:]
