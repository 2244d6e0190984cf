"""What is found: by which score, in which order, and never a row that is gone or a vector without one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from psycopg import sql

from vector_pipeline.core.errors import TargetUnavailableError
from vector_pipeline.core.index import VectorIndex
from vector_pipeline.core.search.nearest import scan_settings
from vector_pipeline.core.search.request import SearchRequestError
from vector_pipeline.core.search.statement import statement
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.core.store import connection as store_connection
from vector_pipeline.core.store import registry
from vector_pipeline.core.store.ann_index import present_orders
from vector_pipeline_tests.misbehaving_answers import vectors_of
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.workbench import Workbench, faq_spec, question_only, sync_all


def _similarities(query: str, texts: list[str], dimensions: int = 8) -> npt.NDArray[np.float64]:
    """The cosine of each text with the query, as the provider's vectors have it."""
    vectors = vectors_of([query, *texts], dimensions).astype(np.float64)
    cosines: npt.NDArray[np.float64] = vectors[1:] @ vectors[0]
    return cosines


def _keys(index: VectorIndex, query: str, **options: Any) -> list[str]:
    return [hit.key for hit in index.search(query, **options).hits]


def _always_ann(ann_from_vectors: int = 1, **changes: Any) -> IndexSpec:
    return question_only(search={"threshold": -1.0, "ann_from_vectors": ann_from_vectors}, **changes)


def test_a_score_is_one_minus_cosine_distance_best_first(workbench: Workbench) -> None:
    workbench.create_faq(60)
    workbench.sync(question_only())
    expected = _similarities("a query", [f"question number {i}?" for i in range(1, 61)])
    order = np.argsort(-expected)
    with workbench.index(question_only()) as index:
        answer = index.search("a query", limit=10)
    assert [hit.key for hit in answer.hits] == [str(i + 1) for i in order[:10]]
    assert [hit.score for hit in answer.hits] == pytest.approx(list(expected[order[:10]]), abs=1e-6)
    assert [hit.vector_score for hit in answer.hits] == [hit.score for hit in answer.hits]
    assert [hit.vector_rank for hit in answer.hits] == list(range(1, 11))


def test_hits_are_strictly_above_the_threshold(workbench: Workbench) -> None:
    workbench.create_faq(60)
    workbench.sync(question_only())
    with workbench.index(question_only()) as index:
        all_hits = index.search("a query", limit=100).hits
        third = all_hits[2].score
        assert _keys(index, "a query", limit=100, threshold=third) == [hit.key for hit in all_hits[:2]]
        assert len(all_hits) == 60
        assert index.search("a query", threshold=1.0).hits == ()


def test_the_declarations_defaults_hold_where_a_search_says_nothing(workbench: Workbench) -> None:
    spec = faq_spec(search={"limit": 3, "threshold": 0.1, "field": "answer"})
    workbench.create_faq(60)
    workbench.sync(spec)
    with workbench.index(spec) as index:
        answer = index.search("the answer to number 7")
    assert (answer.limit, answer.threshold, len(answer.hits)) == (3, 0.1, 3)
    assert {hit.field for hit in answer.hits} == {"answer"}
    assert answer.hits[0].key == "7"


def test_best_takes_each_row_by_its_best_field(workbench: Workbench) -> None:
    workbench.create_faq(60)
    workbench.sync()
    questions = _similarities("a query", [f"question number {i}?" for i in range(1, 61)])
    answers = _similarities("a query", [f"the answer to number {i}" for i in range(1, 61)])
    best = np.maximum(questions, answers)
    with workbench.index() as index:
        hits = index.search("a query", limit=10).hits
    order = np.argsort(-best)[:10]
    assert [hit.key for hit in hits] == [str(i + 1) for i in order]
    assert [hit.field for hit in hits] == ["question" if questions[i] >= answers[i] else "answer" for i in order]


def test_one_field_is_searched_alone(workbench: Workbench) -> None:
    workbench.create_faq(20)
    workbench.sync()
    with workbench.index() as index:
        assert index.search("the answer to number 7", field="answer").hits[0].score == pytest.approx(1)
        assert index.search("the answer to number 7", field="question").hits[0].score < 0.999


