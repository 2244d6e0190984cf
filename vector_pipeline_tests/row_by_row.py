"""Source and target compared by the tests themselves, row by row, with nothing of what the product compares by."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from hashlib import sha256
from typing import Any

import numpy as np
import psycopg
import pymysql

from vector_pipeline.core.reports import RangeState
from vector_pipeline_tests.counting_provider import DIMENSIONS
from vector_pipeline_tests.keyed_tables import KeyedTable
from vector_pipeline_tests.misbehaving_answers import POISON, vectors_of

FIELDS = ("question", "answer")

# The time at which a document was written is nothing that the source has.
_DOCUMENTS = """
SELECT key, question, answer, metadata->>'link', metadata->>'asked', metadata->>'rating'
FROM {schema}.documents
"""
_PASSAGES = """
SELECT p.key, p.field, p.ordinal, p.char_start, p.char_end, p.content_hash, p.served_hash, v.embedding::text,
       q.content_hash IS NOT NULL
FROM {schema}.passages_1 p
LEFT JOIN {schema}.vectors_1 v ON v.content_hash = p.content_hash AND v.field = p.field
LEFT JOIN vector_pipeline.quarantine q ON q.content_hash = p.content_hash
ORDER BY p.key, p.field, p.ordinal
"""
_QUARANTINED_FOR_NOTHING = """
SELECT count(*) FROM vector_pipeline.quarantine q
WHERE NOT EXISTS (SELECT FROM {schema}.passages_1 p WHERE p.content_hash = q.content_hash)
"""


class RowByRow:
    """One table and the index over it, whose schema has the name `schema`."""

    def __init__(self, source: Any, target: psycopg.Connection, table: str, keyed: KeyedTable, schema: str) -> None:
        self._source: pymysql.connections.Connection[Any] = source
        self._target = target
        self._table = table
        self._keyed = keyed
        self._schema = schema

    def assert_equal(self, ranges: Sequence[RangeState]) -> None:
        """Each row is a document with its texts and metadata, found by the right vectors, in the range of its key."""
        rows = self._rows()
        assert self._documents() == rows
        self._assert_passages(rows)
        assert self._of_target(_QUARANTINED_FOR_NOTHING) == [(0,)]
        self.assert_in_their_ranges(ranges)

    def _rows(self) -> dict[str, tuple[str | None, ...]]:
        keys = len(self._keyed.columns)
        return {
            self._keyed.text(row[:keys]): tuple(map(_as_text, row[keys:]))
            for row in self._of_source("question, answer, link, asked, rating")
        }

    def _documents(self) -> dict[str, tuple[str | None, ...]]:
        return {key: tuple(values) for key, *values in self._of_target(_DOCUMENTS)}

    def _assert_passages(self, rows: dict[str, tuple[str | None, ...]]) -> None:
        texts = {
            (key, field): text
            for key, row in rows.items()
            for field, text in zip(FIELDS, row, strict=False)
            if text and text.strip()
        }
        passages = self._of_target(_PASSAGES)
        left = dict(texts)
        found_before: dict[tuple[str, str], int] = {}
        for key, field, ordinal, start, end, content_hash, served_hash, vector, quarantined in passages:
            text = texts[key, field][start:end]
            assert ordinal == found_before.setdefault((key, field), 0), (key, field)
            found_before[key, field] += 1
            left[key, field] = left[key, field].replace(text, "", 1)
            assert content_hash == sha256(text.encode()).digest(), (key, field)
            assert quarantined == (POISON in text), (key, field)
            if not quarantined:
                assert served_hash == content_hash, (key, field)
                assert vector is not None, (key, field)
                found = np.array(vector.strip("[]").split(","), np.float32)
                assert np.allclose(found, vectors_of([text], DIMENSIONS)[0], atol=1e-6), (key, field)
        assert not "".join(left.values()).strip()

    def assert_in_their_ranges(self, ranges: Sequence[RangeState]) -> None:
        """Each document is in the one range between whose bounds MySQL finds its row."""
        stored: dict[int, set[str]] = {state.range_id: set() for state in ranges}
        for key, range_id in self._of_target("SELECT key, range_id FROM {schema}.documents"):
            stored[range_id].add(key)
        for state in ranges:
            bounds = [("<" if upper else ">=", key) for upper, key in enumerate((state.lower, state.upper)) if key]
            rows = self._of_source("1", bounds)
            assert stored[state.range_id] == {self._keyed.text(row[:-1]) for row in rows}, state.partition

    def _of_source(self, columns: str, bounds: Sequence[tuple[str, str]] = ()) -> list[tuple[Any, ...]]:
        keyed = self._keyed
        condition = " AND ".join(f"{keyed.tuple_of_columns} {sign} {keyed.tuple_of_values}" for sign, _ in bounds)
        with self._source.cursor() as cursor:
            cursor.execute(
                f"SELECT {', '.join(keyed.columns)}, {columns} FROM {self._table} WHERE {condition or 'true'}",
                [value for _, key in bounds for value in keyed.bound(key)],
            )
            return list(cursor.fetchall())

    def _of_target(self, statement: str) -> list[tuple[Any, ...]]:
        return self._target.execute(statement.format(schema=self._schema).encode()).fetchall()


def _as_text(value: object) -> str | None:
    """As PostgreSQL can store it: without NUL characters, and a number or a moment as text."""
    if value is None:
        return None
    return f"{value:f}" if isinstance(value, Decimal) else str(value).replace("\0", "")
