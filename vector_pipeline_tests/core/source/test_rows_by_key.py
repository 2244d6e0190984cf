"""Rows by their keys, as MySQL compares these."""

from __future__ import annotations

from contextlib import closing

from vector_pipeline.core.preparation import right_table
from vector_pipeline.core.settings import SourceSettings
from vector_pipeline.core.source import connection as source_connection
from vector_pipeline.core.source.plan import plan_reading
from vector_pipeline.core.source.rows_by_key import RowsByKey, read_rows_by_key
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline_tests.servers import mysql_administrator

SPEC = IndexSpec.model_validate(
    {
        "name": "parts",
        "source": {"table": "parts", "primary_key": ["maker", "code"], "where": "code <> 'a%b' OR 1"},
        "document": {"text": {"label": "label"}},
    }
)


def read(source: SourceSettings, keys: list[str], most_bytes: int = 1000) -> RowsByKey:
    with mysql_administrator(source) as connection, connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TABLE {source.database}.parts (maker VARCHAR(20), code VARCHAR(20), label TEXT,"
            " PRIMARY KEY (maker, code)) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"
        )
        cursor.executemany(
            f"INSERT INTO {source.database}.parts VALUES (%s, %s, %s)",
            [("Acme", "x|1", "bolt"), ("Acme", "y", None), ("Zeta", "ß", "grüße")],
        )
    with closing(source_connection.connect(source)) as connection:
        plan = plan_reading(SPEC, right_table(connection, SPEC, source.database, "a test"))
        return read_rows_by_key(connection, plan, keys, most_bytes, 10)


def test_rows_come_in_the_order_of_their_keys_as_these_were_asked_for(any_mysql_database: SourceSettings) -> None:
    found = read(any_mysql_database, ["Zeta|ß", "Acme|gone", "Acme|x\\|1", "Acme|y"])

    assert [(row.key, row.values["label"]) for row in found.rows] == [
        ("Zeta|ß", "grüße"),
        ("Acme|x\\|1", "bolt"),
        ("Acme|y", None),
    ]
    assert (found.missing, found.left_out) == (("Acme|gone",), ())


def test_a_key_that_the_collation_takes_for_equal_finds_its_row(mysql_database: SourceSettings) -> None:
    found = read(mysql_database, ["ACME|Y"])

    assert [row.key for row in found.rows] == ["Acme|y"]
    assert found.missing == ()


def test_what_would_be_too_long_is_left_out_by_its_key(mysql_database: SourceSettings) -> None:
    found = read(mysql_database, ["Acme|x\\|1", "Zeta|ß"], most_bytes=8)

    assert [row.key for row in found.rows] == ["Acme|x\\|1"]
    assert found.left_out == ("Zeta|ß",)
