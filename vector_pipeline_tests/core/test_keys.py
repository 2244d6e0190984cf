"""Whatever identifies a row, of one column or several, of a table or of a join: the index comes to equal the rows."""

from __future__ import annotations

from typing import Any

import pytest

from vector_pipeline.core.spec import IndexSpec
from vector_pipeline_tests.workbench import Workbench, faq_spec, question_only


def _spec(*key: str, **changes: Any) -> IndexSpec:
    """An index over the question of `faq` under this key, in ranges of three rows."""
    sections: dict[str, Any] = {
        "source": {"table": "faq", "primary_key": list(key)},
        "document": {"text": {"question": "question"}, "metadata": {}},
        "range_size": 3,
    }
    return faq_spec(**(sections | changes))


def _assert_equal(workbench: Workbench, spec: IndexSpec) -> None:
    with workbench.index(spec) as index:
        report = index.verify()
        assert index.check_declaration() == []
    assert report.equal, report.differences


KEYS = {
    "negative and positive": ("BIGINT", ["-9223372036854775808", "-7", "-1", "0", "1", "5", "9223372036854775807"]),
    "snowflake": ("BIGINT UNSIGNED", [str(1_800_000_000_000_000_000 + (n << 22)) for n in range(8)]),
    "uuid": ("BINARY(16)", [f"UNHEX(LEFT(SHA2('{n}', 256), 32))" for n in range(8)]),
    "decimal": ("DECIMAL(20,0)", ["-99999999999999999999", "-1", "0", "2", "10", "99999999999999999999"]),
    "moment": (
        "DATETIME(6)",
        ["'0000-00-00'", "'2026-02-00'", "'2026-02-01'", "'2026-02-01 00:00:00.000001'", "'9999-12-31'"],
    ),
    "date": ("DATE", ["'0000-00-00'", "'2026-02-00'", "'2026-02-01'", "'2026-02-02'", "'9999-12-31'"]),
    "timestamp": (
        "TIMESTAMP(3) DEFAULT 0",
        ["'0000-00-00'", "'2026-02-01'", "'2026-02-01 00:00:00.001'", "'2038-01-01'"],
    ),
    "year": ("YEAR", ["0", "1901", "1999", "2026", "2155"]),
}


@pytest.mark.parametrize("kind", KEYS)
def test_a_key_of_each_type_is_synced_and_its_changes_arrive(any_workbench: Workbench, kind: str) -> None:
    key_type, keys = KEYS[kind]
    spec = _spec("id")
    any_workbench.mysql(f"CREATE TABLE faq (id {key_type} PRIMARY KEY, question TEXT)", relaxed=True)
    *first, added = keys
    rows = ", ".join(f"({key}, 'question')" for key in first)
    any_workbench.mysql(f"INSERT INTO faq VALUES {rows}", relaxed=True)
    assert any_workbench.sync(spec).inserted == len(first)
    _assert_equal(any_workbench, spec)
    any_workbench.mysql(f"DELETE FROM faq WHERE id = {first[0]}", relaxed=True)
    any_workbench.mysql(f"UPDATE faq SET question = 'changed' WHERE id = {first[1]}", relaxed=True)
    any_workbench.mysql(f"INSERT INTO faq VALUES ({added}, 'added')", relaxed=True)
    synced = any_workbench.sync(spec)
    assert (synced.inserted, synced.updated, synced.deleted) == (1, 1, 1)
    _assert_equal(any_workbench, spec)


def _create_lines(workbench: Workbench) -> IndexSpec:
    """Rows under a text and a number, and the index over them."""
    workbench.mysql(
        "CREATE TABLE faq (shop VARCHAR(20) COLLATE utf8mb4_unicode_ci, nr INT, question TEXT, PRIMARY KEY (shop, nr))"
    )
    rows = [(shop, nr, f"{shop} {nr}?") for shop in ("a|b", "a\\", "Ä", "ß") for nr in (-1, 2, 10)]
    workbench.mysql("INSERT INTO faq VALUES (%s, %s, %s)", rows)
    return _spec("shop", "nr")


