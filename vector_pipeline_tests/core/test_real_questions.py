"""Real questions, real paraphrases, the real model: the pipeline finds what exact search in memory finds."""

from __future__ import annotations

import csv
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from vector_pipeline.core.embedding.local_model import LocalModelProvider
from vector_pipeline.core.embedding.provider import Vectors
from vector_pipeline.core.settings import EmbeddingSettings, SourceSettings, TargetSettings
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline_tests.conftest import SHARED
from vector_pipeline_tests.workbench import Workbench, question_only

DATA = SHARED / "data"


def _read(name: str) -> list[dict[str, str]]:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"NOT TESTED ON REAL QUESTIONS: there is no {path}")
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _embed(texts: Sequence[str]) -> Vectors:
    provider = LocalModelProvider()
    batches = [provider.embed(texts[start : start + 64]).vectors for start in range(0, len(texts), 64)]
    return np.concatenate(batches)


def _synced(source: SourceSettings, target: TargetSettings, rows: list[dict[str, str]], spec: IndexSpec) -> Workbench:
    workbench = Workbench(source, target, EmbeddingSettings())
    workbench.create_faq(0)
    workbench.mysql(
        "INSERT INTO faq (id, question, answer, link) VALUES (%s, %s, %s, %s)",
        [(row["id"], row["question"], row["answer"], row.get("link")) for row in rows],
    )
    workbench.sync(spec)
    return workbench


def _cosines_in_memory(rows: list[dict[str, str]], queries: list[dict[str, str]]) -> npt.NDArray[np.float64]:
    """The cosine of each query (row) with each question (column)."""
    questions = _embed([row["question"] for row in rows]).astype(np.float64)
    asked = _embed([query["query"] for query in queries]).astype(np.float64)
    questions /= np.linalg.norm(questions, axis=1, keepdims=True)
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    cosines: npt.NDArray[np.float64] = asked @ questions.T
    return cosines


def _assert_finds_what_exact_search_finds(
    workbench: Workbench,
    spec: IndexSpec,
    rows: list[dict[str, str]],
    queries: list[dict[str, str]],
    cosines: npt.NDArray[np.float64],
) -> None:
    keys = [row["id"] for row in rows]
    found_by_pipeline = {1: 0, 5: 0}
    found_in_memory = {1: 0, 5: 0}
    with workbench.index(spec) as index:
        assert index.verify().equal
        for query, scores in zip(queries, cosines, strict=True):
            hits = index.search(query["query"], limit=5).hits
            order = np.argsort(-scores, kind="stable")[:5]
            assert [hit.score for hit in hits] == pytest.approx(list(scores[order]), abs=1e-5)
            # Where two questions are equally near, either may come first.
            assert [scores[keys.index(hit.key)] for hit in hits] == pytest.approx(list(scores[order]), abs=1e-5)
            for depth in (1, 5):
                by_pipeline = query["relevant_id"] in [hit.key for hit in hits[:depth]]
                in_memory = query["relevant_id"] in [keys[i] for i in order[:depth]]
                assert by_pipeline == in_memory, query
                found_by_pipeline[depth] += by_pipeline
                found_in_memory[depth] += in_memory
    assert found_by_pipeline == found_in_memory
    assert found_by_pipeline[5] >= found_by_pipeline[1] > 0


def test_paraphrases_of_970_health_questions_find_what_exact_search_finds(
    mysql_database: SourceSettings, pg_database: TargetSettings
) -> None:
    rows = _read("public_health_faq.csv")
    queries = _read("public_health_queries.csv")
    assert (len(rows), len(queries)) == (970, 122)
    exact = question_only(range_size=200)
    along_the_index = question_only(search={"threshold": -1.0, "ann_from_vectors": 100}, range_size=200)
    workbench = _synced(mysql_database, pg_database, rows, exact)
    cosines = _cosines_in_memory(rows, queries)
    for spec, method in ((exact, "exact"), (along_the_index, "hnsw vector")):
        with workbench.index(spec) as index:
            assert [field.method for field in index.refresh_search_index().fields] == [method]
        _assert_finds_what_exact_search_finds(workbench, spec, rows, queries, cosines)


def test_a_long_document_is_found_by_what_its_middle_says(
    mysql_database: SourceSettings, pg_database: TargetSettings
) -> None:
    rows = _read("public_health_faq.csv")[:60]
    paragraphs = [f"{row['question']}\n{row['answer']}" for row in rows]
    handbook = "\n\n".join(paragraphs)
    others = [{"id": row["id"], "question": row["question"], "answer": ""} for row in rows[1:3]]
    spec = question_only(embedding={"split": {"tokens": 120, "overlap": 20}})
    workbench = _synced(mysql_database, pg_database, [{"id": "1", "question": handbook, "answer": ""}, *others], spec)
    asked = rows[30]["question"]
    with workbench.index(spec) as index:
        assert index.verify().equal
        hit = index.search(asked, limit=1).hits[0]
    assert hit.key == "1"
    assert hit.passage is not None
    assert hit.passage.text == handbook[hit.passage.start : hit.passage.end]
    place = handbook.index(paragraphs[30])
    assert hit.passage.start < place + len(paragraphs[30])
    assert place < hit.passage.end
    assert len(hit.passage.text) < len(handbook) / 10


@pytest.mark.parametrize("kind", ["en", "ms", "cross"])
def test_questions_in_english_and_malay_find_what_exact_search_finds(
    mysql_database: SourceSettings, pg_database: TargetSettings, kind: str
) -> None:
    rows = _read("public_services_ms_en.csv")
    queries = [query for query in _read("public_services_queries.csv") if query["kind"] == kind]
    assert queries
    workbench = _synced(mysql_database, pg_database, rows, question_only())
    _assert_finds_what_exact_search_finds(workbench, question_only(), rows, queries, _cosines_in_memory(rows, queries))
