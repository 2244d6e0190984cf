"""Changes that the binary log tells of, on both servers; and what is said where it can't be read."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import pymysql
import pytest
from pymysql.cursors import Cursor
from pymysqlreplication.row_event import RowsEvent

from vector_pipeline.core.detection import binlog, binlog_stream
from vector_pipeline.core.detection.binlog import Binlog
from vector_pipeline.core.settings import SourceSettings
from vector_pipeline.core.source import connection as source_connection
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline_tests.core.detection.watching import Watch, watching
from vector_pipeline_tests.servers import mysql_administrator
from vector_pipeline_tests.workbench import Workbench, faq_spec


def _spec(key: Any = "id") -> IndexSpec:
    return faq_spec(
        source={"table": "faq", "primary_key": key, "binlog": True},
        document={"text": {"question": "question"}},
        range_size=10,
    )


@contextmanager
def _watched(
    workbench: Workbench, key: str = "id BIGINT PRIMARY KEY", *, declared: Any = "id", wait_seconds: float = 0
) -> Iterator[Watch]:
    """Fifty rows in five ranges, and a log that was looked at before anything else happens."""
    workbench.mysql(f"CREATE TABLE faq ({key}, question TEXT) CHARACTER SET utf8mb4")
    workbench.mysql("CREATE TABLE other (id BIGINT PRIMARY KEY)")
    workbench.mysql("INSERT INTO faq (id, question) VALUES (%s, 'question')", [(i,) for i in range(10, 60)])
    with watching(workbench, _spec(declared), Binlog(workbench.source, wait_seconds)) as watch:
        yield watch


@contextmanager
def _session(workbench: Workbench) -> Iterator[Cursor]:
    with closing(mysql_administrator(workbench.source)) as connection, connection.cursor() as cursor:
        cursor.execute(f"USE {workbench.source.database}")
        yield cursor


@contextmanager
def _global(workbench: Workbench, variable: str, value: str) -> Iterator[None]:
    with _session(workbench) as cursor:
        cursor.execute(f"SELECT @@GLOBAL.{variable}")
        row = cursor.fetchone()
        assert row is not None
        cursor.execute(f"SET GLOBAL {variable} = {value}")
        try:
            yield
        finally:
            cursor.execute(f"SET GLOBAL {variable} = %s", (row[0],))


def _is_mariadb(workbench: Workbench) -> bool:
    return "MariaDB" in str(workbench.mysql("SELECT VERSION()"))


@pytest.mark.parametrize(
    ("statement", "keys"),
    [
        ("INSERT INTO faq VALUES (100, 'new')", [100]),
        ("UPDATE faq SET question = 'changed' WHERE id IN (12, 35)", [12, 35]),
        ("DELETE FROM faq WHERE id = 22", [22]),
        ("UPDATE faq SET id = 1 WHERE id = 45", [1, 45]),
        ("REPLACE INTO faq VALUES (33, 'replaced')", [33]),
    ],
    ids=["insert", "update", "delete", "new key", "replace"],
)
def test_a_change_names_the_ranges_of_its_rows_and_no_others(
    any_workbench: Workbench, statement: str, keys: list[int]
) -> None:
    with _watched(any_workbench) as watch:
        any_workbench.mysql(statement)
        assert watch.look() == watch.ranges_of(*keys)
        assert watch.problems == []


def test_what_is_found_at_the_logs_end_is_named_once_more_and_then_no_more(any_workbench: Workbench) -> None:
    with _watched(any_workbench) as watch:
        any_workbench.mysql("UPDATE faq SET question = 'changed' WHERE id = 12")
        assert [watch.look() for _ in range(2)] == [watch.ranges_of(12)] * 2
        assert list(watch.findings()) == []


@pytest.mark.parametrize("metadata", [pytest.param("FULL", marks=pytest.mark.long), "MINIMAL"])
@pytest.mark.parametrize(
    ("key", "declared", "value", "text"),
    [
        ("id BIGINT UNSIGNED PRIMARY KEY", "id", "18446744073709551615", "18446744073709551615"),
        ("id MEDIUMINT ZEROFILL PRIMARY KEY", "id", "9000000", "9000000"),
        ("id VARCHAR(20) COLLATE utf8mb4_unicode_ci PRIMARY KEY", "id", "'ÄRGER 😀'", "ärger 😀"),
        ("id VARCHAR(20) CHARACTER SET latin1 PRIMARY KEY", "id", "'é€'", "é€"),
        ("id CHAR(20) CHARACTER SET cp932 PRIMARY KEY", "id", "'日本'", "日本"),
        ("id BINARY(4) PRIMARY KEY", "id", "x'FE002000'", "FE002000"),
        ("id VARBINARY(4) PRIMARY KEY", "id", "x'FE00'", "FE00"),
        ("id DECIMAL(12, 3) PRIMARY KEY", "id", "-1234567.5", "-1234567.500"),
        (
            "id DATETIME(6) PRIMARY KEY DEFAULT NOW(6)",
            "id",
            "'2026-01-02 03:04:05.000600'",
            "2026-01-02 03:04:05.000600",
        ),
        ("id TIMESTAMP(2) PRIMARY KEY", "id", "'2026-01-02 03:04:05.6'", "2026-01-02 03:04:05.60"),
        ("id BIGINT, at TIMESTAMP(2) NULL DEFAULT '2026-01-02 03:04:05', tenant VARCHAR(9) DEFAULT 'a|\\\\', "
         "PRIMARY KEY (id), UNIQUE (tenant, id)", ["tenant", "id"], "99", "a\\|\\\\|99"),
    ],
    ids=["unsigned", "zerofill", "utf8mb4", "latin1", "cp932", "binary", "varbinary", "decimal", "datetime",
         "timestamp", "composite"],
)  # fmt: skip
def test_any_kind_of_key_has_its_canonical_text(
    any_workbench: Workbench, metadata: str, key: str, declared: Any, value: str, text: str
) -> None:
    of_moments = key.startswith(("id DATETIME", "id TIMESTAMP"))
    with _global(any_workbench, "binlog_row_metadata", f"'{metadata}'"):
        any_workbench.mysql(f"CREATE TABLE faq (j JSON, {key}, question TEXT) CHARACTER SET utf8mb4")
        ids = [f"2020-01-02 03:04:{i}" for i in range(10, 60)] if of_moments else [str(i) for i in range(10, 60)]
        any_workbench.mysql("INSERT INTO faq (id, question) VALUES (%s, 'question')", [(i,) for i in ids])
        with watching(any_workbench, _spec(declared), Binlog(any_workbench.source)) as watch:
            any_workbench.mysql(f"""INSERT INTO faq (id, j, question) VALUES ({value}, '{{"a": 1}}', 'q')""")
            assert watch.look() == watch.ranges_of(text) != set()
            named = watch.view.source.cursor()
            named.execute(f"SELECT {watch.view.plan.key.expression} FROM faq WHERE id = {value}")
            row = named.fetchone()
            assert row is not None and row[0].casefold() == text.casefold()
            assert watch.problems == []


def test_a_row_image_of_changed_columns_alone_is_enough(any_workbench: Workbench) -> None:
    with _watched(any_workbench) as watch, _session(any_workbench) as cursor:
        cursor.execute("SET SESSION binlog_row_image = MINIMAL")
        cursor.execute("UPDATE faq SET question = 'changed' WHERE id = 12")
        cursor.execute("DELETE FROM faq WHERE id = 22")
        cursor.execute("UPDATE faq SET id = 300 WHERE id = 35")
        assert watch.look() == watch.ranges_of(12, 22, 35, 300)
        assert watch.problems == []


def test_a_key_that_a_row_image_leaves_out_is_told(any_workbench: Workbench) -> None:
    with (
        _watched(any_workbench, "nr INT AUTO_INCREMENT PRIMARY KEY, id BIGINT NOT NULL UNIQUE") as watch,
        _session(any_workbench) as cursor,
    ):
        cursor.execute("SET SESSION binlog_row_image = MINIMAL")
        cursor.execute("DELETE FROM faq WHERE id = 22")
        assert watch.look() == set()
        assert "left to the scrub" in watch.problems[0] and "binlog_row_image" in watch.problems[0]


def test_a_look_goes_on_where_the_last_one_stopped(any_workbench: Workbench) -> None:
    with _watched(any_workbench) as watch:
        for key in (12, 22, 35, 45):
            any_workbench.mysql(f"UPDATE faq SET question = 'changed' WHERE id = {key}")
        looks = watch.short_looks()
        assert looks[0] == watch.ranges_of(12)
        assert set().union(*looks) == watch.ranges_of(12, 22, 35, 45)


def test_findings_are_bounded_and_a_look_broken_off_loses_nothing(
    any_workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binlog, "_KEYS_PER_FINDING", 3)
    with _watched(any_workbench) as watch:
        for key in range(10, 60):
            any_workbench.mysql(f"UPDATE faq SET question = 'changed' WHERE id = {key}")
        named: set[int] = set()
        for _ in range(17):
            for finding in watch.findings():
                named |= finding.suspects
                assert len(finding.suspects) <= 4
                break
        assert named == watch.all_ranges
        watch.look()
        assert watch.look() == set()


def test_a_long_transaction_is_read_in_several_looks(any_workbench: Workbench) -> None:
    with _watched(any_workbench) as watch:
        any_workbench.mysql("UPDATE faq SET question = REPEAT('long text ', 200)")
        looks = watch.short_looks()
        assert looks[0] != watch.all_ranges
        assert set().union(*looks) == watch.all_ranges


@pytest.fixture
def unpacked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each event had that was unpacked."""
    unpack, counts = binlog_stream._rows, list[int]()

    def counted(event: RowsEvent) -> list[dict[str, Any]]:
        rows = unpack(event)
        counts.append(len(rows))
        return rows

    monkeypatch.setattr(binlog_stream, "_rows", counted)
    return counts


