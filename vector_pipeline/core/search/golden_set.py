"""A golden set: questions with the documents that answer them, in a CSV file that people keep by hand.

Its columns are `query`, `key` (as search shows it) and, if some documents are more relevant than others, `relevance`:
a number, 1 if left out, 0 for one that is known not to be relevant. A query with several relevant documents has a row
for each. Other columns are for people.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from vector_pipeline.core.errors import VectorPipelineError

_QUERY, _KEY, _RELEVANCE = "query", "key", "relevance"


class GoldenSetError(VectorPipelineError):
    """A golden set can't be used. Names the file, the line, the column, and the remedy."""


@dataclass(frozen=True)
class GoldenQuery:
    """A question, and how relevant documents are to it, by key."""

    query: str
    grades: Mapping[str, float]


@dataclass(frozen=True)
class GoldenSet:
    """The questions of a file. `fingerprint` tells whether two results are of the same questions and grades."""

    path: Path
    queries: tuple[GoldenQuery, ...]

    @property
    def keys(self) -> set[str]:
        """Those of all relevant documents."""
        return {key for query in self.queries for key, grade in query.grades.items() if grade > 0}

    @property
    def fingerprint(self) -> str:
        said = repr([(one.query, sorted(one.grades.items())) for one in self.queries])
        return hashlib.sha256(said.encode()).hexdigest()[:16]


def locate(declared: str, beside: Path | None) -> Path:
    """The file of that name: beside the declaration, else from the current folder, which is the project's."""
    folders = [folder for folder in (beside, Path.cwd()) if folder is not None]
    for folder in folders:
        if (folder / declared).is_file():
            return folder / declared
    looked = " or ".join(str(folder) for folder in folders)
    raise GoldenSetError(f"search.golden_set: no file {declared} in {looked}; correct its path, or put it there")


def read_golden_set(path: Path) -> GoldenSet:
    """Reads a golden set.

    Raises:
        GoldenSetError: with line and column.
    """
    found: dict[str, dict[str, float]] = {}
    first_lines: dict[str, int] = {}
    for line, query, key, grade in _judgements(path, _text(path)):
        grades = found.setdefault(query, {})
        first_lines.setdefault(query, line)
        if key in grades:
            raise _wrong(path, line, _KEY, f"{key!r} was judged for this query already", "leave one of the rows out")
        grades[key] = grade
    if not found:
        raise GoldenSetError(f"{path}: there is no query in it; add rows of {_QUERY},{_KEY}")
    for query, grades in found.items():
        if not any(grade > 0 for grade in grades.values()):
            raise _wrong(
                path,
                first_lines[query],
                _RELEVANCE,
                "no document is relevant to this query",
                "give at least one of its keys a relevance above 0, or leave the query out",
            )
    return GoldenSet(path, tuple(GoldenQuery(query, grades) for query, grades in found.items()))


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise GoldenSetError(f"{path}: can't be read: {error.strerror}; correct search.golden_set") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise GoldenSetError(f"{path}, line {line}: this is not UTF-8; save the file as UTF-8") from None


def _judgements(path: Path, text: str) -> Iterator[tuple[int, str, str, float]]:
    """Line, query, key and relevance of each row; a row begins at its line."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        places = _places(path, header)
        while True:
            line = reader.line_num + 1
            row = next(reader, None)
            if row is None:
                return
            if any(cell.strip() for cell in row):
                yield line, *_judgement(path, line, row, header, places)
    except csv.Error as error:
        raise GoldenSetError(f"{path}, line {line}: {error}; correct the quotes") from None


def _places(path: Path, header: list[str]) -> dict[str, int]:
    for name in (_QUERY, _KEY, _RELEVANCE):
        if header.count(name) > 1 or (name not in header and name != _RELEVANCE):
            problem = "is there twice" if name in header else "is missing"
            raise _wrong(path, 1, name, f"it {problem}", f"begin the file with the line {_QUERY},{_KEY}")
    return {name: header.index(name) for name in (_QUERY, _KEY, _RELEVANCE) if name in header}


def _judgement(
    path: Path, line: int, row: list[str], header: list[str], places: dict[str, int]
) -> tuple[str, str, float]:
    if len(row) != len(header):
        raise GoldenSetError(
            f"{path}, line {line}: it has {len(row)} columns, the first line {len(header)}; put texts with a "
            "comma into double quotes"
        )
    query, key = row[places[_QUERY]].strip(), row[places[_KEY]].strip()
    for name, value in ((_QUERY, query), (_KEY, key)):
        if not value or "\0" in value:
            raise _wrong(path, line, name, "it is empty" if not value else "it has a NUL in it", "write one")
    given = row[places[_RELEVANCE]].strip() if _RELEVANCE in places else ""
    try:
        grade = float(given or 1)
    except ValueError:
        grade = math.nan
    if not (math.isfinite(grade) and grade >= 0):
        raise _wrong(path, line, _RELEVANCE, f"{given!r} is no relevance", "give a number from 0, or nothing for 1")
    return query, key, grade


def _wrong(path: Path, line: int, column: str, problem: str, remedy: str) -> GoldenSetError:
    return GoldenSetError(f"{path}, line {line}, column {column}: {problem}; {remedy}")
