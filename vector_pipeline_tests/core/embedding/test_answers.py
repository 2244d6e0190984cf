"""Reading answers that are unusual in ways that the server of the tests does not have."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vector_pipeline.core.embedding.answers import read_answer
from vector_pipeline.core.errors import DishonestAnswerError


def answer_of(*embeddings: object) -> bytes:
    return json.dumps({"data": [{"index": i, "embedding": e} for i, e in enumerate(embeddings)]}).encode()


def test_null_for_a_number_is_nan() -> None:
    vectors = read_answer(answer_of([1.0, None], [1, 2]), 2, None).vectors
    np.testing.assert_array_equal(vectors, np.array([[1, np.nan], [1, 2]], np.float32))


def test_null_for_a_vector_has_no_numbers_and_leaves_the_others_alone() -> None:
    batch = read_answer(answer_of([1, 2], None, [3, 4]), 3, None)
    assert batch.lengths.tolist() == [2, 0, 2]
    np.testing.assert_array_equal(batch.vectors[2], [3, 4])


def test_a_number_too_large_for_float32_is_infinite() -> None:
    assert np.isinf(read_answer(answer_of([1e300, 1.0]), 1, None).vectors[0, 0])


def test_the_asked_for_length_decides_which_vectors_are_the_odd_ones() -> None:
    batch = read_answer(answer_of([1, 2, 3], [1, 2, 3], [1, 2]), 3, dimensions=2)
    np.testing.assert_array_equal(batch.vectors, np.array([[np.nan] * 2, [np.nan] * 2, [1, 2]], np.float32))


@pytest.mark.parametrize("embedding", ["AAA", "AAAAAAA=", "not base64!", [[1.0]], ["one"], {"a": 1}, 5, [10**400]])
def test_what_is_no_vector_is_dishonest(embedding: object) -> None:
    with pytest.raises(DishonestAnswerError, match="index 0"):
        read_answer(answer_of(embedding), 1, None)


@pytest.mark.parametrize("tokens", [-1, 10**30, 1.5, "7", None, True])
def test_a_count_of_tokens_that_can_not_be_meant_is_none(tokens: object) -> None:
    answer = {"data": [{"index": 0, "embedding": [1]}], "usage": {"prompt_tokens": tokens}}
    assert read_answer(json.dumps(answer).encode(), 1, None).tokens is None


@pytest.mark.parametrize("index", [True, "0", -1, 1, 0.0])
def test_an_index_that_is_no_position_is_dishonest(index: object) -> None:
    with pytest.raises(DishonestAnswerError, match="index"):
        read_answer(json.dumps({"data": [{"index": index, "embedding": [1]}]}).encode(), 1, None)


@pytest.mark.parametrize("answer", [b"", b"\xff\xfe\xfd", b"[]", b"null", b'{"data": {}}', b"[" * 100_000])
def test_what_holds_no_embeddings_is_dishonest(answer: bytes) -> None:
    with pytest.raises(DishonestAnswerError):
        read_answer(answer, 1, None)