def _touch_all_and_then_much(cursor: Cursor) -> None:
    """One transaction: a row of each range, then all rows ten times."""
    cursor.execute("BEGIN")
    cursor.execute("UPDATE faq SET question = 'changed' WHERE id % 10 = 5")
    for time in range(10):
        cursor.execute(f"UPDATE faq SET question = 'changed {time}'")
    cursor.execute("COMMIT")


def test_rows_are_not_unpacked_once_their_transaction_has_named_all_ranges(
    any_workbench: Workbench, monkeypatch: pytest.MonkeyPatch, unpacked: list[int]
) -> None:
    monkeypatch.setattr(binlog, "_KEYS_PER_FINDING", 5)
    with _watched(any_workbench) as watch, _session(any_workbench) as cursor:
        _touch_all_and_then_much(cursor)
        assert watch.look() == watch.all_ranges
        assert unpacked == [5]
        assert watch.look() == watch.all_ranges, "what is found at the log's end is named once more"
        assert list(watch.findings()) == []


def test_rows_are_not_unpacked_either_by_the_next_looks_at_that_transaction(
    any_workbench: Workbench, unpacked: list[int]
) -> None:
    with _watched(any_workbench) as watch, _session(any_workbench) as cursor:
        _touch_all_and_then_much(cursor)
        assert watch.short_looks()[0] == watch.all_ranges
        assert unpacked == [5]


