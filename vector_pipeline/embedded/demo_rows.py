"""Real rows that every Python carries: questions and answers about its standard library.

The same interpreter gives the same rows, with the same ids, in the same order. `stdlib_documentation` collects
the docstrings in a process of its own; here they become rows. `python -m vector_pipeline.embedded.demo_rows` loads them
into the MySQL that the environment names.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pymysql

from vector_pipeline.core.settings import SourceSettings, read_settings
from vector_pipeline.embedded import stdlib_documentation
from vector_pipeline.embedded.folder import StackError

if TYPE_CHECKING:
    from pymysql.connections import Connection
    from pymysql.cursors import Cursor

TABLE = "tbl_genie_genie"

# Methods would triple the rows; the demo is to be over in two minutes with all of it embedded on two cores.
KINDS = frozenset({"module", "class", "function"})
LEFT_OUT = ("encodings.", "distutils")  # a hundred code pages that differ by their name alone; deprecated
LONGEST_ANSWER = 600  # characters, about: whole paragraphs up to here
LONGEST_SUMMARY = 160
ROWS_PER_STATEMENT = 500

PAGES = {"class": "stdtypes", "function": "functions"}  # where the manual describes the builtins
SIGNATURE = re.compile(r"[\w.]+\([^\n]*\)( *-+> *[^\n]*)?")
# "May  9 2026 07:35:25", in English whatever the locale
BUILD_DATE = re.compile(r"(\w{3}) +(\d+) (\d{4})(?: (\d+):(\d+):(\d+))?")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True)
class DemoRow:
    """One row of the demo's table, without its id."""

    question: str
    answer: str
    date: datetime | None
    link: str
    unique_id: str


def iterate_rows() -> Iterator[DemoRow]:
    """All rows, in a fixed order."""
    collected = subprocess.run(
        [sys.executable, "-I", Path(stdlib_documentation.__file__)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    if collected.returncode != 0:
        raise StackError(f"The standard library's documentation cannot be read:\n{collected.stderr.strip()}")
    date = _build_date(platform.python_build()[1])
    for line in collected.stdout.splitlines():
        found = json.loads(line)
        if found["kind"] in KINDS and not found["module"].startswith(LEFT_OUT):
            yield _row(found["kind"], found["name"], found["module"], found["text"], date)


def load(connection: Connection[Cursor]) -> int:
    """Makes the demo's table and fills it in one transaction; does nothing if it has rows.

    Returns:
        The number of rows that were loaded.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            CREATE TABLE IF NOT EXISTS {TABLE} (
                id BIGINT PRIMARY KEY AUTO_INCREMENT,
                genie_question TEXT NOT NULL,
                genie_answer MEDIUMTEXT,
                genie_questiondate DATETIME NULL,
                genie_sourcelink VARCHAR(1024) NULL,
                genie_uniqueid VARCHAR(64) UNIQUE NULL
            ) DEFAULT CHARACTER SET utf8mb4
            """
        )
        cursor.execute(f"SELECT 1 FROM {TABLE} LIMIT 1")
        if cursor.fetchone() is not None:
            return 0
        loaded = 0
        rows = iterate_rows()
        while batch := list(islice(rows, ROWS_PER_STATEMENT)):
            cursor.executemany(
                f"""
                INSERT INTO {TABLE}
                    (genie_question, genie_answer, genie_questiondate, genie_sourcelink, genie_uniqueid)
                VALUES (%s, %s, %s, %s, %s)
                """,
                [(row.question, row.answer, row.date, row.link, row.unique_id) for row in batch],
            )
            loaded += len(batch)
    connection.commit()
    return loaded


def _row(kind: str, name: str, module: str, text: str, date: datetime | None) -> DemoRow:
    asked = f"What does the function {name} do?" if kind == "function" else f"What is the {kind} {name}?"
    # The manual's pages have names in lower case, and their anchors the objects' own.
    page = PAGES.get(kind, module) if module == "builtins" else module
    return DemoRow(
        question=f"{asked} {_summary(text)}".rstrip(),
        answer=_first_paragraphs(text),
        date=date,
        link=f"https://docs.python.org/3/library/{page.lower()}.html#{name if kind != 'module' else f'module-{name}'}",
        unique_id=hashlib.sha256(f"{kind} {name}".encode()).hexdigest()[:32],
    )


def _summary(text: str) -> str:
    """The first paragraph that is no signature, as one line of a bounded length."""
    paragraphs = (
        " ".join(line.strip() for line in paragraph.splitlines() if not SIGNATURE.fullmatch(line.strip()))
        for paragraph in text.split("\n\n")
    )
    summary = next((paragraph for paragraph in paragraphs if paragraph), "")
    return _cut(summary, LONGEST_SUMMARY)


def _first_paragraphs(text: str) -> str:
    """As many whole paragraphs as fit; the first in any case, cut if need be."""
    first, *others = text.split("\n\n")
    answer = _cut(first, LONGEST_ANSWER)
    for paragraph in others:
        if len(answer) + len(paragraph) + 2 > LONGEST_ANSWER:
            break
        answer += f"\n\n{paragraph}"
    return answer.strip()


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest].rsplit(maxsplit=1)[0]} …"


def _build_date(text: str) -> datetime | None:
    found = BUILD_DATE.match(text)
    if found is None or found[1] not in MONTHS:
        return None
    day, year, hour, minute, second = (int(part or 0) for part in found.groups()[1:])
    return datetime(year, MONTHS.index(found[1]) + 1, day, hour, minute, second)


def connect(source: SourceSettings) -> Connection[Cursor]:
    """A session that may write, unlike those of the core."""
    return pymysql.connect(
        host=source.host,
        port=source.port,
        user=source.user,
        password=source.password,
        database=source.database,
        charset="utf8mb4",
    )


if __name__ == "__main__":
    with connect(read_settings().source) as named:
        print(f"{load(named) or 'no'} rows loaded into {TABLE}")
