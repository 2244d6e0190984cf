"""ANN indexes: which kind is built of which vectors, when it is built anew, and that search finds the same by each."""

from __future__ import annotations

from importlib import resources
from typing import Any

import pytest
from psycopg import sql

from vector_pipeline.core.index import VectorIndex
from vector_pipeline.core.spec import IndexSpec, SearchSpec
from vector_pipeline.core.store import ann_building, ann_index, registry
from vector_pipeline.core.store import connection as store_connection
from vector_pipeline.core.store.ann_building import BuildProgress, Observer
from vector_pipeline.core.store.ann_method import AnnOrder, Method, suitable_order
from vector_pipeline.core.store.registry import VectorSpace
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.workbench import Workbench, question_only, sync_all

QUERIES = [f"question number {i}?" for i in range(1, 15)] + [f"query {i}" for i in range(10)]


def ann_spec(search: dict[str, Any] | None = None, **changes: Any) -> IndexSpec:
    """One that builds an ANN index from the first vector on."""
    return question_only(search={"threshold": -1.0, "ann_from_vectors": 1, **(search or {})}, **changes)


def _space(native: int, stored: int | None = None, storage: str = "vector") -> VectorSpace:
    return VectorSpace(1, "openai", "numbers", native, stored or native, storage=storage)  # type: ignore[arg-type]


def _hits(index: VectorIndex) -> list[list[str]]:
    return [[hit.key for hit in index.search(query, limit=10).hits] for query in QUERIES]


def _methods(index: VectorIndex) -> list[str]:
    return [field.method for field in index.refresh_search_index().fields]


def _names(workbench: Workbench) -> list[str]:
    rows = workbench.postgres("SELECT indexname FROM pg_indexes WHERE indexdef LIKE '%USING hnsw%' ORDER BY 1")
    return [name for (name,) in rows]


@pytest.mark.parametrize(
    ("space", "prefix", "expected"),
    [
        (_space(2000), None, "hnsw vector"),
        (_space(2001), None, "hnsw halfvec + rerank"),
        (_space(4000), None, "hnsw halfvec + rerank"),
        (_space(4001), None, "hnsw bit + rerank"),
        (_space(16_000), None, "hnsw bit + rerank"),
        (_space(384, 4096), None, "hnsw vector"),
        (_space(1024, storage="halfvec"), None, "hnsw halfvec"),
        (_space(4096, storage="halfvec"), None, "hnsw bit + rerank"),
        (_space(4096), 512, "hnsw vector over the first 512 numbers + rerank"),
        (_space(4096), 2500, "hnsw halfvec over the first 2500 numbers + rerank"),
        (_space(384), 512, "hnsw vector"),
    ],
)
def test_the_kind_follows_from_the_numbers_of_a_vector(space: VectorSpace, prefix: int | None, expected: str) -> None:
    assert str(suitable_order(space, prefix)) == expected


@pytest.mark.parametrize(
    ("dimensions", "padded_to", "embedding", "search", "method"),
    [
        (8, 3000, {}, {}, "hnsw vector"),
        (2500, 3000, {}, {}, "hnsw halfvec + rerank"),
        (4096, 4200, {}, {}, "hnsw bit + rerank"),
        (64, None, {}, {"ann_prefix": 48}, "hnsw vector over the first 48 numbers + rerank"),
        (64, None, {"storage": "halfvec"}, {}, "hnsw halfvec"),
        (64, None, {"storage": "halfvec"}, {"ann_prefix": 48}, "hnsw halfvec over the first 48 numbers + rerank"),
        (4096, None, {"storage": "halfvec"}, {}, "hnsw bit + rerank"),
    ],
)
def test_search_finds_the_same_along_each_kind_as_by_looking_at_all(
    workbench: Workbench,
    provider: MisbehavingProvider,
    dimensions: int,
    padded_to: int | None,
    embedding: dict[str, Any],
    search: dict[str, Any],
    method: str,
) -> None:
    provider.dimensions = dimensions
    bench = workbench.padded_to(padded_to) if padded_to else workbench
    spec = ann_spec(search, embedding=embedding, range_size=1000)
    bench.create_faq(150)
    bench.sync(spec)
    with bench.index(spec) as index:
        by_looking = _hits(index)
        assert _methods(index) == [method]
        assert _hits(index) == by_looking
        nearest = "faq.nearest((SELECT question_embedding FROM faq WHERE id = 7), 5, 'question')"
        assert bench.postgres(f"SELECT id FROM {nearest} LIMIT 1") == [("7",)]
        assert index.verify().equal
        assert index.check_honesty() == []


