"""What the source has to bear: reads that take no locks, end in time, write nothing, and need no right but SELECT."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import pymysql
import pytest

from vector_pipeline.core.errors import SourceRefusedError
from vector_pipeline.core.settings import SourceSettings
from vector_pipeline.core.source.connection import connect, statement_limit
from vector_pipeline.core.source.time_limit import limited_statements
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline_tests.servers import mysql_administrator
from vector_pipeline_tests.workbench import Workbench, question_only, sync_all


@contextmanager
def another_session(workbench: Workbench) -> Iterator[Any]:
    """Somebody else in the same database, who waits for a lock for no more than a second."""
    with mysql_administrator(workbench.source) as connection, connection.cursor() as cursor:
        cursor.execute(f"USE {workbench.source.database}")
        cursor.execute("SET SESSION lock_wait_timeout = 1, innodb_lock_wait_timeout = 1")
        yield cursor


def reading(**source: Any) -> IndexSpec:
    return question_only(source={"table": "faq", "primary_key": "id"} | source)


def test_every_session_has_the_limit_that_it_was_opened_with(any_mysql_database: SourceSettings) -> None:
    with closing(connect(any_mysql_database, 2.5)) as connection:
        assert statement_limit(connection) == 2.5


def test_a_shorter_limit_holds_for_its_block_and_gives_the_sessions_own_back(
    any_mysql_database: SourceSettings,
) -> None:
    with closing(connect(any_mysql_database, 2.5)) as connection:
        with limited_statements(connection, 1.0):
            assert statement_limit(connection) == 1
        assert statement_limit(connection) == 2.5


def test_a_longer_limit_leaves_the_sessions_own(any_mysql_database: SourceSettings) -> None:
    with closing(connect(any_mysql_database, 2.5)) as connection, limited_statements(connection, 10.0):
        assert statement_limit(connection) == 2.5


def test_a_statement_that_takes_too_long_is_told_with_table_limit_and_remedy(any_workbench: Workbench) -> None:
    any_workbench.create_faq(20)
    any_workbench.sync(reading())
    slow = reading(where="SLEEP(0.2) = 0", statement_seconds=0.5)
    with (
        any_workbench.index(slow) as index,
        pytest.raises(SourceRefusedError, match=r"\.faq, ended a statement that took longer than its limit of 0\.5 s"),
    ):
        index.verify()
    with any_workbench.index(slow) as index, pytest.raises(SourceRefusedError, match=r"source\.statement_seconds"):
        list(index.sync_documents([state.partition for state in index.ranges()]))


def test_the_source_is_read_no_faster_than_declared(workbench: Workbench) -> None:
    workbench.create_faq(300)
    started = time.monotonic()
    workbench.sync(reading(throttle={"rows_per_second": 200}))
    # Beyond what a second saves up, the last hundred rows take half a second.
    assert time.monotonic() - started >= 0.5


def test_a_throttle_does_not_make_a_statement_take_too_long(any_workbench: Workbench) -> None:
    any_workbench.create_faq(400)
    gentle = reading(throttle={"rows_per_second": 200}, statement_seconds=0.4)
    assert any_workbench.sync(gentle).inserted == 400


def test_rows_that_another_transaction_has_locked_are_read_as_they_were(any_workbench: Workbench) -> None:
    any_workbench.create_faq(50)
    with another_session(any_workbench) as other:
        other.execute("BEGIN")
        other.execute("UPDATE faq SET question = 'not yet committed'")
        other.execute("INSERT INTO faq (id, question) VALUES (1000, 'not yet committed')")
        assert any_workbench.sync(reading()).inserted == 50
        with any_workbench.index(reading()) as index:
            assert index.verify().equal
        other.execute("ROLLBACK")
    assert any_workbench.postgres("SELECT count(*) FROM faq WHERE question LIKE 'not yet%%'") == [(0,)]


def test_a_table_that_is_locked_for_reading_is_read(any_workbench: Workbench) -> None:
    any_workbench.create_faq(50)
    with another_session(any_workbench) as other:
        other.execute("LOCK TABLES faq READ")
        any_workbench.sync(reading())
        with any_workbench.index(reading()) as index:
            assert index.verify().equal


def test_a_table_can_be_written_and_altered_between_two_ranges(any_workbench: Workbench) -> None:
    any_workbench.create_faq(300)
    with any_workbench.index(reading()) as index, another_session(any_workbench) as other:
        index.detect()
        ranges = index.sync_documents([state.partition for state in index.due_ranges()])
        next(ranges)
        other.execute("UPDATE faq SET question = 'changed' WHERE id = 1")
        other.execute("ALTER TABLE faq ADD COLUMN more INT")
        list(ranges)
    any_workbench.sync(reading())
    with any_workbench.index(reading()) as index:
        assert index.verify().equal


def test_a_table_can_be_altered_after_each_kind_of_read(any_workbench: Workbench) -> None:
    any_workbench.create_faq(50)
    with any_workbench.index(reading()) as index, another_session(any_workbench) as other:
        for number, read in enumerate((index.check_declaration, index.detect, lambda: sync_all(index), index.verify)):
            read()
            other.execute(f"ALTER TABLE faq ADD COLUMN more_{number} INT")


def test_our_session_can_not_write(any_workbench: Workbench) -> None:
    any_workbench.create_faq(1)
    with closing(connect(any_workbench.source)) as connection, connection.cursor() as cursor:
        for statement in ("DELETE FROM faq", "UPDATE faq SET question = NULL", "DROP TABLE faq"):
            with pytest.raises(pymysql.MySQLError) as refused:
                cursor.execute(statement)
            assert refused.value.args[0] == 1792
    assert any_workbench.mysql("SELECT question FROM faq") == [("question number 1?",)]


def test_the_right_to_select_from_the_one_table_is_enough(any_workbench: Workbench) -> None:
    any_workbench.create_faq(250)
    any_workbench.mysql("CREATE TABLE private (id INT PRIMARY KEY)")
    reader = f"reader_{any_workbench.source.database[-8:]}"
    any_workbench.mysql(f"CREATE USER {reader}@'127.0.0.1' IDENTIFIED BY 'only reads'")
    any_workbench.mysql(f"GRANT SELECT ON {any_workbench.source.database}.faq TO {reader}@'127.0.0.1'")
    modest = replace(any_workbench, source=replace(any_workbench.source, user=reader, password="only reads"))
    assert modest.sync(reading()).inserted == 250
    any_workbench.mysql("UPDATE faq SET question = 'changed' WHERE id = 7")
    any_workbench.mysql("DELETE FROM faq WHERE id = 9")
    with modest.index(reading()) as index:
        assert index.check_declaration() == []
        assert index.detect().ranges_dirty == 1
        synced = sync_all(index)
        assert (synced.updated, synced.deleted) == (1, 1)
        assert index.verify().equal
    any_workbench.mysql(f"DROP USER {reader}@'127.0.0.1'")
