"""Counting tokens without asking anybody."""

from __future__ import annotations

import pytest

from vector_pipeline.core.embedding.tokens import counter_for, most_tokens

TEXTS = [
    "",
    "What does a customer have to do to get help?",
    "Apakah yang perlu dilakukan oleh pelanggan untuk mendapatkan bantuan?",
    "顧客需要做什麼才能得到幫助？",
    "வாடிக்கையாளர் உதவி பெற என்ன செய்ய வேண்டும்?",
    "0123456789 " * 20,
    "def f(x):\n\treturn x ** 2  # 😀",
    "half a pair \ud800",
]


@pytest.mark.parametrize("model", ["text-embedding-3-small", "openai/text-embedding-3-large"])
def test_openai_models_are_counted_exactly(model: str) -> None:
    # By tiktoken's own documentation of cl100k_base: "tiktoken is great!" is 83 1609 5963 374 2294 0.
    assert counter_for(model)("tiktoken is great!") == 6


@pytest.mark.parametrize("text", TEXTS)
def test_an_estimate_is_between_the_count_and_the_most_that_there_can_be(text: str) -> None:
    exact, estimate = counter_for("text-embedding-3-small"), counter_for("Qwen3-Embedding-8B")
    assert exact(text) <= estimate(text) <= most_tokens(text)


def test_an_estimate_counts_each_digit() -> None:
    assert counter_for("some-model")("7" * 300) >= 300


def test_the_most_tokens_are_the_bytes_and_the_marks_around_them() -> None:
    assert most_tokens("abc") == 5
    assert most_tokens("é") == 4


def test_a_long_text_without_spaces_is_counted_in_no_time() -> None:
    assert 10_000 < counter_for("text-embedding-3-small")("a" * 1_000_000) <= 1_000_000
