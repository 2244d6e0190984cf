"""What an answer of pip-audit's means: nothing that was not asked about counts as clean."""

from __future__ import annotations

import json
from typing import Any

from releasing.audit import CLEAN, NOT_ASKED, VULNERABLE, pins_of, read_answer

PINS = ["jinja2==3.1.6", "numpy==2.4.6"]
KNOWN = {"id": "PYSEC-2099-1", "fix_versions": ["3.1.7"], "aliases": [], "description": ""}


def _answer(*dependencies: dict[str, Any]) -> str:
    return json.dumps({"dependencies": dependencies, "fixes": []})


def _asked(name: str, *vulnerabilities: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "version": "1.0", "vulns": list(vulnerabilities)}


def test_all_asked_about_and_nothing_known_is_clean() -> None:
    audit = read_answer(_answer(_asked("jinja2"), _asked("numpy")), "", PINS)
    assert (audit.status, audit.asked) == (CLEAN, 2)


def test_a_package_that_was_not_asked_about_is_not_clean() -> None:
    skipped = {"name": "numpy", "skip_reason": "Dependency not found on PyPI and could not be audited"}
    audit = read_answer(_answer(_asked("jinja2"), skipped), "", PINS)
    assert (audit.status, audit.asked, list(audit.not_asked)) == (NOT_ASKED, 1, ["numpy"])


def test_a_known_vulnerability_counts_more_than_packages_that_were_not_asked_about() -> None:
    skipped = {"name": "numpy", "skip_reason": "not found"}
    audit = read_answer(_answer(_asked("jinja2", KNOWN), skipped), "", PINS)
    assert (audit.status, audit.vulnerable) == (VULNERABLE, {"jinja2 1.0": ["PYSEC-2099-1"]})


def test_a_service_that_is_not_reached_is_not_clean() -> None:
    audit = read_answer("", "Traceback\nConnectionError: Failed to resolve", PINS)
    assert audit.status == NOT_ASKED
    assert "Failed to resolve" in audit.not_asked["jinja2==3.1.6"]


def test_no_package_at_all_is_not_clean() -> None:
    assert read_answer(_answer(), "", []).status == NOT_ASKED


def test_components_are_asked_about_and_the_program_itself_is_not() -> None:
    components = {
        "components": [
            {"name": "numpy", "version": "2.4.6", "purl": "pkg:pypi/numpy@2.4.6"},
            {"name": "vector-pipeline", "version": "0.1.0"},
        ]
    }
    assert pins_of(components) == ["numpy==2.4.6"]
