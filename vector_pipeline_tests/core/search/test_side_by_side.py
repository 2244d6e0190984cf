"""Answers beside each other: who is in all of them, who in one alone, best ranks first."""

from __future__ import annotations

from vector_pipeline.core.search.answer import Hit, SearchAnswer
from vector_pipeline.core.search.side_by_side import Place, side_by_side


def answer(*keys: str) -> SearchAnswer:
    hits = tuple(Hit(key, 1 - rank / 10, "question", {}, {}, False) for rank, key in enumerate(keys, start=1))
    return SearchAnswer("faq", "a query", hits, 5, 0.0, 0.0)


def test_documents_are_ordered_by_their_best_rank_then_by_how_many_have_them() -> None:
    found = side_by_side({"one": answer("a", "b", "c"), "two": answer("d", "b"), "three": answer("a", "e", "c")})
    assert [document.hit.key for document in found.documents] == ["a", "d", "b", "e", "c"]
    assert found.documents[2].places == {"one": Place(2, 0.8), "two": Place(2, 0.8)}
    assert [found.whereabouts(document) for document in found.documents] == [
        "one, three", "only two", "one, two", "only three", "one, three"
    ]  # fmt: skip
    assert (found.in_all, found.only_in("two"), found.only_in("one")) == (0, 1, 0)


def test_equal_answers_have_everything_in_common() -> None:
    found = side_by_side({"one": answer("a", "b"), "two": answer("b", "a")})
    assert found.in_all == 2
    assert {found.whereabouts(document) for document in found.documents} == {"all"}


def test_answers_without_hits_have_nothing_in_common() -> None:
    assert side_by_side({"one": answer(), "two": answer()}).documents == ()
