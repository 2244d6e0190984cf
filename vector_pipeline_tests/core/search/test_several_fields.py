"""Documents by several fields: by the best of some, or by weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from vector_pipeline.core.search.request import SearchRequestError
from vector_pipeline_tests.misbehaving_answers import vectors_of
from vector_pipeline_tests.workbench import Workbench, faq_spec

ROWS = 400


def _similarities(query: str, texts: list[str]) -> npt.NDArray[np.float64]:
    vectors = vectors_of([query, *texts], 8).astype(np.float64)
    cosines: npt.NDArray[np.float64] = vectors[1:] @ vectors[0]
    return cosines


def _questions_and_answers(query: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The score of each row by its question and by its answer."""
    return (
        _similarities(query, [f"question number {i}?" for i in range(1, ROWS + 1)]),
        _similarities(query, [f"the answer to number {i}" for i in range(1, ROWS + 1)]),
    )


@pytest.mark.parametrize("ann_from_vectors", [1, 100_000], ids=["along the ANN index", "exactly"])
def test_weighted_fields_rank_by_the_weighted_mean_of_their_scores(workbench: Workbench, ann_from_vectors: int) -> None:
    spec = faq_spec(search={"threshold": -1.0, "ann_from_vectors": ann_from_vectors}, range_size=1000)
    workbench.create_faq(ROWS)
    workbench.sync(spec)
    questions, answers = _questions_and_answers("a query")
    means = 0.7 * questions + 0.3 * answers
    with workbench.index(spec) as index:
        index.refresh_search_index()
        hits = index.search("a query", field={"question": 7, "answer": 3}, limit=10).hits
    order = np.argsort(-means)[:10]
    assert [hit.key for hit in hits] == [str(i + 1) for i in order]
    assert [hit.score for hit in hits] == pytest.approx(list(means[order]), abs=1e-6)
    assert [hit.vector_rank for hit in hits] == list(range(1, 11))
    for hit, place in zip(hits, order, strict=True):
        assert hit.field_scores == pytest.approx({"question": questions[place], "answer": answers[place]}, abs=1e-6)
        assert hit.field == ("question" if questions[place] >= answers[place] else "answer")


def test_a_weighted_mean_is_of_the_fields_that_a_document_has(workbench: Workbench) -> None:
    workbench.create_faq(30)
    workbench.mysql("UPDATE faq SET answer = NULL WHERE id = 7")
    workbench.sync()
    with workbench.index() as index:
        [hit, *_] = index.search("question number 7?", field={"question": 0.5, "answer": 0.5}).hits
    assert (hit.key, hit.score, hit.field_scores) == ("7", pytest.approx(1), {"question": pytest.approx(1)})


def test_documents_with_one_field_are_not_lost_behind_many_with_a_worse_mean(workbench: Workbench) -> None:
    texts = [f"text number {i}" for i in range(200)]
    by_nearness = [texts[place] for place in np.argsort(-_similarities("a query", texts))]
    with_both = [(i, "a query", by_nearness[-1]) for i in range(1, 61)]
    with_one = [(i, by_nearness[0], None) for i in range(61, 66)]
    workbench.create_faq()
    workbench.mysql("INSERT INTO faq (id, question, answer) VALUES (%s, %s, %s)", with_both + with_one)
    workbench.sync()
    with workbench.index() as index:
        hits = index.search("a query", field={"question": 1, "answer": 1}, limit=5).hits
    assert {hit.key for hit in hits} == {"61", "62", "63", "64", "65"}


def test_as_many_documents_as_wanted_are_above_the_threshold_by_their_mean(workbench: Workbench) -> None:
    workbench.create_faq(ROWS)
    workbench.sync()
    questions, answers = _questions_and_answers("a query")
    means = 0.5 * questions + 0.5 * answers
    with workbench.index() as index:
        hits = index.search("a query", field={"question": 1, "answer": 1}, limit=300, threshold=0.1).hits
    assert {hit.key for hit in hits} == {str(i + 1) for i in np.flatnonzero(means > 0.1)}


def test_several_fields_without_weights_are_searched_by_the_best_of_them(workbench: Workbench) -> None:
    workbench.create_faq(30)
    workbench.sync()
    with workbench.index() as index:
        both = index.search("a query", field=["question", "answer"], limit=30).hits
        assert both == index.search("a query", field="best", limit=30).hits
        assert {hit.field for hit in index.search("a query", field=["answer"], limit=30).hits} == {"answer"}


def test_the_declaration_may_weigh_the_fields(workbench: Workbench) -> None:
    spec = faq_spec(search={"threshold": -1.0, "field": {"question": 0, "answer": 2}})
    workbench.create_faq(30)
    workbench.sync(spec)
    with workbench.index(spec) as index:
        assert index.search("a query").hits == index.search("a query", field="answer").hits


@pytest.mark.parametrize(
    ("field", "complaint"),
    [
        (["question", "title"], "'title' is no field of 'faq'; use best, question, answer"),
        ({"title": 1}, "'title' is no field of 'faq'; use question, answer"),
        ({"best": 1}, "'best' is no field of 'faq'; use question, answer"),
        ({"question": -1, "answer": 2}, "the weight of field 'question' is -1; give a number from 0 up"),
        ({"question": float("nan")}, "the weight of field 'question' is nan"),
        ({"question": 0}, "no field has a weight above 0; give one to question or answer"),
        ([], "no field is named; use best, question, answer"),
    ],
)
def test_fields_that_cannot_be_searched_by_are_refused(workbench: Workbench, field: Any, complaint: str) -> None:
    workbench.create_faq(1)
    workbench.sync()
    with workbench.index() as index, pytest.raises(SearchRequestError, match=complaint):
        index.search("a query", field=field)
