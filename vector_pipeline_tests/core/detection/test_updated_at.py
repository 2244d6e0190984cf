"""Changes that a column of the table tells of: which are found, and which are left to the scrub."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from pymysql.cursors import Cursor

from vector_pipeline.core.detection import updated_at
from vector_pipeline.core.detection.updated_at import UpdatedAt
from vector_pipeline.core.source.time_limit import limited_statements
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline_tests.core.detection.watching import Watch, watching
from vector_pipeline_tests.servers import mysql_administrator
from vector_pipeline_tests.workbench import Workbench, faq_spec

START, LATEST = "2020-01-02 03:04:05", "2020-01-02 03:30:00"


def _spec(**source: Any) -> IndexSpec:
    return faq_spec(
        source={"table": "faq", "primary_key": "id"} | source,
        document={"text": {"question": "question"}},
        range_size=10,
    )


@contextmanager
def _watched(
    workbench: Workbench,
    column: str = "DATETIME",
    overlap_seconds: int = 60,
    key: str = "id BIGINT PRIMARY KEY",
    **source: Any,
) -> Iterator[Watch]:
    """Fifty rows in five ranges; the last of them is later than the others by more than the overlap."""
    workbench.mysql(f"CREATE TABLE faq ({key}, question TEXT, status INT NOT NULL DEFAULT 1, at {column}, INDEX (at))")
    _add(workbench, range(1, 51), START)
    _touch(workbench, 50, LATEST)
    with watching(workbench, _spec(**source), UpdatedAt("at", overlap_seconds)) as watch:
        yield watch


def _add(workbench: Workbench, ids: range, at: str) -> None:
    workbench.mysql("INSERT INTO faq (id, question, at) VALUES (%s, 'question', %s)", [(i, at) for i in ids])


def _touch(workbench: Workbench, key: int, at: str) -> None:
    workbench.mysql(f"UPDATE faq SET question = 'changed', at = '{at}' WHERE id = '{key}'")


@pytest.mark.parametrize("column", ["DATETIME", "DATETIME(6)", "TIMESTAMP(3) NULL"])
def test_names_the_range_of_a_row_that_was_inserted_and_of_one_that_was_updated(
    any_workbench: Workbench, column: str
) -> None:
    with _watched(any_workbench, column) as watch:
        _add(any_workbench, range(100, 101), "2020-01-02 03:30:00")
        _touch(any_workbench, 12, "2020-01-02 03:31:00")
        assert watch.look() == watch.ranges_of(12, 100)


def test_names_nothing_while_nothing_changes(any_workbench: Workbench) -> None:
    with _watched(any_workbench) as watch:
        _touch(any_workbench, 12, "2020-01-02 03:30:20")
        watch.look()
        assert list(watch.findings()) == []


def test_names_a_late_commit_within_the_overlap(any_workbench: Workbench) -> None:
    with (
        _watched(any_workbench) as watch,
        closing(mysql_administrator(any_workbench.source)) as late,
        late.cursor() as cursor,
    ):
        late.begin()
        cursor.execute(f"USE {any_workbench.source.database}")
        cursor.execute("UPDATE faq SET question = 'late', at = '2020-01-02 03:30:15' WHERE id = 33")
        _touch(any_workbench, 12, "2020-01-02 03:31:00")
        assert watch.look() == watch.ranges_of(12)
        late.commit()
        assert watch.look() == watch.ranges_of(33)


def test_leaves_a_commit_that_comes_later_than_the_overlap_to_the_scrub(any_workbench: Workbench) -> None:
    with _watched(any_workbench) as watch:
        _touch(any_workbench, 12, "2020-01-02 04:00:00")
        watch.look()
        _touch(any_workbench, 33, "2020-01-02 03:58:30")
        assert watch.look() == set()


def test_leaves_a_deletion_to_the_scrub(any_workbench: Workbench) -> None:
    with _watched(any_workbench) as watch:
        _touch(any_workbench, 12, "2020-01-02 04:00:00")
        watch.look()
        any_workbench.mysql("DELETE FROM faq WHERE id = 33")
        assert watch.look() == set()


def test_leaves_a_change_that_does_not_touch_the_column_to_the_scrub(any_workbench: Workbench) -> None:
    with _watched(any_workbench) as watch:
        any_workbench.mysql("UPDATE faq SET question = 'changed' WHERE id = 33")
        assert watch.look() == set()


def test_leaves_a_row_without_a_timestamp_to_the_scrub(any_workbench: Workbench) -> None:
    with _watched(any_workbench) as watch:
        any_workbench.mysql("INSERT INTO faq (id, question, at) VALUES (100, 'question', NULL)")
        assert watch.look() == set()


def test_a_row_dated_in_the_future_hides_no_other(any_workbench: Workbench) -> None:
    with _watched(any_workbench) as watch:
        any_workbench.mysql("UPDATE faq SET at = UTC_TIMESTAMP() + INTERVAL 10 YEAR WHERE id = 33")
        _touch(any_workbench, 12, "2020-01-02 03:31:00")
        assert watch.look() == watch.ranges_of(12)
        any_workbench.mysql("UPDATE faq SET at = UTC_TIMESTAMP() WHERE id = 44")
        assert watch.look() == watch.ranges_of(44)


def test_a_row_dated_in_the_future_from_the_beginning_hides_no_other(any_workbench: Workbench) -> None:
    any_workbench.mysql("CREATE TABLE faq (id BIGINT PRIMARY KEY, question TEXT, at DATETIME, INDEX (at))")
    _add(any_workbench, range(1, 51), START)
    _touch(any_workbench, 50, LATEST)
    any_workbench.mysql("UPDATE faq SET at = UTC_TIMESTAMP() + INTERVAL 10 YEAR WHERE id = 33")
    with watching(any_workbench, _spec(), UpdatedAt("at", 60)) as watch:
        _touch(any_workbench, 12, "2020-01-02 03:31:00")
        assert watch.look() == watch.ranges_of(12)


def test_a_local_time_ahead_of_the_servers_is_no_future(any_workbench: Workbench) -> None:
    with _watched(any_workbench) as watch:
        any_workbench.mysql("UPDATE faq SET at = UTC_TIMESTAMP() + INTERVAL 14 HOUR WHERE id = 33")
        assert watch.look() == watch.ranges_of(33)


def test_names_a_row_that_no_longer_meets_the_condition(any_workbench: Workbench) -> None:
    with _watched(any_workbench, where="status = 1") as watch:
        any_workbench.mysql("UPDATE faq SET status = 0, at = '2020-01-02 03:31:00' WHERE id = 33")
        assert watch.look() == watch.ranges_of(33)


def test_starts_with_an_empty_column(any_workbench: Workbench) -> None:
    any_workbench.mysql("CREATE TABLE faq (id BIGINT PRIMARY KEY, question TEXT, at DATETIME, INDEX (at))")
    any_workbench.mysql("INSERT INTO faq (id, question) VALUES (%s, 'question')", [(i,) for i in range(1, 51)])
    with watching(any_workbench, _spec(), UpdatedAt("at", 60)) as watch:
        assert watch.look() == set()
        _touch(any_workbench, 33, START)
        assert watch.look() == watch.ranges_of(33)


def test_takes_dates_of_zeros(any_workbench: Workbench) -> None:
    any_workbench.mysql("CREATE TABLE faq (id BIGINT PRIMARY KEY, question TEXT, at DATETIME, INDEX (at))")
    any_workbench.mysql(
        "INSERT INTO faq (id, question, at) VALUES (%s, 'question', '0000-00-00')",
        [(i,) for i in range(1, 51)],
        relaxed=True,
    )
    with watching(any_workbench, _spec(), UpdatedAt("at", 60)) as watch:
        _touch(any_workbench, 33, START)
        assert watch.ranges_of(33) <= watch.look()
        assert watch.look() == set()


@pytest.mark.parametrize(("finding_rows", "statement_rows"), [(1, 20), (7, 1)])
def test_many_rows_of_one_timestamp_are_named_in_bounded_findings_and_none_is_lost(
    any_workbench: Workbench, monkeypatch: pytest.MonkeyPatch, finding_rows: int, statement_rows: int
) -> None:
    monkeypatch.setattr(updated_at, "_KEYS_PER_FINDING", finding_rows)
    monkeypatch.setattr(updated_at, "_ROWS_PER_STATEMENT", statement_rows)
    with _watched(any_workbench) as watch:
        any_workbench.mysql("UPDATE faq SET at = '2020-01-02 03:30:30' WHERE id % 2 = 0")
        findings = list(watch.findings())
        assert set().union(*(finding.suspects for finding in findings)) == watch.all_ranges
        assert len(findings) >= 25 // (finding_rows + 1)
        assert watch.look() == set()


def test_a_look_without_time_names_some_and_the_next_one_goes_on(
    any_workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updated_at, "_KEYS_PER_FINDING", 10)
    with _watched(any_workbench) as watch:
        any_workbench.mysql("UPDATE faq SET at = '2020-01-02 03:30:30'")
        looks = [watch.short_look() for _ in range(6)]
        assert looks[0] == watch.ranges_of(1, 11)
        assert set().union(*looks) == watch.all_ranges
        assert watch.short_look() == set()


def test_what_comes_in_before_the_place_where_a_look_goes_on_is_not_lost(
    any_workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updated_at, "_KEYS_PER_FINDING", 10)
    with _watched(any_workbench) as watch:
        any_workbench.mysql("UPDATE faq SET at = '2020-01-02 03:30:30' WHERE id > 10")
        watch.short_look()
        _touch(any_workbench, 1, "2020-01-02 03:30:30")
        assert watch.ranges_of(1) <= {range_id for _ in range(12) for range_id in watch.short_look()}


@pytest.mark.parametrize(
    ("key", "declared", "texts"),
    [
        ("id BIGINT, tenant VARCHAR(9) DEFAULT 'a|b', PRIMARY KEY (tenant, id)", ["tenant", "id"], r"a\|b|33"),
        ("id VARCHAR(20) COLLATE utf8mb4_unicode_ci PRIMARY KEY", "id", "33"),
        ("id BINARY(2) PRIMARY KEY", "id", "3333"),
    ],
    ids=["composite", "word", "bytes"],
)
def test_names_ranges_of_any_kind_of_key(
    any_workbench: Workbench, monkeypatch: pytest.MonkeyPatch, key: str, declared: Any, texts: str
) -> None:
    monkeypatch.setattr(updated_at, "_KEYS_PER_FINDING", 7)
    with _watched(any_workbench, key=key, primary_key=declared) as watch:
        any_workbench.mysql("UPDATE faq SET at = '2020-01-02 03:30:30' WHERE id = '33'")
        assert watch.look() == watch.ranges_of(texts)
        any_workbench.mysql("UPDATE faq SET at = '2020-01-02 03:30:40'")
        assert watch.look() == watch.all_ranges
        assert watch.look() == set()


@contextmanager
def _spread(workbench: Workbench, monkeypatch: pytest.MonkeyPatch, rows_per_look: int = 5) -> Iterator[Watch]:
    """Fifty rows a minute apart, all within the overlap, of which a look without time digests only a few."""
    monkeypatch.setattr(updated_at, "_ROWS_PER_STATEMENT", rows_per_look)
    workbench.mysql("CREATE TABLE faq (id BIGINT PRIMARY KEY, question TEXT, at DATETIME, INDEX (at))")
    _add(workbench, range(1, 51), START)
    workbench.mysql("UPDATE faq SET at = at + INTERVAL id MINUTE")
    with watching(workbench, _spec(), UpdatedAt("at", 7200)) as watch:
        yield watch


def test_an_overlap_that_takes_longer_than_a_look_is_digested_by_several(
    any_workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _spread(any_workbench, monkeypatch) as watch:
        _touch(any_workbench, 12, "2020-01-02 04:00:00")
        looks = [watch.short_look() for _ in range(15)]
        assert set().union(*looks) == watch.ranges_of(12)


def test_a_late_commit_behind_the_place_where_a_look_goes_on_is_named_by_the_next_pass(
    any_workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _spread(any_workbench, monkeypatch) as watch:
        for _ in range(5):
            watch.short_look()
        _touch(any_workbench, 33, "2020-01-02 03:05:30")
        _touch(any_workbench, 12, "2020-01-02 05:04:00")
        looks = [watch.short_look() for _ in range(30)]
        assert set().union(*looks) == watch.ranges_of(12, 33)
        assert set().union(*(watch.short_look() for _ in range(15))) == set()


def test_what_changes_before_a_first_look_without_time_has_come_through_the_overlap_is_named(
    any_workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _spread(any_workbench, monkeypatch, rows_per_look=15) as watch:
        watch.state = None
        assert watch.short_look() == set()
        _touch(any_workbench, 33, "2020-01-02 03:40:30")
        looks = [watch.short_look() for _ in range(30)]
        assert watch.ranges_of(33) <= set().union(*looks)
        assert not watch.ranges_of(1) & set().union(*looks)


def test_a_slice_that_is_too_full_is_left_to_the_scrub_and_the_look_goes_on_behind_it(
    any_workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updated_at, "_ROWS_PER_STATEMENT", 10)
    monkeypatch.setattr(updated_at, "_MOST_ROWS_OF_A_SLICE", 30)
    with _watched(any_workbench) as watch:
        any_workbench.mysql("UPDATE faq SET at = '2020-01-02 03:30:30'")
        _touch(any_workbench, 12, "2020-01-02 03:31:00")
        assert watch.look() == watch.ranges_of(12)
        [problem] = watch.problems
        assert "at is from 2020-01-02 03:30:30 to 2020-01-02 03:30:39 are left to the scrub" in problem
        assert "there are more than 30" in problem
        assert list(watch.findings()) == []


def test_a_slice_that_takes_too_long_is_left_to_the_scrub_and_not_tried_again(
    any_workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updated_at, "_ROWS_PER_STATEMENT", 10)
    any_workbench.mysql("CREATE TABLE kept (id BIGINT PRIMARY KEY, question TEXT, at DATETIME, INDEX (at))")
    any_workbench.mysql(
        "CREATE VIEW faq AS SELECT id + IF(at = '2020-01-02 03:30:30', SLEEP(0.2), 0) AS id, question, at FROM kept"
    )
    any_workbench.mysql("INSERT INTO kept VALUES (%s, 'question', %s)", [(i, START) for i in range(1, 50)])
    any_workbench.mysql(f"INSERT INTO kept VALUES (50, 'question', '{LATEST}')")
    with (
        watching(any_workbench, _spec(), UpdatedAt("at", 60)) as watch,
        limited_statements(watch.view.source, 0.5),
    ):
        any_workbench.mysql("UPDATE kept SET at = '2020-01-02 03:30:30' WHERE id % 2 = 0")
        any_workbench.mysql("UPDATE kept SET at = '2020-01-02 03:31:00' WHERE id = 33")
        assert watch.look() == watch.ranges_of(33)
        [problem] = watch.problems
        assert "are left to the scrub, since MySQL took too long to read them" in problem
        assert list(watch.findings()) == []


def test_another_column_starts_anew_at_the_present_and_says_so(any_workbench: Workbench) -> None:
    with _watched(any_workbench) as watch:
        any_workbench.mysql("ALTER TABLE faq ADD moved DATETIME, ADD INDEX (moved)")
        any_workbench.mysql(f"UPDATE faq SET moved = '{LATEST}' WHERE id = 50")
        _touch(any_workbench, 33, "2020-01-02 03:30:30")
        watch.detector = UpdatedAt("moved", 60)
        assert watch.look() == set()
        [problem] = watch.problems
        assert "source.updated_at is moved now and was at before" in problem and "left to the scrub" in problem
        any_workbench.mysql("UPDATE faq SET moved = '2020-01-02 03:30:30' WHERE id = 12")
        assert watch.look() == watch.ranges_of(12)
        assert len(watch.problems) == 1


def test_a_column_written_in_other_letters_is_the_same(any_workbench: Workbench) -> None:
    with _watched(any_workbench) as watch:
        _touch(any_workbench, 12, "2020-01-02 03:30:30")
        watch.detector = UpdatedAt("AT", 60)
        assert watch.look() == watch.ranges_of(12)
        assert watch.problems == []


def test_a_look_reads_the_overlap_alone(any_workbench: Workbench) -> None:
    with _watched(any_workbench) as watch, watch.view.source.cursor() as cursor:
        before = _rows_read(cursor)
        watch.look()
        assert _rows_read(cursor) - before < 10


def _rows_read(cursor: Cursor) -> int:
    """How many rows and entries of indexes the session has read in turn."""
    cursor.execute("SHOW SESSION STATUS WHERE Variable_name IN ('Handler_read_next', 'Handler_read_rnd_next')")
    return sum(int(value) for _, value in cursor.fetchall())
