"""The shapes in which a `feature-extraction` pipeline answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vector_pipeline.core.embedding.features import read_features
from vector_pipeline.core.errors import DishonestAnswerError, ProviderRejectsUsError


def tokens(*rows: list[float]) -> list[list[float]]:
    return list(rows)


@pytest.mark.parametrize(
    ("answer", "texts", "vectors"),
    [
        pytest.param(np.array([1, 2, 3], np.float32), 1, [[1, 2, 3]], id="flat"),
        pytest.param(np.array([[1, 2, 3]], np.float32), 1, [[1, 2, 3]], id="nested, one text"),
        pytest.param(np.array([[1, 2], [3, 4]], np.float32), 2, [[1, 2], [3, 4]], id="nested"),
        pytest.param(np.array([[1, 2], [3, 6]], np.float32), 1, [[2, 4]], id="tokens of the only text"),
        pytest.param(np.array([[[1, 2], [3, 6]]], np.float32), 1, [[2, 4]], id="tokens, one text"),
        pytest.param(np.array([[[[1, 2], [3, 6]]]], np.float32), 1, [[2, 4]], id="wrapped tokens"),
        pytest.param([tokens([1, 2], [3, 6]), tokens([5, 5])], 2, [[2, 4], [5, 5]], id="unequal tokens"),
        pytest.param([[tokens([1, 2], [3, 6])], [tokens([5, 5])]], 2, [[2, 4], [5, 5]], id="unequal wrapped tokens"),
    ],
)
def test_each_shape_gives_one_vector_a_text(answer: Any, texts: int, vectors: list[list[float]]) -> None:
    batch = read_features(answer, texts, "mean")
    np.testing.assert_array_equal(batch.vectors, np.array(vectors, np.float32))
    assert batch.vectors.dtype == np.float32
    assert batch.vectors.flags.c_contiguous


def test_token_vectors_are_refused_with_the_remedy_unless_their_mean_is_declared() -> None:
    with pytest.raises(ProviderRejectsUsError, match=r"embedding\.provider\.pooling: mean"):
        read_features(np.ones((2, 5, 8), np.float32), 2, "refuse")


def test_a_vector_of_another_length_is_left_for_judgement() -> None:
    batch = read_features([[1.0, 2.0, 3.0], [4.0, 5.0], [6.0, 7.0, 8.0]], 3, "refuse")
    assert batch.lengths.tolist() == [3, 2, 3]
    assert np.isnan(batch.vectors[1]).all()


@pytest.mark.parametrize(
    ("answer", "texts"),
    [
        (np.ones((3, 8), np.float32), 2),
        (np.ones((1, 2, 3, 4, 5), np.float32), 1),
        ([], 1),
        ({"error": "upstream failed"}, 1),
        ([["a", "b"], ["c", "d"]], 2),
        ([[[1.0], [2.0, 3.0]], [[1.0]]], 2),
    ],
    ids=["too many", "too deep", "nothing", "an error", "words", "unequal token vectors"],
)
def test_an_answer_that_is_not_a_vector_a_text_is_dishonest(answer: Any, texts: int) -> None:
    with pytest.raises(DishonestAnswerError):
        read_features(answer, texts, "mean")