def test_rows_of_the_transaction_after_one_that_named_all_ranges_are_named(
    any_workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binlog, "_KEYS_PER_FINDING", 5)
    with _watched(any_workbench) as watch, _session(any_workbench) as cursor:
        _touch_all_and_then_much(cursor)
        while list(watch.findings()):
            pass
        any_workbench.mysql("UPDATE faq SET question = 'changed' WHERE id % 10 = 5")
        assert watch.look() == watch.all_ranges
        while list(watch.findings()):
            pass
        any_workbench.mysql("UPDATE faq SET question = 'changed again' WHERE id = 12")
        assert watch.look() == watch.ranges_of(12)


def test_rows_of_an_open_transaction_are_named_when_it_commits(any_workbench: Workbench) -> None:
    with _watched(any_workbench) as watch, _session(any_workbench) as cursor:
        cursor.execute("BEGIN")
        cursor.execute("UPDATE faq SET question = 'late' WHERE id = 35")
        any_workbench.mysql("UPDATE faq SET question = 'changed' WHERE id = 12")
        assert [watch.look() for _ in range(2)] == [watch.ranges_of(12)] * 2
        assert watch.look() == set()
        cursor.execute("COMMIT")
        assert watch.look() == watch.ranges_of(35)


def test_rows_of_a_distributed_transaction_are_named_when_it_commits(any_workbench: Workbench) -> None:
    name = f"'{uuid.uuid4().hex}'"
    with _watched(any_workbench) as watch, _session(any_workbench) as cursor:
        cursor.execute(f"XA START {name}")
        cursor.execute("UPDATE faq SET question = 'late' WHERE id = 35")
        cursor.execute(f"XA END {name}")
        cursor.execute(f"XA PREPARE {name}")
        assert [watch.look() for _ in range(2)] == [watch.ranges_of(35)] * 2
        assert watch.look() == set()
        cursor.execute(f"XA COMMIT {name}")
        assert watch.look() == watch.ranges_of(35)