@pytest.mark.parametrize(
    ("query", "options", "complaint"),
    [
        ("anything", {"field": "title"}, "'title' is no field of 'faq'; use best, question, answer"),
        ("  ", {}, "the query is empty"),
        ("anything", {"limit": 0}, "limit must be from 1 to 1000"),
        ("anything", {"limit": 2**63}, "limit must be from 1 to 1000"),
        ("anything", {"threshold": 2.0}, "threshold from -1 to 1"),
        ("some poison", {}, "the provider refuses this query"),
        ("give-zero", {}, "ask with other words"),
    ],
)
def test_a_request_that_cannot_be_answered_is_refused_in_words(
    workbench: Workbench, query: str, options: dict[str, Any], complaint: str
) -> None:
    workbench.create_faq(3)
    workbench.sync()
    with workbench.index() as index, pytest.raises(SearchRequestError, match=complaint):
        index.search(query, **options)


def test_a_hit_carries_texts_and_metadata(workbench: Workbench) -> None:
    workbench.create_faq(3)
    workbench.sync()
    with workbench.index() as index:
        [hit] = index.search("question number 2?", limit=1).hits
    assert dict(hit.texts) == {"question": "question number 2?", "answer": "the answer to number 2"}
    assert dict(hit.metadata) == {"link": "https://example.org/2", "asked": "2026-01-02 03:04:05"}


def test_a_deleted_row_is_gone_with_its_document(workbench: Workbench) -> None:
    workbench.create_faq(10)
    workbench.sync()
    workbench.mysql("DELETE FROM faq WHERE id = 3")
    with workbench.index() as index:
        index.detect()
        list(index.sync_documents([state.partition for state in index.due_ranges()]))
        assert "3" not in _keys(index, "question number 3?", limit=100)
    assert workbench.postgres("SELECT count(*) FROM faq WHERE id = 3") == [(0,)]


@pytest.mark.parametrize("ann_from_vectors", [1, 100_000], ids=["along the ANN index", "exactly"])
def test_vectors_without_a_row_never_take_a_hits_place(workbench: Workbench, ann_from_vectors: int) -> None:
    spec = _always_ann(ann_from_vectors)
    workbench.create_faq(400)
    workbench.mysql("UPDATE faq SET question = CONCAT('near ', IF(id > 390, 'row ', ''), MOD(id, 10)) WHERE id > 300")
    workbench.sync(spec)
    with workbench.index(spec) as index:
        index.refresh_search_index()
        workbench.mysql("DELETE FROM faq WHERE id <= 390")
        sync_all(index)
        assert workbench.postgres("SELECT count(*) FROM faq.vectors_1")[0][0] > 300
        assert len(_keys(index, "near 3", limit=10)) == 10
        assert set(_keys(index, "near 3", limit=10)) == {str(i) for i in range(391, 401)}


def _unique_spec() -> IndexSpec:
    return faq_spec(
        document={
            "text": {"question": "question", "answer": "answer"},
            "metadata": {"link": "link"},
            "unique_on": "question",
        }
    )


@pytest.mark.parametrize("field", ["question", "answer", "best"])
def test_of_rows_with_the_same_question_only_the_lowest_key_is_served(workbench: Workbench, field: str) -> None:
    workbench.create_faq(12)
    workbench.mysql("UPDATE faq SET question = 'asked by many' WHERE id IN (2, 9, 11)")
    workbench.sync(_unique_spec())
    with workbench.index(_unique_spec()) as index:
        index.refresh_search_index()
        for served in ("2", "9", "11"):
            found = _keys(index, "asked by many", field=field, limit=100)
            assert {"2", "9", "11"} & set(found) == {served}
            shown = workbench.postgres("SELECT id FROM faq WHERE question = 'asked by many'")
            assert shown == [(int(served),)]
            workbench.mysql(f"DELETE FROM faq WHERE id = {served}")
            sync_all(index)
        assert len(_keys(index, "asked by many", field=field, limit=100)) == 9


def test_the_function_serves_only_the_lowest_key_too(workbench: Workbench) -> None:
    workbench.create_faq(5)
    workbench.mysql("UPDATE faq SET question = 'asked by many' WHERE id > 3")
    workbench.sync(_unique_spec())
    with workbench.index(_unique_spec()) as index:
        index.refresh_search_index()
    rows = workbench.postgres(
        "SELECT id FROM faq.nearest((SELECT question_embedding FROM faq WHERE id = 4), 10, 'question')"
    )
    assert rows[0] == ("4",)
    assert len(rows) == 4


