"""Each pinned version is one that all the Pythons take which the project is said to run on."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, metadata

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
    return pinned.specifier.contains(found["Version"]) and python in SpecifierSet(found["Requires-Python"] or "")


# Debian 12 has 3.11.2, which is older than the Pythons that most people build themselves.
@pytest.mark.parametrize("python", ["3.11.2", "3.12.0", "3.13.0"])
def test_what_is_pinned_can_be_installed_with(python: str) -> None:
    assert len(PINNED) > 150
    assert [str(pinned) for pinned in PINNED if not _takes(pinned, python)] == []
