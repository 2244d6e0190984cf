"""What MySQL's catalogue says of a table's indexes and columns, as far as a key depends on it."""

from __future__ import annotations

from vector_pipeline.core.settings import SourceSettings
from vector_pipeline.core.source.catalog import SourceTable, read_table
from vector_pipeline.core.source.connection import connect
from vector_pipeline_tests.core.source.keys_of_all_kinds import administrator


def _table(settings: SourceSettings, statement: str, name: str = "t") -> SourceTable:
    with administrator(settings) as cursor:
        cursor.execute(statement)
    connection = connect(settings)
    table = read_table(connection, settings.database, name)
    connection.close()
    assert table is not None
    return table


def test_indexes_have_their_columns_in_order(any_mysql_database: SourceSettings) -> None:
    table = _table(
        any_mysql_database,
        "CREATE TABLE t (B INT NOT NULL, a INT NOT NULL, c INT NULL, d VARCHAR(20) NOT NULL, e TEXT,"
        " PRIMARY KEY (B, a), UNIQUE (a, c), UNIQUE (d(5)), KEY (c, d(5), a), UNIQUE (d, a), FULLTEXT (e))",
    )
    assert {index.columns for index in table.indexes} == {("b", "a"), ("a", "c"), (), ("c",), ("d", "a")}
    assert set(table.unique_keys) == {("b", "a"), ("d", "a")}
    assert not table.is_view


def test_an_index_that_goes_both_ways_is_ordered_by_its_first_columns(any_mysql_database: SourceSettings) -> None:
    table = _table(any_mysql_database, "CREATE TABLE t (a INT NOT NULL, b INT NOT NULL, UNIQUE (a, b DESC))")
    assert [(index.columns, index.complete) for index in table.indexes] == [(("a",), False)]


def test_a_text_column_has_its_character_set_and_collation(any_mysql_database: SourceSettings) -> None:
    table = _table(any_mysql_database, "CREATE TABLE t (a CHAR(3) COLLATE latin1_german1_ci, b VARBINARY(7))")
    text, binary = table.columns["a"], table.columns["b"]
    assert (text.character_set, text.collation, text.maximum_characters) == ("latin1", "latin1_german1_ci", 3)
    assert (binary.character_set, binary.collation) == (None, None)


def test_a_view_has_no_indexes(any_mysql_database: SourceSettings) -> None:
    _table(any_mysql_database, "CREATE TABLE t (a INT PRIMARY KEY)")
    view = _table(any_mysql_database, "CREATE VIEW v AS SELECT * FROM t", "v")
    assert (view.is_view, view.indexes, view.unique_keys) == (True, (), [])