def test_vectors_that_are_to_be_stored_rounded_are_not_paid_for_again(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    workbench.create_faq(30)
    workbench.sync(ann_spec())
    asked = provider.stats()["texts"]
    with workbench.index(ann_spec(embedding={"storage": "halfvec"})) as index:
        built = index.build_next_generation()
        assert built.switched
        assert (built.texts_embedded, built.texts_reused) == (0, 30)
        assert provider.times_sent("question number 7?") == 1
        assert provider.stats()["texts"] - asked <= 1  # the harmless text by which the length is measured
        assert len(index.search("question number 7?", limit=30).hits) == 30
    types = workbench.postgres("SELECT DISTINCT pg_typeof(embedding)::text FROM faq.vectors_2")
    assert types == [("halfvec",)]


def test_another_declared_order_takes_the_place_of_the_first_once_it_is_built(workbench: Workbench) -> None:
    workbench.create_faq(40)
    workbench.sync(ann_spec())
    with workbench.index(ann_spec()) as index:
        assert _methods(index) == ["hnsw vector"]
    with workbench.index(ann_spec({"ann_prefix": 6})) as index:
        assert index.search("question number 7?", limit=1).hits[0].key == "7"
        assert _methods(index) == ["hnsw vector over the first 6 numbers + rerank"]
        assert index.search("question number 7?", limit=1).hits[0].key == "7"
    assert _names(workbench) == ["vectors_1_hnsw_vector_6_question"]


def test_an_order_that_a_broken_off_refresh_left_beside_the_declared_one_is_removed(workbench: Workbench) -> None:
    workbench.create_faq(40)
    workbench.sync(ann_spec())
    with workbench.index(ann_spec({"ann_prefix": 6})) as index:
        index.refresh_search_index()
    workbench.postgres(
        """
        CREATE INDEX vectors_1_hnsw_vector_8_question ON faq.vectors_1 USING hnsw (embedding vector_cosine_ops)
            WHERE field = 'question';
        INSERT INTO vector_pipeline.ann_indexes (index_id, space, field, name, method, width, built_at)
        SELECT index_id, space, field, 'vectors_1_hnsw_vector_8_question', method, 8, now() - interval '1 hour'
        FROM vector_pipeline.ann_indexes
        """
    )
    with workbench.index(ann_spec({"ann_prefix": 6})) as index:
        index.refresh_search_index()
    assert _names(workbench) == ["vectors_1_hnsw_vector_6_question"]
    assert workbench.postgres("SELECT name FROM vector_pipeline.ann_indexes") == [("vectors_1_hnsw_vector_6_question",)]


def test_an_index_goes_where_far_fewer_vectors_are_left_than_it_is_worth_having_for(workbench: Workbench) -> None:
    workbench.create_faq(40)
    workbench.sync(ann_spec())
    for fewest, method in ((40, "hnsw vector"), (80, "hnsw vector"), (81, "exact")):
        with workbench.index(ann_spec({"ann_from_vectors": fewest})) as index:
            assert _methods(index) == [method]
            assert index.search("question number 7?", limit=1).hits[0].key == "7"
    assert _names(workbench) == []


def test_a_graph_hollowed_by_deletions_is_built_anew_and_only_then(workbench: Workbench) -> None:
    spec = ann_spec(range_size=5000, deletion_guard={"share": 1})
    workbench.create_faq(2200)
    workbench.sync(spec)

    def graph() -> int:
        with workbench.index(spec) as index:
            sync_all(index)
            index.refresh_search_index()
            assert len(index.search("question number 2000?", limit=20).hits) == 20
        [(file,)] = workbench.postgres("SELECT pg_relation_filenode('faq.vectors_1_hnsw_vector_8_question'::regclass)")
        return int(file)

    first = graph()
    workbench.mysql("DELETE FROM faq WHERE id <= 700")
    assert graph() == first
    workbench.mysql("DELETE FROM faq WHERE id <= 1200")
    second = graph()
    assert second != first
    assert graph() == second


def test_what_a_broken_build_left_is_removed_and_built(workbench: Workbench) -> None:
    workbench.create_faq(20)
    workbench.sync(ann_spec())
    with workbench.index(ann_spec()) as index:
        index.refresh_search_index()
        workbench.postgres(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'faq.vectors_1_hnsw_vector_8_question'::regclass"
        )
        assert len(index.search("question number 7?", limit=20).hits) == 20
        assert _methods(index) == ["hnsw vector"]


def test_an_index_of_an_earlier_version_is_walked_until_it_is_replaced(workbench: Workbench) -> None:
    padded = workbench.padded_to(16)
    padded.create_faq(50)
    padded.sync(ann_spec())
    padded.postgres("DROP TABLE vector_pipeline.ann_indexes")
    padded.postgres("ALTER TABLE vector_pipeline.vector_spaces DROP storage")
    padded.postgres(
        "CREATE INDEX vectors_1_ann_question ON faq.vectors_1 USING hnsw (embedding vector_cosine_ops)"
        " WHERE field = 'question'"
    )
    migrations = resources.files("vector_pipeline.core.store") / "migrations"
    with store_connection.connect(padded.target) as connection:
        connection.execute((migrations / "0010_ann_indexes.sql").read_bytes())
    with padded.index(ann_spec()) as index:
        assert index.search("question number 7?", limit=1).hits[0].key == "7"
        assert padded.postgres("SELECT field, method, width FROM vector_pipeline.ann_indexes") == [
            ("question", "vector", 16)
        ]
        index.refresh_search_index()
    assert _names(padded) == ["vectors_1_hnsw_vector_8_question"]


@pytest.mark.long
def test_a_build_tells_how_far_it_is(workbench: Workbench, provider: MisbehavingProvider) -> None:
    provider.dimensions = 512
    spec = ann_spec(range_size=10_000)
    workbench.create_faq(3000)
    workbench.sync(spec)
    told: list[BuildProgress] = []
    with store_connection.connect(workbench.target) as connection:
        index = registry.load(connection, "faq")
        assert index is not None
        observer = Observer(lambda: store_connection.connect(workbench.target), told.append, look_seconds=0.05)
        ann_index.refresh(connection, index, SearchSpec(ann_from_vectors=1), observer)
    assert {progress.field for progress in told} == {"question"}
    assert {progress.total for progress in told} == {3000}
    done = [progress.done for progress in told if progress.phase.startswith("building")]
    assert done == sorted(done)
    assert 0 < max(done) <= 3000


@pytest.mark.parametrize(
    ("vectors", "most", "expected_megabytes"),
    [(10, None, 64), (10_000_000, 300, 300), (10_000_000, None, 256)],
    ids=["a little", "as declared", "as the server bears"],
)
def test_a_build_gets_the_memory_that_it_needs_within_bounds(
    workbench: Workbench, vectors: int, most: int | None, expected_megabytes: int
) -> None:
    order = AnnOrder(_space(1024), Method.VECTOR, 1024)
    with store_connection.connect(workbench.target) as connection:
        show = "SELECT pg_size_bytes(current_setting('maintenance_work_mem')) / 1024 / 1024"
        before = connection.execute(show).fetchone()
        with ann_building.settings_for(connection, order, vectors, most):
            assert connection.execute(show).fetchone() == (expected_megabytes,)
        assert connection.execute(show).fetchone() == before


@pytest.mark.parametrize("state", ["53100", "53200"], ids=["no room in /dev/shm", "no memory"])
def test_a_build_does_without_workers_where_there_is_no_shared_memory_for_them(
    workbench: Workbench, state: str
) -> None:
    builds_alone = sql.SQL(
        """
        DO $$ BEGIN
            IF current_setting('max_parallel_maintenance_workers') <> '0' THEN
                RAISE 'could not resize shared memory segment' USING ERRCODE = {};
            END IF;
        END $$
        """
    ).format(sql.Literal(state))
    cleaned: list[bool] = []
    with store_connection.connect(workbench.target) as connection:
        ann_building.build(connection, builds_alone, lambda: cleaned.append(True))
        assert connection.execute("SHOW max_parallel_maintenance_workers").fetchone() != ("0",)
    assert cleaned == [True]
