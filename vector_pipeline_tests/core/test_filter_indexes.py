"""The indexes by which filters are answered: which there are, that they are used, what the planner knows by them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import sql

from vector_pipeline.core.search.restricting import restrict
from vector_pipeline.core.search.served import read_served
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.core.store import connection as store_connection
from vector_pipeline_tests.core.test_erasure import erase
from vector_pipeline_tests.workbench import Workbench, faq_spec, sync_all

TABLE = """
CREATE TABLE faq (
    id BIGINT PRIMARY KEY, question TEXT, answer TEXT, category VARCHAR(500), price DECIMAL(10, 2), asked DATETIME
) CHARACTER SET utf8mb4
"""
ROWS = 20_000


def _spec(**search: Any) -> IndexSpec:
    return faq_spec(
        document={
            "text": {"question": "question"},
            "metadata": {"category": "category", "price": "price", "asked": "asked"},
        },
        search={"threshold": -1.0, "ann_from_vectors": 1, **search},
        range_size=5000,
    )


def _create_rows(workbench: Workbench, rows: int) -> None:
    """A thousandth of them `rare`, a hundredth `scarce`, half `common`; each a minute after the one before."""
    workbench.mysql(TABLE)
    workbench.mysql(
        f"""
        INSERT INTO faq
        SELECT seq, CONCAT('question ', seq), NULL,
               CASE WHEN seq % 1000 = 0 THEN 'rare' WHEN seq % 100 = 1 THEN 'scarce' WHEN seq % 2 = 0 THEN 'common'
                    ELSE CONCAT('other ', seq % 7) END,
               seq / 10, '2026-01-01' + INTERVAL seq MINUTE
        FROM seq_1_to_{rows}
        """
    )


def _indexes(workbench: Workbench) -> list[str]:
    rows = workbench.postgres(
        "SELECT indexname FROM pg_indexes WHERE schemaname = 'faq' AND starts_with(indexname, 'documents_filter')"
        " ORDER BY 1"
    )
    return [name for (name,) in rows]


def _explain(connection: psycopg.Connection, filter: Mapping[str, Any], how: sql.SQL) -> Any:
    restriction = restrict(read_served(connection, "faq", filtered=True), filter)
    assert restriction.condition is not None
    row = connection.execute(
        sql.SQL("EXPLAIN ({}) SELECT FROM faq.documents d WHERE {}").format(how, restriction.condition),
        restriction.parameters,
    ).fetchone()
    assert row is not None
    return row[0][0]["Plan"]


@contextmanager
def _many_documents(workbench: Workbench) -> Iterator[psycopg.Connection]:
    """An index with as many documents as make the planner choose; all but a few without vectors."""
    _create_rows(workbench, 20)
    workbench.sync(_spec())
    workbench.postgres(
        """
        INSERT INTO faq.documents (key, sort_key, range_id, question, metadata)
        SELECT i::text, i::text::bytea, 1, 'question', jsonb_build_object(
            'category', CASE WHEN i % 1000 = 0 THEN 'rare' WHEN i % 100 = 1 THEN 'scarce' WHEN i % 2 = 0 THEN 'common'
                        ELSE 'other ' || i % 7 END,
            'price', i / 10.0,
            'asked', to_char(timestamp '2026-01-01' + i * interval '1 minute', 'YYYY-MM-DD HH24:MI:SS'))
        FROM generate_series(21, 20000) i
        """
    )
    with workbench.index(_spec()) as index:
        index.refresh_search_index()
    with store_connection.connect(workbench.target) as connection:
        yield connection


# What each leaves of the 20,000.
LEFT: list[tuple[dict[str, Any], int]] = [
    ({"category": "common"}, 9980),
    ({"category": "scarce"}, 200),
    ({"category": "rare"}, 20),
    ({"category": ["rare", "scarce"]}, 220),
    ({"category": {"prefix": "rar"}}, 20),
    ({"category": {"!=": "common"}}, 10020),
    ({"price": {"<=": 1000}}, 10000),
    ({"price": {"between": [500, 520]}}, 200),
    ({"price": {"between": [500, 502]}}, 20),
    ({"asked": {"<": "2026-01-08"}}, 10079),
    ({"asked": {"between": ["2026-01-05 23:00:00", "2026-01-06 02:20:00"]}}, 200),
    ({"asked": {"between": ["2026-01-31 23:50:00", "2026-02-01 00:10:00"]}}, 0),
    ({"asked": {"between": ["2026-01-09 23:50:00", "2026-01-10 00:10:00"]}}, 20),
]


def test_the_planner_knows_how_many_documents_a_filter_leaves(workbench: Workbench) -> None:
    with _many_documents(workbench) as connection:
        known = {str(filter): _explain(connection, filter, sql.SQL("FORMAT JSON"))["Plan Rows"] for filter, _ in LEFT}
        left = {
            str(filter): _explain(connection, filter, sql.SQL("FORMAT JSON, ANALYZE"))["Actual Rows"]
            for filter, _ in LEFT
        }
    assert {name: round(rows) for name, rows in left.items()} == pytest.approx(
        {str(filter): rows for filter, rows in LEFT}, rel=0.01, abs=1
    )
    wrong = {
        name: (known[name], left[name]) for name in left if not left[name] / 3 <= known[name] <= 3 * left[name] + 3
    }
    assert wrong == {}


def test_a_filter_that_leaves_few_is_answered_by_an_index(workbench: Workbench) -> None:
    with _many_documents(workbench) as connection:
        for filter, name in (
            ({"category": "rare"}, "documents_filter_text_category"),
            ({"category": {"prefix": "rar"}}, "documents_filter_text_category"),
            ({"price": {"between": [500, 502]}}, "documents_filter_number_price"),
            ({"asked": "2026-01-09 23:50:00"}, "documents_filter_moment_asked"),
            ({"asked": {">": "2026-01-14 20:00:00"}}, "documents_filter_moment_asked"),
        ):
            assert name in str(_explain(connection, filter, sql.SQL("FORMAT JSON")))


@pytest.mark.long
def test_there_are_as_many_hits_as_wanted_though_the_filter_leaves_a_thousandth(workbench: Workbench) -> None:
    _create_rows(workbench, 3000)
    workbench.sync(_spec())
    with workbench.index(_spec()) as index:
        exact = {limit: index.search("a query", limit=limit, filter={"category": "rare"}).hits for limit in (1, 3)}
        report = index.refresh_search_index()
        assert (report.fields[0].method, report.filters) == ("hnsw vector", ("category", "price", "asked"))
        for limit, hits in exact.items():
            assert len(hits) == limit
            assert index.search("a query", limit=limit, filter={"category": "rare"}).hits == hits
        common = index.search("a query", limit=50, filter={"category": "common"})
        assert (len(common.hits), common.complete) == (50, True)
        assert {hit.metadata["category"] for hit in common.hits} == {"common"}
        # The planner's statistics know nothing of it.
        workbench.postgres(
            "UPDATE faq.documents SET metadata = metadata || '{\"category\": \"new\"}' WHERE key <= '1004'"
        )
        assert len(index.search("a query", limit=6, filter={"category": "new"}).hits) == 6


def test_a_search_is_planned_for_the_values_of_its_filter_however_often_it_is_made(workbench: Workbench) -> None:
    _create_rows(workbench, 20)
    workbench.sync(_spec())
    with workbench.index(_spec()) as index:
        for _ in range(20):
            index.search("a query", filter={"category": "rare"})
        rows = index._target.execute(
            "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE '%metadata ->>%'"
        ).fetchall()
    assert [(generic, custom > 10) for generic, custom in rows] == [(0, True)]


def test_indexes_come_with_the_first_ann_index_and_go_with_their_declaration(workbench: Workbench) -> None:
    _create_rows(workbench, 20)
    workbench.sync(_spec())
    for spec, filters in (
        (_spec(ann_from_vectors=1000), ()),
        (_spec(filters=["price", "asked"]), ("price", "asked")),
        (_spec(filters=["asked"]), ("asked",)),
        (_spec(filters=[]), ()),
        (_spec(), ("category", "price", "asked")),
    ):
        with workbench.index(spec) as index:
            assert index.refresh_search_index().filters == filters
        assert len(_indexes(workbench)) == len(filters)


def test_a_build_that_was_broken_off_is_made_good(workbench: Workbench) -> None:
    _create_rows(workbench, 20)
    workbench.sync(_spec())
    with workbench.index(_spec()) as index:
        index.refresh_search_index()
        workbench.postgres(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'faq.documents_filter_number_price'::regclass"
        )
        assert index.refresh_search_index().filters == ("category", "price", "asked")
    assert workbench.postgres("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(0,)]


def test_a_long_value_is_synced_though_its_column_has_an_index(workbench: Workbench) -> None:
    _create_rows(workbench, 20)
    workbench.mysql("ALTER TABLE faq MODIFY category MEDIUMTEXT")
    workbench.sync(_spec())
    with workbench.index(_spec()) as index:
        index.refresh_search_index()
        # PostgreSQL compresses what it indexes: this it can't.
        workbench.mysql(
            "UPDATE faq SET category = (SELECT GROUP_CONCAT(SHA2(seq, 512) SEPARATOR '') FROM seq_1_to_100)"
            " WHERE id = 7"
        )
        assert sync_all(index).updated == 1
        [hit] = index.search("a query", filter={"category": {"prefix": "4dff4ea340f0a823"}}).hits
        assert hit.key == "7"


def test_an_erased_row_leaves_no_value_in_an_index(workbench: Workbench) -> None:
    _create_rows(workbench, 2000)
    workbench.mysql("UPDATE faq SET category = CONCAT('person ', LPAD(id, 6, '0'), REPEAT('x', 90))")
    workbench.sync(_spec())
    with workbench.index(_spec()) as index:
        index.refresh_search_index()
    workbench.mysql("DELETE FROM faq WHERE id BETWEEN 1000 AND 1400")
    erase(workbench, *map(str, range(1000, 1401)), spec=_spec())
    [(file,)] = workbench.postgres(
        "SELECT pg_read_binary_file(pg_relation_filepath('faq.documents_filter_text_category'))"
    )
    assert b"person 000999" in file
    assert b"person 0012" not in file