def test_a_key_of_several_columns_is_synced_and_its_changes_arrive(any_workbench: Workbench) -> None:
    spec = _create_lines(any_workbench)
    synced = any_workbench.sync(spec)
    assert (synced.inserted, len(synced.documents)) == (12, 4)
    _assert_equal(any_workbench, spec)
    any_workbench.mysql("DELETE FROM faq WHERE shop = 'ä' AND nr = 2")
    any_workbench.mysql("UPDATE faq SET question = 'changed' WHERE nr = 10")
    any_workbench.mysql("INSERT INTO faq SELECT shop, nr + 100, question FROM faq WHERE nr = -1")
    any_workbench.mysql("UPDATE faq SET shop = 'SS' WHERE shop = 'ß' AND nr = -1")
    synced = any_workbench.sync(spec)
    assert (synced.inserted, synced.updated, synced.deleted) == (5, 4, 2)
    _assert_equal(any_workbench, spec)


def test_sql_users_see_the_key_in_one_column_and_in_the_order_of_the_source(any_workbench: Workbench) -> None:
    any_workbench.sync(_create_lines(any_workbench))
    in_order = [
        "|".join([shop.replace("\\", "\\\\").replace("|", "\\|"), str(nr)])
        for shop, nr in any_workbench.mysql("SELECT shop, nr FROM faq ORDER BY shop, nr")
    ]
    assert [key for (key,) in any_workbench.postgres("SELECT key FROM faq.documents ORDER BY sort_key")] == in_order
    assert {key for (key,) in any_workbench.postgres("SELECT id FROM faq")} == set(in_order)
    assert "a\\|b|-1" in in_order


def test_a_range_that_grew_is_split_and_its_documents_follow(any_workbench: Workbench) -> None:
    spec = _create_lines(any_workbench)
    any_workbench.sync(spec)
    any_workbench.mysql("INSERT INTO faq SELECT shop, nr * 1000 + 1, 'more' FROM faq")
    any_workbench.mysql("INSERT INTO faq SELECT shop, nr * 1000 + 2, 'more' FROM faq")
    any_workbench.sync(spec)
    any_workbench.sync(spec)
    _assert_equal(any_workbench, spec)
    with any_workbench.index(spec) as index:
        assert sum(state.rows for state in index.ranges()) == 48
        assert len(index.ranges()) > 4


def test_a_join_of_tables_is_synced_whichever_of_them_changes(any_workbench: Workbench) -> None:
    any_workbench.mysql("CREATE TABLE topics (topic INT PRIMARY KEY, title VARCHAR(50))")
    any_workbench.mysql("CREATE TABLE held (topic INT, nr INT, question TEXT, PRIMARY KEY (topic, nr))")
    any_workbench.mysql(
        "CREATE VIEW faq AS SELECT h.topic, h.nr, question, title FROM held h JOIN topics USING (topic)"
    )
    any_workbench.mysql("INSERT INTO topics VALUES (1, 'one'), (2, 'two'), (3, 'three')")
    any_workbench.mysql("INSERT INTO held VALUES (1, 1, 'q'), (1, 2, 'q'), (2, 1, 'q'), (2, 2, 'q'), (4, 1, 'q')")
    spec = _spec("topic", "nr", document={"text": {"question": "question"}, "metadata": {"title": "title"}})
    assert any_workbench.sync(spec).inserted == 4
    _assert_equal(any_workbench, spec)
    changes = {
        "UPDATE topics SET title = 'two, renamed' WHERE topic = 2": (0, 2, 0),
        "INSERT INTO topics VALUES (4, 'four')": (1, 0, 0),
        "DELETE FROM topics WHERE topic = 1": (0, 0, 2),
        "UPDATE held SET question = 'changed' WHERE topic = 4": (0, 1, 0),
        "INSERT INTO held VALUES (3, 7, 'q')": (1, 0, 0),
        "DELETE FROM held WHERE topic = 2 AND nr = 1": (0, 0, 1),
    }
    for change, expected in changes.items():
        any_workbench.mysql(change)
        synced = any_workbench.sync(spec)
        assert (synced.inserted, synced.updated, synced.deleted) == expected, change
        _assert_equal(any_workbench, spec)


def test_a_key_of_one_column_is_the_same_named_alone_or_in_a_list(workbench: Workbench) -> None:
    workbench.create_faq(3)
    alone = question_only(source={"table": "faq", "primary_key": "id"})
    listed = question_only(source={"table": "faq", "primary_key": ["id"]})
    workbench.sync(alone)
    assert workbench.postgres("SELECT fingerprint::json ->> 'primary_key' FROM vector_pipeline.generations") == [
        ("id",)
    ]
    assert workbench.sync(listed).documents == ()
    _assert_equal(workbench, listed)
