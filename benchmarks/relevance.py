"""How much of what people look for is found by vectors, by words, and by both: real questions, the real local model.

The data are not part of the project: the folder `shared/data` beside it, where there is one, with questions and answers
(CSV: id, question, answer, lang) and paraphrases with the id of the question that each means (query, relevant_id).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from benchmarks.figures import Figure, Findings
from benchmarks.workplace import Workplace
from vector_pipeline.core.index import VectorIndex
from vector_pipeline.core.search.relevance import DEPTH, Relevance, judge, mean
from vector_pipeline.core.settings import EmbeddingSettings
from vector_pipeline.core.spec import IndexSpec, SearchMode
from vector_pipeline_tests.workbench import Workbench, faq_spec, sync_all

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

FILES = {
    "health, five languages": ("public_health_faq.csv", "public_health_queries.csv"),
    "services, English and Malay": ("public_services_ms_en.csv", "public_services_queries.csv"),
}
MODES: tuple[SearchMode, ...] = get_args(SearchMode)

# Ways to find by words: as declared by default, which has to hold; the best single language; each row in its own.
_LANGUAGES = {"en": "english", "de": "german", "it": "italian", "sv": "swedish", "ms": "indonesian"}
WAYS: Mapping[str, Mapping[str, Any]] = {
    "simple": {},
    "english": {"language": "english"},
    "by row": {"language_column": "lang", "languages": _LANGUAGES},
}

Row = dict[str, str]


def measure(place: Workplace) -> Findings:
    """Both files, each in a database of its own."""
    return Findings("Relevance", _METHOD, list(_figures(place)))


_METHOD = (
    "970 questions of public health bodies with 122 English paraphrases, and 106 on public services with 39 in "
    "English, Malay and across; the question alone is embedded, by the local model, and searched for words. No "
    "threshold. `simple` is what is declared by default; with default weights `hybrid` has to find as much among the "
    "first five as the better of its two parts (round weights, chosen on these same queries). Below each: "
    "PostgreSQL's own ts_rank_cd for one of the words, and for all of them (websearch_to_tsquery), which a "
    "whole question hardly ever meets."
)


def _figures(place: Workplace) -> Iterator[Figure]:
    for name, (rows_file, queries_file) in FILES.items():
        rows, queries = _read(rows_file), _read(queries_file)
        with place.fresh_databases("") as bench:
            workbench = Workbench(bench.source, bench.target, EmbeddingSettings())
            _fill(workbench, rows)
            for way, text in WAYS.items():
                with workbench.index(_spec(text)) as index:
                    sync_all(index)
                    index.refresh_search_index()
                    yield from _of_way(index, f"{name}: {way}", queries, is_default=way == "simple")
                if way != "by row":
                    yield from _by_postgres(workbench, f"{name}: {way}", text.get("language", "simple"), queries)


def _read(name: str) -> list[Row]:
    path = DATA / name
    if not path.exists():
        raise SystemExit(f"NOT MEASURED ON REAL QUESTIONS: there is no {path}")
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _spec(text: Mapping[str, Any]) -> IndexSpec:
    return faq_spec(
        "relevance",
        document={"text": {"question": "question"}, "metadata": {"answer": "answer", "lang": "link"}},
        search={"threshold": -1.0, "text": dict(text)},
    )


def _fill(workbench: Workbench, rows: Sequence[Row]) -> None:
    workbench.create_faq()
    workbench.mysql(
        "INSERT INTO faq (id, question, answer, link) VALUES (%s, %s, %s, %s)",
        [(row["id"], row["question"], row["answer"], row["lang"]) for row in rows],
    )


def _of_way(index: VectorIndex, title: str, queries: Sequence[Row], *, is_default: bool) -> Iterator[Figure]:
    found = {mode: _judge(index, mode, queries) for mode in MODES}
    better = max(found["vector"].recall_at_5, found["text"].recall_at_5)
    for mode, relevance in found.items():
        # Vectors are the same whatever the words are.
        if mode != "vector" or is_default:
            least = better if mode == "hybrid" and is_default else None
            yield from _three(f"{title}, {mode}", relevance, least)


def _judge(index: VectorIndex, mode: SearchMode, queries: Sequence[Row]) -> Relevance:
    return mean(
        [
            judge([hit.key for hit in index.search(query["query"], mode=mode, limit=DEPTH).hits], _grades(query))
            for query in queries
        ]
    )


def _grades(query: Row) -> dict[str, float]:
    return {query["relevant_id"]: 1.0}


def _by_postgres(workbench: Workbench, title: str, language: str, queries: Sequence[Row]) -> Iterator[Figure]:
    """The same words ranked by ts_rank_cd, where one of them is enough and where all have to be there."""
    for manner, asked in (
        ("one of the words", "replace(plainto_tsquery(%s::regconfig, %s)::text, '&', '|')::tsquery"),
        ("all of the words", "websearch_to_tsquery(%s::regconfig, %s)"),
    ):
        judged = []
        for query in queries:
            rows = workbench.postgres(
                f"""
                SELECT d.key
                FROM relevance.documents d, to_tsvector(%s::regconfig, d.question) words, (SELECT {asked} AS asked) q
                WHERE words @@ asked ORDER BY ts_rank_cd(words, asked, 1) DESC, d.sort_key LIMIT {DEPTH}
                """,
                (language, language, query["query"]),
            )
            judged.append(judge([key for (key,) in rows], _grades(query)))
        yield from _three(f"{title}, ts_rank_cd, {manner}", mean(judged))


def _three(title: str, relevance: Relevance, least_recall_at_5: float | None = None) -> Iterator[Figure]:
    yield Figure(f"{title}: recall@1", relevance.recall_at_1, "of 1")
    yield Figure("… recall@5", relevance.recall_at_5, "of 1", at_least=least_recall_at_5)
    yield Figure("… nDCG@10", relevance.ndcg_at_10, "of 1")