def _explain(workbench: Workbench, vector: npt.NDArray[np.float32]) -> str:
    """How PostgreSQL would search the questions of `faq`."""
    with store_connection.connect(workbench.target) as connection, connection.transaction():
        registered = registry.load(connection, "faq")
        assert registered is not None
        order = present_orders(connection, registered)["question"]
        for name, value in scan_settings(order, wanted=200).items():
            connection.execute("SELECT set_config(%s, %s, true)", (name, value))
        search = statement(registered, None, order, "question")
        rows = connection.execute(
            sql.SQL("EXPLAIN ") + search, {"vector": vector, "limit": 5, "candidates": 200}
        ).fetchall()
    return "\n".join(line for (line,) in rows)


def _exact_and_ann(workbench: Workbench, spec: IndexSpec, method: str, queries: list[str]) -> None:
    """Asserts that each query finds the same with the ANN index as it did without."""
    workbench.sync(spec)
    with workbench.index(spec) as index:
        exact = [index.search(query, limit=10).hits for query in queries]
        report = index.refresh_search_index()
        assert [field.method for field in report.fields] == [method]
        assert report.fields[0].index_bytes > 0
        assert [index.search(query, limit=10).hits for query in queries] == exact


@pytest.mark.parametrize(
    ("dimensions", "rows", "method"),
    [(8, 600, "hnsw vector"), (2048, 300, "hnsw halfvec + rerank"), (4096, 300, "hnsw bit + rerank")],
)
def test_the_ann_index_finds_what_exact_search_finds(
    workbench: Workbench, provider: MisbehavingProvider, dimensions: int, rows: int, method: str
) -> None:
    provider.dimensions = dimensions
    workbench.create_faq(rows)
    queries = [f"question number {i}?" for i in range(1, 20)] + [f"query {i}" for i in range(20)]
    _exact_and_ann(workbench, _always_ann(range_size=1000), method, queries)


@pytest.mark.parametrize(
    ("dimensions", "rows"),
    [pytest.param(8, 4000, marks=pytest.mark.long), pytest.param(2048, 1500, marks=pytest.mark.long), (4096, 1500)],
)
def test_the_planner_walks_the_partial_ann_index(
    workbench: Workbench, provider: MisbehavingProvider, dimensions: int, rows: int
) -> None:
    provider.dimensions = dimensions
    spec = _always_ann(range_size=5000)
    workbench.create_faq(rows)
    workbench.sync(spec)
    with workbench.index(spec) as index:
        index.refresh_search_index()
    plan = _explain(workbench, vectors_of(["a query"], dimensions)[0])
    assert "Index Scan using vectors_1_hnsw_" in plan
    assert "Seq Scan on vectors_1" not in plan


def test_each_field_has_an_ann_index_of_its_own(workbench: Workbench) -> None:
    spec = faq_spec(search={"threshold": -1.0, "ann_from_vectors": 15})
    workbench.create_faq(20)
    workbench.mysql("UPDATE faq SET answer = NULL WHERE id > 10")
    workbench.sync(spec)
    with workbench.index(spec) as index:
        methods = {field.field: (field.vectors, field.method) for field in index.refresh_search_index().fields}
    assert methods == {"question": (20, "hnsw vector"), "answer": (10, "exact")}


def test_the_view_has_the_columns_that_sql_users_know(workbench: Workbench) -> None:
    workbench.create_faq(3)
    workbench.sync()
    columns = workbench.postgres(
        "SELECT column_name, udt_name FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name = 'faq' ORDER BY ordinal_position"
    )
    assert columns == [
        ("id", "int8"),
        ("question", "text"),
        ("answer", "text"),
        ("link", "text"),
        ("asked", "text"),
        ("question_embedding", "vector"),
        ("answer_embedding", "vector"),
    ]
    [row] = workbench.postgres(
        "SELECT id, question, link, asked, vector_dims(question_embedding), answer_embedding IS NULL"
        " FROM faq WHERE id = 2"
    )
    assert row == (2, "question number 2?", "https://example.org/2", "2026-01-02 03:04:05", 8, False)


def test_the_view_and_its_grants_stay_where_nothing_has_changed(workbench: Workbench) -> None:
    workbench.create_faq(3)
    workbench.sync()
    before = workbench.postgres("SELECT c.oid, c.xmin::text FROM pg_class c WHERE c.oid = 'public.faq'::regclass")
    workbench.postgres("GRANT SELECT ON public.faq TO PUBLIC")
    granted = workbench.postgres("SELECT c.oid, c.xmin::text FROM pg_class c WHERE c.oid = 'public.faq'::regclass")
    workbench.add_faq([4])
    workbench.sync()
    with workbench.index() as index:
        index.refresh_search_index()
    after = workbench.postgres("SELECT c.oid, c.xmin::text FROM pg_class c WHERE c.oid = 'public.faq'::regclass")
    assert after == granted != before


