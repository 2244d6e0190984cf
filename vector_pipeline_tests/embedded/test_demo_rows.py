"""The demo's rows are many, real and always the same."""

from __future__ import annotations

import pytest

from vector_pipeline.core.settings import SourceSettings
from vector_pipeline.embedded import demo_rows
from vector_pipeline_tests.servers import mysql


def test_the_rows_are_many_and_the_same_each_time() -> None:
    rows = list(demo_rows.iterate_rows())
    assert rows == list(demo_rows.iterate_rows())
    assert 1500 < len(rows) < 4000
    assert len({row.unique_id for row in rows}) == len({row.question for row in rows}) == len(rows)


def test_a_row_asks_what_something_is_and_answers_with_its_documentation() -> None:
    rows = {row.question.split("?")[0]: row for row in demo_rows.iterate_rows()}
    row = rows["What is the class collections.OrderedDict"]
    assert row.question.endswith("? Dictionary that remembers insertion order")
    assert row.answer == "Dictionary that remembers insertion order"
    assert row.link == "https://docs.python.org/3/library/collections.html#collections.OrderedDict"
    assert row.date is not None
    assert max(len(row.answer) for row in rows.values()) <= demo_rows.LONGEST_ANSWER + 2


@pytest.mark.long
def test_loading_twice_loads_once(any_mysql_database: SourceSettings) -> None:
    source = any_mysql_database
    with mysql(source, autocommit=False) as connection:
        loaded = demo_rows.load(connection)
        assert loaded > 1500
        assert demo_rows.load(connection) == 0
        with connection.cursor() as cursor:
            cursor.execute("SELECT COUNT(*), COUNT(DISTINCT genie_uniqueid) FROM tbl_genie_genie")
            assert cursor.fetchone() == (loaded, loaded)
