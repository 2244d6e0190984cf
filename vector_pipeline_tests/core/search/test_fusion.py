"""What a ranking by places gives."""

from __future__ import annotations

import pytest

from vector_pipeline.core.search.fusion import Ranking, fuse


def test_the_first_in_all_rankings_has_one_point_and_the_others_less() -> None:
    scores = fuse([Ranking(["a", "b"], 5), Ranking(["a", "c"], 1)])
    assert list(scores) == ["a", "b", "c"]
    assert scores["a"] == pytest.approx(1)
    assert scores["b"] == pytest.approx(5 / 12 / (6 / 11))


def test_the_weights_say_whose_places_count_more() -> None:
    assert next(iter(fuse([Ranking(["a", "b"], 1), Ranking(["b", "a"], 2)]))) == "b"
    assert next(iter(fuse([Ranking(["a", "b"], 2), Ranking(["b", "a"], 1)]))) == "a"


def test_of_equal_ones_the_first_rankings_comes_first() -> None:
    assert list(fuse([Ranking(["a"], 1), Ranking(["b"], 1)])) == ["a", "b"]


def test_nothing_is_fused_to_nothing() -> None:
    assert fuse([Ranking([], 1), Ranking([], 1)]) == {}
