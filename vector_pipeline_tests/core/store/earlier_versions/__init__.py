"""Databases as earlier versions of this project have left them, kept as SQL: what an upgrade starts from.

`recording.py` makes them with the code of an earlier commit. Each has documents, vectors, a text in quarantine, a row
that was changed and one that was deleted; from version 4 of the tables on also a generation that was replaced.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
DIMENSIONS = 8
QUERY = "question number 3?"

ROWS: Sequence[tuple[int, str, str | None]] = (
    *((i, f"question number {i}?", f"the answer to number {i}") for i in range(1, 13)),
    (13, "question number 1?", None),
    (14, "what is poison?", "the answer to number 2"),
)
CHANGED = (5, "question number 5, changed?", "the answer to number 5")
DELETED = 7


@dataclass(frozen=True)
class Recorded:
    """A database that an earlier commit has made.

    Attributes:
        version: of our own tables in it.
        declaration: of its index, as it stands in a YAML file.
        hits: keys and scores that the earlier code has found for QUERY.
    """

    version: int
    commit: str
    declaration: dict[str, Any]
    hits: list[tuple[str, float]]

    @property
    def sql(self) -> str:
        """Statements that make the database, in one that is empty."""
        return _file(self.version, "sql").read_text(encoding="utf-8")

    def write(self, sql: str) -> None:
        """Keeps it beside this file."""
        _file(self.version, "sql").write_text(sql, encoding="utf-8")
        facts = {"commit": self.commit, "declaration": self.declaration, "hits": self.hits}
        _file(self.version, "json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def recorded_versions() -> list[Recorded]:
    """All of them, the oldest first."""
    versions = sorted(int(path.stem.removeprefix("version_")) for path in FOLDER.glob("version_*.json"))
    return [_read(version) for version in versions]


def _read(version: int) -> Recorded:
    facts = json.loads(_file(version, "json").read_text(encoding="utf-8"))
    hits = [(str(key), float(score)) for key, score in facts["hits"]]
    return Recorded(version, facts["commit"], facts["declaration"], hits)


def _file(version: int, kind: str) -> Path:
    return FOLDER / f"version_{version:02}.{kind}"