def test_a_long_distributed_transaction_is_named_whole_when_it_commits(any_workbench: Workbench) -> None:
    name = f"'{uuid.uuid4().hex}'"
    with _watched(any_workbench) as watch, _session(any_workbench) as cursor:
        cursor.execute(f"XA START {name}")
        cursor.execute("UPDATE faq SET question = REPEAT('long text ', 200)")
        cursor.execute(f"XA END {name}")
        cursor.execute(f"XA PREPARE {name}")
        assert len(watch.short_looks()) > 2
        cursor.execute(f"XA COMMIT {name}")
        assert watch.look() == watch.all_ranges


def test_traffic_of_other_tables_moves_the_position_and_names_nothing(any_workbench: Workbench) -> None:
    with _watched(any_workbench) as watch:
        before = watch.state
        any_workbench.mysql("INSERT INTO other VALUES (1)")
        assert watch.look() == set()
        assert watch.state is not None and before is not None
        assert watch.state["position"] > before["position"]


def test_a_new_file_of_the_log_is_followed(any_workbench: Workbench) -> None:
    with _watched(any_workbench) as watch:
        any_workbench.mysql("UPDATE faq SET question = 'changed' WHERE id = 12")
        for key in (22, 35):
            any_workbench.mysql("FLUSH BINARY LOGS")
            any_workbench.mysql(f"UPDATE faq SET question = 'changed' WHERE id = {key}")
        assert watch.look() == watch.ranges_of(12, 22, 35)
        assert watch.problems == []


@pytest.mark.parametrize(
    "statement",
    [
        "TRUNCATE TABLE faq",
        "/* all of it */ truncate faq",
        "ALTER TABLE `faq` ADD COLUMN first_of_all INT FIRST",
        "RENAME TABLE faq TO moved, other TO faq",
    ],
)
def test_a_change_of_the_whole_table_names_all_ranges(any_workbench: Workbench, statement: str) -> None:
    with _watched(any_workbench) as watch:
        any_workbench.mysql(statement)
        assert watch.look() == watch.all_ranges
        assert watch.problems == []