MORE_METADATA = {
    "document": {
        "text": {"question": "question", "answer": "answer"},
        "metadata": {"link": "link", "asked": "asked", "number": "id"},
    }
}


def _rights(workbench: Workbench) -> list[tuple[Any, ...]]:
    return workbench.postgres(
        """
        SELECT grantee::regrole::text, privilege_type, is_grantable, column_name
        FROM (SELECT relowner, NULL AS column_name, (aclexplode(relacl)).* FROM pg_class WHERE relname = 'faq'
                AND relkind = 'v'
              UNION ALL
              SELECT 0, attname, (aclexplode(attacl)).* FROM pg_attribute
              WHERE attrelid = 'public.faq'::regclass) acl
        WHERE grantee <> relowner
        ORDER BY 1, 2, 3, 4
        """
    )


def test_the_view_keeps_its_grants_where_a_column_comes_in_between(workbench: Workbench) -> None:
    workbench.create_faq(3)
    workbench.sync()
    role = f"Reader of {workbench.target.database}"
    workbench.postgres(f'CREATE ROLE "{role}"')
    workbench.postgres("GRANT SELECT ON public.faq TO PUBLIC")
    workbench.postgres(f'GRANT SELECT ON public.faq TO "{role}" WITH GRANT OPTION')
    workbench.postgres(f'GRANT UPDATE (link) ON public.faq TO "{role}"')
    rights = _rights(workbench)
    assert len(rights) == 3
    workbench.sync(faq_spec(**MORE_METADATA))
    assert workbench.postgres("SELECT number FROM faq ORDER BY id") == [("1",), ("2",), ("3",)]
    assert _rights(workbench) == rights
    workbench.postgres(f'DROP OWNED BY "{role}"')
    workbench.postgres(f'DROP ROLE "{role}"')


def test_a_view_that_others_build_on_keeps_its_columns_and_fails_no_sync(
    workbench: Workbench, caplog: pytest.LogCaptureFixture
) -> None:
    workbench.create_faq(3)
    workbench.sync()
    workbench.postgres("CREATE VIEW public.links AS SELECT id, link FROM public.faq")
    workbench.add_faq([4])
    with workbench.index(faq_spec(**MORE_METADATA)) as index:
        assert sync_all(index).inserted == 1
        index.refresh_search_index()
        assert index.verify().equal
        assert index.search("question number 4?").hits[0].metadata["number"] == 4
    assert workbench.postgres("SELECT count(*) FROM public.links") == [(4,)]
    warning = caplog.records[0].getMessage()
    assert 'the view "public"."faq" keeps the columns that it had' in warning
    assert "view links depends on view faq" in warning
    assert "drop what builds on it" in warning
    workbench.postgres("DROP VIEW public.links")
    workbench.sync(faq_spec(**MORE_METADATA))
    assert workbench.postgres("SELECT number FROM faq WHERE id = 4") == [("4",)]


def test_the_function_finds_what_the_search_finds(workbench: Workbench) -> None:
    workbench.create_faq(50)
    workbench.sync()
    with workbench.index() as index:
        index.refresh_search_index()
        hits = index.search("question number 7?", field="question", limit=5).hits
    rows = workbench.postgres(
        "SELECT id, score FROM faq.nearest((SELECT question_embedding FROM faq WHERE id = 7), 5, 'question')"
    )
    assert [key for key, _ in rows] == [hit.key for hit in hits]
    assert [score for _, score in rows] == pytest.approx([hit.score for hit in hits], abs=1e-6)


@pytest.mark.parametrize("dimensions", [2048, 4096])
def test_the_function_finds_nearest_neighbours_of_long_vectors(
    workbench: Workbench, provider: MisbehavingProvider, dimensions: int
) -> None:
    provider.dimensions = dimensions
    workbench.create_faq(30)
    workbench.sync(_always_ann())
    with workbench.index(_always_ann()) as index:
        index.refresh_search_index()
    [first, *_] = workbench.postgres(
        "SELECT id, score FROM faq.nearest((SELECT question_embedding FROM faq WHERE id = 7), 5, 'question')"
    )
    assert first == ("7", pytest.approx(1))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("5, 'title'", "no field title in this index"),
        ("NULL, 'question'", "result_limit is <NULL>; give a number"),
        ("-1, 'question'", "result_limit is -1; give a number"),
    ],
)
def test_the_function_refuses_an_unknown_field_and_what_is_no_limit(
    workbench: Workbench, arguments: str, complaint: str
) -> None:
    workbench.create_faq(1)
    workbench.sync()
    with workbench.index() as index:
        index.refresh_search_index()
    with pytest.raises(Exception, match=complaint):
        workbench.postgres(f"SELECT * FROM faq.nearest('[1,0,0,0,0,0,0,0]', {arguments})")


