"""Searches that a filter restricts: what is found, by columns of every kind, with and without an ANN index."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from vector_pipeline.core.index import VectorIndex
from vector_pipeline.core.search.request import SearchRequest, SearchRequestError
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.workbench import Workbench, faq_spec, question_only

ALL_KINDS = """
CREATE TABLE faq (
    id BIGINT PRIMARY KEY,
    question TEXT,
    answer TEXT,
    category VARCHAR(500),
    status ENUM('draft', 'public'),
    tags SET('a', 'b'),
    price DECIMAL(10, 2),
    weight DOUBLE,
    big BIGINT UNSIGNED,
    flags BIT(8),
    published BOOLEAN,
    edition YEAR,
    born DATE,
    asked DATETIME(3),
    changed TIMESTAMP NULL,
    opens TIME,
    hash VARBINARY(20)
) CHARACTER SET utf8mb4
"""
COLUMNS = (
    *("category", "status", "tags", "price", "weight", "big", "flags", "published"),
    *("edition", "born", "asked", "changed", "opens", "hash"),
)
ROWS = [
    (
        1,
        "q 1",
        "a",
        "health",
        "public",
        "a,b",
        "9.50",
        0.1,
        2**64 - 1,
        5,
        1,
        2026,
        "2026-01-02",
        "2026-01-02 12:00:00.5",
        "2026-01-02 12:00:00",
        "08:00:00",
        b"\xff\x00",
    ),
    (
        2,
        "q 2",
        "a",
        "Health",
        "draft",
        "a",
        "10.00",
        1e20,
        2**64 - 2,
        6,
        0,
        1999,
        "2026-01-31",
        "2026-01-31 00:00:00",
        "2026-01-31 00:00:00",
        "-01:00:00",
        b"\xff\x01",
    ),
    (
        3,
        "q 3",
        "a",
        "100% \\ sure_",
        None,
        "",
        "-3.25",
        -1e-5,
        0,
        0,
        None,
        0,
        "0000-00-00",
        "0000-00-00 00:00:00",
        None,
        "100:00:00",
        b"",
    ),
    (4, "q 4", "a", None, None, None, None, None, None, None, None, None, None, None, None, None, None),
    (
        5,
        "q 5",
        "a",
        "x" * 300 + "y",
        "draft",
        "b",
        "100.00",
        1.5,
        7,
        255,
        0,
        2026,
        "2024-02-29",
        "2025-12-31 23:59:59.999",
        "2025-12-31 23:59:59",
        "23:59:59",
        b"\x00",
    ),
]


def _spec() -> IndexSpec:
    return faq_spec(
        document={"text": {"question": "question"}, "metadata": {name: name for name in COLUMNS}},
        search={"threshold": -1.0, "limit": 100},
    )


def _create_rows(workbench: Workbench) -> None:
    workbench.mysql(ALL_KINDS)
    places = ", ".join(["%s"] * len(ROWS[0]))
    workbench.mysql(f"INSERT INTO faq VALUES ({places})", ROWS, relaxed=True)


def _found(index: VectorIndex, filter: Any, **options: Any) -> set[int]:
    return {int(hit.key) for hit in index.search("a query", filter=filter, **options).hits}


CASES: list[tuple[Any, set[int]]] = [
    ({}, {1, 2, 3, 4, 5}),
    ({"category": "health"}, {1}),
    ({"category": ["health", "Health"]}, {1, 2}),
    ({"category": {"!=": "health"}}, {2, 3, 4, 5}),
    ({"not": {"category": "health"}}, {2, 3, 4, 5}),
    ({"category": None}, {4}),
    ({"category": {"is_null": False}}, {1, 2, 3, 5}),
    ({"category": {"prefix": "100% \\ sure_"}}, {3}),
    ({"category": {"prefix": "1__"}}, set()),
    ({"category": {"prefix": "x" * 250}}, {5}),
    ({"category": "x" * 300 + "y"}, {5}),
    ({"category": "x" * 300 + "z"}, set()),
    ({"category": "x" * 200}, set()),
    ({"category": {">": "a", "<": "i"}}, {1}),
    ({"category": []}, set()),
    ({"status": "draft"}, {2, 5}),
    ({"tags": "a,b"}, {1}),
    ({"price": 9.5}, {1}),
    ({"price": {">": 9.5}}, {2, 5}),
    ({"price": {"between": [-5, "10"]}}, {1, 2, 3}),
    ({"price": Decimal("10.00")}, {2}),
    ({"weight": [0.1, -1e-5]}, {1, 3}),
    ({"weight": {">=": 1e20}}, {2}),
    ({"big": 2**64 - 1}, {1}),
    ({"flags": {">=": 6}}, {2, 5}),
    ({"published": True}, {1}),
    ({"published": False}, {2, 5}),
    ({"published": None}, {3, 4}),
    ({"edition": {">": 2000}}, {1, 5}),
    ({"born": "2026-01-31"}, {2}),
    ({"born": {"<=": date(2026, 1, 31)}}, {1, 2, 5}),
    ({"born": {"<": "2026-01-31 12:00:00"}}, {1, 5}),
    ({"born": None}, {3, 4}),
    ({"asked": "2026-01-31"}, {2}),
    ({"asked": "2026-01-02"}, {1}),
    ({"asked": datetime(2026, 1, 2, 12, 0, 0, 500_000)}, {1}),
    ({"asked": "2026-01-02 12:00:00"}, set()),
    ({"asked": {"<": "2026-01-02"}}, {5}),
    ({"asked": {">": "2025-12-31", "<=": "2026-01-31"}}, {1, 2}),
    ({"asked": ["2025-12-31", "2026-01-31 00:00:00"]}, {2, 5}),
    ({"changed": "2026-01-02T14:00:00+02:00"}, {1}),
    ({"opens": ["-01:00:00", "100:00:00"]}, {2, 3}),
    ({"hash": {"prefix": "ff"}}, {1, 2}),
    ({"hash": "FF00"}, {1}),
    ({"or": [{"category": "health"}, {"and": [{"status": "draft"}, {"price": {">": 50}}]}]}, {1, 5}),
    ({"not": {"or": [{"category": "health"}, {"price": {">": 50}}]}}, {2, 3, 4}),
    ({"not": {"and": [{"status": "draft"}, {"price": {">": 50}}]}}, {1, 2, 3, 4}),
]


def test_a_filter_finds_what_it_is_true_of(any_workbench: Workbench) -> None:
    _create_rows(any_workbench)
    any_workbench.sync(_spec())
    with any_workbench.index(_spec()) as index:
        wrong = {str(filter): found for filter, expected in CASES if (found := _found(index, filter)) != expected}
    assert wrong == {}


BAD = ['"no date"', '"2026-02-01 99:00:00"', "12", "true", "[1]", '{"a": 1}', '""']


def test_a_value_that_is_none_of_its_kind_fits_no_comparison_and_fails_no_search(workbench: Workbench) -> None:
    workbench.create_faq(len(BAD) + 2)
    workbench.sync(faq_spec(search={"threshold": -1.0, "limit": 100}))
    for key, value in enumerate([*BAD, '"2026-02-31 01:00:00"'], start=1):
        damaged = f'{{"asked": {value}}}'
        workbench.postgres("UPDATE faq.documents SET metadata = %s::jsonb WHERE key = %s", [damaged, str(key)])
    bad, february, good = set(range(1, len(BAD) + 1)), len(BAD) + 1, len(BAD) + 2
    with workbench.index(faq_spec(search={"threshold": -1.0, "limit": 100})) as index:
        assert _found(index, {"asked": {">": "2020-01-01"}}) == {february, good}
        assert _found(index, {"asked": {"<=": "9999-12-31"}}) == {february, good}
        assert _found(index, {"asked": {">": "2026-03-01"}}) == {february}
        assert _found(index, {"not": {"asked": {">": "2020-01-01"}}}) == bad
        assert _found(index, {"asked": None}) == bad


def test_of_twins_the_lowest_key_that_fits_the_filter_is_served(workbench: Workbench) -> None:
    document = {"text": {"question": "question"}, "metadata": {"link": "link"}, "unique_on": "question"}
    spec = question_only(document=document)
    workbench.create_faq(9)
    workbench.mysql("UPDATE faq SET question = 'asked by many' WHERE id IN (2, 5, 8)")
    workbench.mysql("UPDATE faq SET link = IF(id = 2, 'old', 'new')")
    workbench.sync(spec)
    with workbench.index(spec) as index:
        assert _found(index, None, limit=100) == {1, 2, 3, 4, 6, 7, 9}
        assert _found(index, {"link": "new"}, limit=100) == {1, 3, 4, 5, 6, 7, 9}
        assert _found(index, {"link": "old"}, limit=100) == {2}
        for mode in ("text", "hybrid"):
            by_words = index.search("asked by many", limit=1, mode=mode, filter={"link": "new"})
            assert [hit.key for hit in by_words.hits] == ["5"]
        assert {hit.key for hit in index.similar("1", limit=100, filter={"link": "new"}).hits} == set("345679")


def test_an_unknown_column_is_refused_before_the_provider_is_asked(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    workbench.create_faq(2)
    workbench.sync()
    asked = provider.requests
    with workbench.index() as index:
        with pytest.raises(SearchRequestError, match=r"filter by link \(text\), asked \(date and"):
            index.search("a query", filter={"colour": "red"})
        [refused] = index.search_many([SearchRequest("a query", filter={"colour": "red"})])
        assert isinstance(refused, SearchRequestError)
    assert provider.requests == asked


def test_an_index_of_a_version_that_kept_no_kinds_can_be_filtered_after_the_next_sync(workbench: Workbench) -> None:
    workbench.create_faq(2)
    workbench.sync()
    workbench.postgres("UPDATE vector_pipeline.embedding_indexes SET source_columns = '{}'")
    with workbench.index() as index, pytest.raises(SearchRequestError, match="run: vector-pipeline sync faq"):
        index.search("a query", filter={"link": None})
    workbench.sync()
    with workbench.index() as index:
        assert _found(index, {"link": None}) == set()