def test_columns_changed_past_the_log_make_all_ranges_suspect(any_workbench: Workbench) -> None:
    with (
        _global(any_workbench, "binlog_row_metadata", "'MINIMAL'"),
        _watched(any_workbench) as watch,
        _session(any_workbench) as cursor,
    ):
        any_workbench.mysql("UPDATE faq SET question = 'changed' WHERE id = 12")
        cursor.execute("SET SESSION sql_log_bin = 0")
        cursor.execute("ALTER TABLE faq ADD COLUMN first_of_all BIGINT DEFAULT 50 FIRST")
        assert watch.look() == watch.all_ranges


def test_a_change_logged_as_a_statement_is_told(any_workbench: Workbench) -> None:
    with _watched(any_workbench) as watch, _session(any_workbench) as cursor:
        cursor.execute("SET SESSION binlog_format = STATEMENT")
        cursor.execute("UPDATE faq SET question = 'changed' WHERE id = 12")
        any_workbench.mysql("UPDATE faq SET question = 'changed' WHERE id = 22")
        assert watch.look() == watch.ranges_of(22)
        assert "left to the scrub" in watch.problems[0] and "binlog_format" in watch.problems[0]


def test_a_server_that_logs_statements_is_told(any_workbench: Workbench) -> None:
    with _watched(any_workbench) as watch, _global(any_workbench, "binlog_format", "'MIXED'"):
        watch.look()
        assert "binlog_format of the server is MIXED" in watch.problems[0]


def test_a_compressed_transaction_is_told(oracle_mysql_database: SourceSettings, workbench: Workbench) -> None:
    oracle = replace(workbench, source=oracle_mysql_database)
    with _watched(oracle) as watch, _session(oracle) as cursor:
        cursor.execute("SET SESSION binlog_transaction_compression = ON")
        cursor.execute("UPDATE faq SET question = 'changed' WHERE id = 12")
        assert watch.look() == set()
        assert "compressed" in watch.problems[0]
        assert watch.look() == set() and len(watch.problems) == 1


def test_a_server_that_compresses_rows_is_told(workbench: Workbench) -> None:
    with _watched(workbench) as watch, _global(workbench, "log_bin_compress", "ON"):
        workbench.mysql("UPDATE faq SET question = REPEAT('long', 1000) WHERE id = 12")
        watch.look()
        assert "log_bin_compress" in watch.problems[0]


def _purge(workbench: Workbench) -> None:
    """Leaves the log's last file alone; one that somebody is reading stays until he is done."""
    workbench.mysql("FLUSH BINARY LOGS")
    [*_, (last, *_)] = workbench.mysql("SHOW BINARY LOGS")
    while workbench.mysql("SHOW BINARY LOGS")[0][0] != last:
        workbench.mysql(f"PURGE BINARY LOGS TO '{last}'")


def test_a_purged_position_is_told_and_the_look_goes_on_at_the_present(any_workbench: Workbench) -> None:
    with _watched(any_workbench) as watch:
        any_workbench.mysql("UPDATE faq SET question = 'lost' WHERE id = 12")
        _purge(any_workbench)
        assert watch.look() == set()
        assert "is lost" in watch.problems[0] and "left to the scrub" in watch.problems[0]
        any_workbench.mysql("UPDATE faq SET question = 'changed' WHERE id = 22")
        assert watch.look() == watch.ranges_of(22)
        assert len(watch.problems) == 1


def test_a_log_that_began_anew_is_told(any_workbench: Workbench) -> None:
    with _watched(any_workbench) as watch:
        assert watch.state is not None
        watch.state = watch.state | {"created": watch.state["created"] - 1}
        assert watch.look() == set()
        assert "is lost" in watch.problems[0]


def test_the_position_of_another_server_is_not_used(any_workbench: Workbench) -> None:
    with _watched(any_workbench) as watch:
        assert watch.state is not None
        watch.state = watch.state | {"server": "another"}
        any_workbench.mysql("UPDATE faq SET question = 'lost' WHERE id = 12")
        assert watch.look() == set()
        assert "another server" in watch.problems[0]
        any_workbench.mysql("UPDATE faq SET question = 'changed' WHERE id = 22")
        assert watch.look() == watch.ranges_of(22)