@pytest.mark.parametrize(
    "stranger", ["CREATE TABLE public.faq (id int)", "CREATE VIEW public.faq AS SELECT 1 AS id"], ids=["table", "view"]
)
def test_a_table_of_the_views_name_is_refused_with_the_remedy(workbench: Workbench, stranger: str) -> None:
    workbench.create_faq(3)
    workbench.postgres(stranger)
    with workbench.index() as index, pytest.raises(TargetUnavailableError, match=r"public\.faq.*RENAME TO.*import"):
        index.prepare()
    assert workbench.postgres("SELECT count(*) FROM vector_pipeline.embedding_indexes") == [(0,)]
    workbench.postgres("DROP " + stranger.split()[1] + " public.faq")
    workbench.sync()


def test_a_schema_of_the_indexs_name_is_refused_with_the_remedy(workbench: Workbench) -> None:
    workbench.create_faq(3)
    workbench.postgres("CREATE SCHEMA faq")
    with workbench.index() as index, pytest.raises(TargetUnavailableError, match=r"schema 'faq'.*ALTER SCHEMA"):
        index.prepare()
    workbench.postgres("DROP SCHEMA faq")
    workbench.sync()


def test_a_dropped_index_is_gone_and_can_be_made_anew(workbench: Workbench) -> None:
    workbench.create_faq(3)
    workbench.sync()
    with workbench.index() as index:
        index.drop()
    assert workbench.postgres("SELECT to_regclass('public.faq')::text, to_regnamespace('faq')::text") == [(None, None)]
    assert workbench.sync().inserted == 3


TWINS = {"text": {"question": "question", "answer": "answer"}, "unique_on": "question"}


@pytest.mark.parametrize(
    "change",
    [
        {"document": {"text": {"title": "question", "answer": "answer"}, "unique_on": "title"}},
        {"document": {"text": {"title": "question"}}, "search": {"threshold": -1.0, "field": "title"}},
        {"embedding": {"model": "another"}},
        {"embedding": {"dimensions": 6}},
        {"embedding": {"dimensions": None}},
        {"embedding": {"dimensions": 4, "strategy": "concat"}, "search": {"threshold": -1.0, "field": "text"}},
        {"embedding": {"provider": {"type": "local"}}},
    ],
    ids=[
        "a served name",
        "fewer texts",
        "the model",
        "the dimensions",
        "no dimensions",
        "the strategy",
        "the provider",
    ],
)
def test_search_goes_on_with_what_was_built_where_the_declaration_has_changed(
    workbench: Workbench, provider: MisbehavingProvider, change: dict[str, Any]
) -> None:
    workbench.create_faq(3)
    workbench.mysql("INSERT INTO faq (id, question) SELECT 4, question FROM faq WHERE id = 2")
    sections = {"document": TWINS, "embedding": {"dimensions": 4}}
    workbench.sync(faq_spec(**sections))
    with workbench.index(faq_spec(**(sections | change))) as index:
        sync_all(index)
        hits = index.search("question number 2?", limit=10).hits
    assert (hits[0].key, hits[0].field, hits[0].score) == ("2", "question", pytest.approx(1))
    assert sorted(hit.key for hit in hits) == ["1", "2", "3"]
    assert (provider.last_request["model"], provider.last_request["dimensions"]) == ("numbers", 4)


def test_vectors_are_padded_with_zeros_to_the_expected_dimensions_and_it_says_so(workbench: Workbench) -> None:
    padded = workbench.padded_to(16)
    padded.create_faq(20)
    padded.sync(question_only())
    with padded.index(question_only()) as index:
        status = index.status()
        hits = index.search("question number 7?", limit=20).hits
        assert index.verify().equal
        assert index.check_honesty() == []
    assert (status.native_dimensions, status.dimensions) == (8, 16)
    expected = _similarities("question number 7?", [f"question number {i}?" for i in range(1, 21)])
    assert [hit.score for hit in hits] == pytest.approx(sorted(expected, reverse=True), abs=1e-6)
    assert padded.postgres("SELECT DISTINCT subvector(embedding, 9, 8)::text FROM faq.vectors_1") == [
        ("[0,0,0,0,0,0,0,0]",)
    ]
