"""Measures of rankings, against values computed by hand."""

from __future__ import annotations

import math

import pytest

from vector_pipeline.core.search.relevance import Relevance, judge, mean, ndcg_at, recall_at, reciprocal_rank

FOUND = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"]


def test_recall_is_the_share_of_the_relevant_that_are_among_the_first() -> None:
    grades = {"b": 1.0, "f": 1.0, "elsewhere": 1.0, "a": 0.0}
    assert [recall_at(FOUND, grades, depth) for depth in (1, 2, 5, 10)] == pytest.approx([0, 1 / 3, 1 / 3, 2 / 3])


def test_the_reciprocal_rank_is_that_of_the_first_relevant_of_ten() -> None:
    assert reciprocal_rank(FOUND, {"c": 1.0, "d": 1.0}) == pytest.approx(1 / 3)
    assert reciprocal_rank(FOUND, {"c": 0.0, "d": 2.0}) == pytest.approx(1 / 4)
    assert reciprocal_rank(FOUND, {"k": 1.0}) == 0


def test_one_relevant_document_gains_by_its_rank() -> None:
    assert ndcg_at(FOUND, {"a": 1.0}) == pytest.approx(1)
    assert ndcg_at(FOUND, {"c": 5.0}) == pytest.approx(1 / 2)  # 1 ÷ log2(4)
    assert ndcg_at(FOUND, {"k": 1.0}) == 0


def test_graded_documents_gain_what_they_are_worth_over_the_best_order() -> None:
    # Grades 3 2 3 0 1 2, in the order in which they were found.
    grades = dict(zip("abcdef", (3.0, 2.0, 3.0, 0.0, 1.0, 2.0), strict=True))
    gained = 3 / 1 + 2 / math.log2(3) + 3 / 2 + 0 + 1 / math.log2(6) + 2 / math.log2(7)
    best = 3 / 1 + 3 / math.log2(3) + 2 / 2 + 2 / math.log2(5) + 1 / math.log2(6)
    assert (round(gained, 3), round(best, 3)) == (6.861, 7.141)
    assert ndcg_at(list("abcdef"), grades) == pytest.approx(gained / best)


def test_more_relevant_documents_than_places_can_still_be_ranked_perfectly() -> None:
    grades = {f"{i}": 1.0 for i in range(30)}
    assert ndcg_at([f"{i}" for i in range(10)], grades) == pytest.approx(1)


def test_each_query_counts_the_same_in_the_mean() -> None:
    first, never = judge(FOUND, {"a": 1.0}), judge(FOUND, {"elsewhere": 1.0, "nowhere": 1.0})
    assert first == Relevance(1, 1, 1, 1, 1)
    assert mean([first, first, never, never]) == Relevance(0.5, 0.5, 0.5, 0.5, 0.5)
