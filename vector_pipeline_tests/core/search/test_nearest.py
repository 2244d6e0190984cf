"""Nearest documents that a filter leaves, along an ANN index or by looking at all; and answers within a time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from psycopg import sql

from vector_pipeline.core.errors import TargetUnavailableError
from vector_pipeline.core.search.nearest import Aim, FieldSearch, Leaves, Neighbours
from vector_pipeline.core.search.selectivity import Selectivity
from vector_pipeline.core.search.served import read_served
from vector_pipeline.core.search.statement import EVERYTHING, Restriction
from vector_pipeline.core.search.time_limit import TimeLimit
from vector_pipeline.core.store import ann_index, registry
from vector_pipeline.core.store import connection as store_connection
from vector_pipeline_tests.misbehaving_answers import vectors_of
from vector_pipeline_tests.workbench import Workbench, question_only, sync_all

ROWS = 3000
SPEC = question_only(search={"ann_from_vectors": 1}, range_size=5000)


def _numbered(*keys: int) -> Restriction:
    return Restriction(sql.SQL("d.key = ANY(%(keys)s)"), {"keys": [str(key) for key in keys]})


def _one_in(share: int) -> Restriction:
    return Restriction(sql.SQL("d.key::integer %% %(share)s = 0"), {"share": share})


def _found(
    workbench: Workbench, restriction: Restriction, *, ann: bool, limit: int = 10, threshold: float = -1.0
) -> Neighbours:
    with store_connection.connect(workbench.target) as connection:
        index = registry.load(connection, "faq")
        assert index is not None
        orders = ann_index.present_orders(connection, index) if ann else {}
        vector = vectors_of(["a query"], 8)[0]
        leaves, time_limit = None, TimeLimit.within(10)
        if restriction.condition is not None:
            documents = read_served(connection, "faq", filtered=True).documents
            leaves = Leaves(Selectivity().documents_left(connection, index, restriction, time_limit), documents)
        search = FieldSearch(connection, index, time_limit, None, restriction, leaves)
        found = search.by_field(Aim("question", vector, orders.get("question"), limit, threshold))
        return replace(found, hits=found.hits[:limit])


@pytest.fixture
def indexed(workbench: Workbench) -> Workbench:
    workbench.create_faq(ROWS)
    workbench.sync(SPEC)
    with workbench.index(SPEC) as index:
        assert index.refresh_search_index().fields[0].method == "hnsw vector"
    return workbench


def test_along_the_ann_index_a_filter_gets_the_full_limit_of_what_looking_at_all_finds(indexed: Workbench) -> None:
    for restriction in (EVERYTHING, _one_in(2), _one_in(10), _one_in(100), _numbered(7, 1234, 2999)):
        exact = _found(indexed, restriction, ann=False)
        found = _found(indexed, restriction, ann=True)
        assert found.complete
        assert [hit.key for hit in found.hits] == [hit.key for hit in exact.hits]
    assert len(found.hits) == 3


def test_where_a_filter_and_the_threshold_leave_fewer_all_of_these_are_found(indexed: Workbench) -> None:
    exact = _found(indexed, _one_in(10), ann=False, limit=300)
    threshold = exact.hits[4].score
    found = _found(indexed, _one_in(10), ann=True, threshold=threshold)
    assert [hit.key for hit in found.hits] == [hit.key for hit in exact.hits[:4]]
    assert found.complete


def test_more_than_there_are_gives_all_there_are(indexed: Workbench) -> None:
    assert len(_found(indexed, EVERYTHING, ann=True, limit=2 * ROWS).hits) == ROWS


@pytest.mark.parametrize("ann_from_vectors", [1, 10_000], ids=["along the ANN index", "exactly"])
def test_an_answer_that_takes_too_long_is_given_as_it_is_and_says_so(
    workbench: Workbench, ann_from_vectors: int
) -> None:
    spec = question_only(search={"ann_from_vectors": ann_from_vectors, "seconds": 0.2})
    workbench.create_faq(20)
    workbench.sync(spec)
    with workbench.index(spec) as index:
        index.refresh_search_index()
        assert index.search("a query").complete
        with store_connection.connect(workbench.target) as other, other.transaction():
            other.execute("LOCK TABLE faq.vectors_1 IN ACCESS EXCLUSIVE MODE")
            answer = index.search("a query")
        assert (answer.hits, answer.complete) == ((), False)
        assert index.search("a query").complete


def test_what_is_read_before_the_nearest_are_looked_for_is_of_the_same_time(workbench: Workbench) -> None:
    """How many documents a filter leaves, and the vectors of a document."""
    spec = question_only(search={"ann_from_vectors": 1, "seconds": 0.2})
    workbench.create_faq(20)
    workbench.sync(spec)
    with workbench.index(spec) as index, store_connection.connect(workbench.target) as other:
        index.refresh_search_index()
        with other.transaction():
            other.execute("SET LOCAL idle_in_transaction_session_timeout = '20s'")
            other.execute("LOCK TABLE faq.documents IN ACCESS EXCLUSIVE MODE")
            filtered = index.search("a query", filter={"link": {"prefix": "http"}})
            alike = index.similar("7")
        assert (filtered.hits, filtered.complete) == ((), False)
        assert (alike.hits, alike.complete) == ((), False)
        assert index.similar("7").complete


def test_a_registry_that_somebody_has_locked_is_told_in_the_time_of_the_search(workbench: Workbench) -> None:
    workbench.create_faq(2)
    with workbench.index(question_only(search={"seconds": 0.2})) as index:
        sync_all(index)
        for _ in range(2):  # one that is the first of its index, and one that follows another
            with store_connection.connect(workbench.target) as other, other.transaction():
                other.execute("LOCK TABLE vector_pipeline.generations IN ACCESS EXCLUSIVE MODE")
                with pytest.raises(TargetUnavailableError, match="what is served of index 'faq'"):
                    index.search("a query")
            assert index.search("a query").complete
