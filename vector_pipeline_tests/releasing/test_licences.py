"""The page of licences: copyleft first, and what states none is said to."""

from __future__ import annotations

import io
import json

import pytest

from releasing import licences

FOUND = [
    ("numpy", "BSD-3-Clause"),
    ("psycopg", "LGPL-3.0-only"),
    ("certifi", "Mozilla Public License 2.0 (MPL 2.0)"),
    ("tiktoken", "MIT License\n\nCopyright (c) 2022, and the whole text | with GPL in it"),
    ("a-vocabulary", "UNKNOWN"),
]


def test_packages_are_listed_by_what_their_licences_ask(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [{"Name": name, "Version": "1.0", "License": text, "URL": "UNKNOWN"} for name, text in FOUND]
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(found)))
    licences.main()
    _, copyleft, unknown, others = capsys.readouterr().out.split("\n## ")
    assert "| psycopg | 1.0 | LGPL-3.0-only |" in copyleft
    assert "| certifi |" in copyleft
    assert "| a-vocabulary |" in unknown
    assert "| numpy | 1.0 | BSD-3-Clause |  |" in others
    assert "| tiktoken | 1.0 | MIT License |" in others
