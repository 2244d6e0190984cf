"""Canary texts: their vectors, and how far they have moved."""

from __future__ import annotations

import numpy as np
import pytest

from vector_pipeline.core.embedding.canaries import CANARY_TEXTS, embed_canaries, least_similarity
from vector_pipeline.core.embedding.local_model import LocalModelProvider
from vector_pipeline.core.embedding.openai_compatible import OpenAICompatibleProvider
from vector_pipeline.core.errors import DishonestAnswerError
from vector_pipeline_tests.dialects import Dialect
from vector_pipeline_tests.misbehaving_answers import vectors_of
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider


def test_the_text_that_has_moved_most_counts() -> None:
    then = np.array([[1, 0], [0, 2]], np.float32)
    assert least_similarity(then, then * 3) == pytest.approx(1)
    assert least_similarity(then, np.array([[1, 0], [1, 1]], np.float32)) == pytest.approx(0.5**0.5)


def test_vectors_of_another_length_are_of_another_model() -> None:
    assert least_similarity(np.ones((4, 8), np.float32), np.ones((4, 9), np.float32)) == 0


def test_the_same_model_gives_the_same_vectors() -> None:
    provider = LocalModelProvider()
    assert least_similarity(embed_canaries(provider, 1), embed_canaries(provider, 1)) > 0.999999


def test_no_request_holds_more_texts_than_the_provider_takes() -> None:
    with MisbehavingProvider(8, dialect=Dialect("narrow", most_texts=3)) as server:
        provider = OpenAICompatibleProvider(server.url, "m", texts_per_request=3)
        np.testing.assert_array_equal(embed_canaries(provider, 1), vectors_of(CANARY_TEXTS, 8))
        assert server.canaries == 2


def test_dishonest_vectors_are_no_measure() -> None:
    with MisbehavingProvider(8) as server:
        server.behave("zeros")
        with pytest.raises(DishonestAnswerError, match="is all zeros"):
            embed_canaries(OpenAICompatibleProvider(server.url, "m"), 1)
