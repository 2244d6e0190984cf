"""Each pinned version is one that all the Pythons take which the project is said to run on."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution, metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from vector_pipeline_tests.conftest import PROJECT

PINNED = [
    Requirement(line)
    for line in (PROJECT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]


def _takes(pinned: Requirement, python: str) -> bool:
    try:
        found = metadata(pinned.name)
    except PackageNotFoundError:
        return True  # of an extra that the tests do without
    return python in SpecifierSet(found["Requires-Python"] or "")


# Debian 12 has 3.11.2, which is older than the Pythons that most people build themselves.
@pytest.mark.parametrize("python", ["3.11.2", "3.12.0", "3.13.0"])
def test_what_is_pinned_takes(python: str) -> None:
    assert len(PINNED) > 150
    assert [str(pinned) for pinned in PINNED if not _takes(pinned, python)] == []


def _left_out(python: str) -> set[str]:
    """Names of what pyproject.toml asks for with other Pythons alone."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [Requirement(line) for lines in project["optional-dependencies"].values() for line in lines]
    return {one.name for one in asked if one.marker and not one.marker.evaluate({"python_version": python})}


def _is_compiled(pinned: Requirement) -> bool:
    """Whether what is installed suits one Python or machine alone; what is not installed might."""
    try:
        wheel = distribution(pinned.name).read_text("WHEEL") or ""
    except PackageNotFoundError:
        return True
    return "-none-any" not in wheel


@pytest.mark.long
@pytest.mark.parametrize("python", ["3.12", "3.13"])
def test_what_is_compiled_is_to_be_had_without_a_compiler_for(python: str, tmp_path: Path) -> None:
    left_out = _left_out(python)
    compiled = [str(one) for one in PINNED if _is_compiled(one) and one.name not in left_out]
    assert len(compiled) > 20
    (tmp_path / "compiled.txt").write_text("\n".join(compiled))
    options = ["--dry-run", "--no-deps", "--only-binary=:all:", "--python-version", python, "--target", str(tmp_path)]
    command = [sys.executable, "-m", "pip", "install", "-q", *options, "-r", str(tmp_path / "compiled.txt")]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert asked.returncode == 0, asked.stderr[-2000:]
