"""Reading one range makes the server read the rows of that range, by the index of the key."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from vector_pipeline.core.settings import SourceSettings
from vector_pipeline.core.source.catalog import read_table
from vector_pipeline.core.source.connection import Connection, connect
from vector_pipeline.core.source.digest import digest_range
from vector_pipeline.core.source.key_ranges import KeyRange, cut, hash_of_greatest_key
from vector_pipeline.core.source.plan import ReadingPlan, plan_reading
from vector_pipeline_tests.core.source.keys_of_all_kinds import administrator
from vector_pipeline_tests.workbench import faq_spec

BY_PRIMARY_KEY = "PRIMARY KEY (tenant, slug, nr)"
BY_UNIQUE_INDEX = "id INT AUTO_INCREMENT PRIMARY KEY, UNIQUE KEY (tenant, slug, nr)"
TENANTS, SLUGS, NUMBERS = 20, 20, 10
# To find where each of the intervals that make up one range begins, and that it has ended.
LOOKUPS = 12


@pytest.fixture(params=[BY_PRIMARY_KEY, BY_UNIQUE_INDEX], ids=["primary key", "unique index"])
def source(request: pytest.FixtureRequest, any_mysql_database: SourceSettings) -> Iterator[tuple[Connection, str]]:
    """A session, and its database with 4,000 rows under a key of three columns."""
    with administrator(any_mysql_database) as cursor:
        cursor.execute(
            "CREATE TABLE lines_of (tenant INT NOT NULL, slug VARCHAR(20) COLLATE utf8mb4_unicode_ci NOT NULL,"
            f" nr BIGINT NOT NULL, question TEXT, {request.param})"
        )
        cursor.executemany(
            "INSERT INTO lines_of (tenant, slug, nr, question) VALUES (%s, %s, %s, 'q')",
            [(t, f"s{s:02d}", n) for t in range(TENANTS) for s in range(SLUGS) for n in range(NUMBERS)],
        )
        cursor.execute("ANALYZE TABLE lines_of")
    connection = connect(any_mysql_database)
    yield connection, any_mysql_database.database
    connection.close()


def _plan(source: Connection, database: str) -> ReadingPlan:
    table = read_table(source, database, "lines_of")
    assert table is not None
    key = {"table": "lines_of", "primary_key": ["tenant", "slug", "nr"]}
    return plan_reading(faq_spec(source=key, document={"text": {"question": "question"}}), table)


def _rows_read(source: Connection) -> int:
    """Rows and index entries that the session has made the server read since it was last asked."""
    with source.cursor() as cursor:
        cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
        read = sum(int(count) for _, count in cursor.fetchall())
        cursor.execute("FLUSH STATUS")
    return read


RANGES = {
    "two columns shared": ("5|s05|2", "5|s05|7", 5),
    "one column shared": ("5|s05|5", "5|s15|5", 100),
    "none shared": ("5|s15|5", "6|s05|5", 100),
    "whole tenants between": ("5|s15|5", "7|s05|5", 300),
    "the first": (None, "0|s10|3", 103),
    "the last": ("19|s10|3", None, 97),
}


def test_a_range_of_a_key_of_several_columns_reads_its_rows_alone(source: tuple[Connection, str]) -> None:
    connection, database = source
    plan = _plan(connection, database)
    for name, (lower, upper, rows) in RANGES.items():
        key_range = KeyRange(0, "0", lower, upper)
        _rows_read(connection)
        assert digest_range(connection, plan, key_range).rows == rows, name
        assert rows <= _rows_read(connection) <= rows + LOOKUPS, name
        next(cut(connection, plan, key_range, 30), None)
        assert _rows_read(connection) <= min(rows, 31) + LOOKUPS, f"cutting {name}"


def test_the_greatest_key_is_one_look_at_the_index(source: tuple[Connection, str]) -> None:
    connection, database = source
    plan = _plan(connection, database)
    _rows_read(connection)
    assert hash_of_greatest_key(connection, plan) == hashlib.sha256(b"19|s19|9").hexdigest()
    assert _rows_read(connection) <= LOOKUPS