@contextmanager
def _user(workbench: Workbench, rights: str) -> Iterator[SourceSettings]:
    """A user who may read the tables, and what else `rights` names."""
    name, password = f"u{uuid.uuid4().hex[:12]}", "a secret word"
    with _session(workbench) as cursor:
        cursor.execute(f"CREATE USER {name}@'%' IDENTIFIED BY '{password}'")
        cursor.execute(f"GRANT SELECT ON {workbench.source.database}.* TO {name}@'%'")
        if rights:
            cursor.execute(f"GRANT {rights} ON *.* TO {name}@'%'")
        try:
            yield replace(workbench.source, user=name, password=password)
        finally:
            cursor.execute(f"DROP USER {name}@'%'")


@pytest.mark.parametrize("rights", ["", "REPLICATION SLAVE", "position"])
def test_missing_rights_are_told_with_the_remedy_and_nothing_is_lost_once_they_are_given(
    any_workbench: Workbench, rights: str
) -> None:
    asking = "BINLOG MONITOR" if _is_mariadb(any_workbench) else "REPLICATION CLIENT"
    with _watched(any_workbench) as watch, _user(any_workbench, rights.replace("position", asking)) as user:
        any_workbench.mysql("UPDATE faq SET question = 'changed' WHERE id = 12")
        allowed = watch.detector, watch.view
        with closing(source_connection.connect(user)) as source:
            watch.detector, watch.view = Binlog(user), replace(watch.view, source=source)
            assert watch.look() == set()
        assert f"GRANT REPLICATION SLAVE, {asking} ON *.*" in watch.problems[0]
        assert user.password not in watch.problems[0]
        watch.detector, watch.view = allowed
        assert watch.look() == watch.ranges_of(12)


def test_a_first_look_without_rights_starts_at_the_present_once_they_are_given(any_workbench: Workbench) -> None:
    with _watched(any_workbench) as watch, _user(any_workbench, "") as user:
        watch.state = None
        allowed = watch.detector, watch.view
        with closing(source_connection.connect(user)) as source:
            watch.detector, watch.view = Binlog(user), replace(watch.view, source=source)
            assert watch.look() == set()
        watch.detector, watch.view = allowed
        assert watch.look() == set()
        any_workbench.mysql("UPDATE faq SET question = 'changed' WHERE id = 22")
        assert watch.look() == watch.ranges_of(22)


def test_a_password_is_in_no_problem(any_workbench: Workbench) -> None:
    with _watched(any_workbench) as watch:
        watch.detector = Binlog(replace(any_workbench.source, user="nobody", password="a secret word"))
        watch.look()
        assert "can't be read" in watch.problems[0] and "a secret word" not in watch.problems[0]


def test_a_look_that_waits_returns_with_the_change(any_workbench: Workbench) -> None:
    with _watched(any_workbench, wait_seconds=60) as watch:

        def change() -> None:
            any_workbench.mysql("INSERT INTO other VALUES (1)")
            any_workbench.mysql("UPDATE faq SET question = 'changed' WHERE id = 12")

        changing = threading.Timer(0.5, change)
        changing.start()
        assert watch.look() == watch.ranges_of(12)
        changing.join()


def test_a_look_that_waits_ends_without_a_change(any_workbench: Workbench) -> None:
    with _watched(any_workbench, wait_seconds=0.5) as watch:
        assert watch.look() == set()


def test_a_stream_that_breaks_is_told_and_read_again(any_workbench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    with _watched(any_workbench) as watch:
        any_workbench.mysql("UPDATE faq SET question = 'changed' WHERE id = 12")
        with monkeypatch.context() as broken:
            broken.setattr(pymysql.connections.Connection, "_request_authentication", _refuse)
            assert watch.look() == set()
        assert "tried again at the next look" in watch.problems[0]
        assert watch.look() == watch.ranges_of(12)


def _refuse(_: object) -> None:
    raise pymysql.err.OperationalError(2013, "Lost connection")
