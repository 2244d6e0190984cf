"""Batches within a provider's limits."""

from __future__ import annotations

from vector_pipeline.core.embedding.packing import Packer
from vector_pipeline.core.embedding.provider import Limits
from vector_pipeline.core.embedding.tokens import most_tokens


class Words:
    """Takes each word for a token, and remembers what it was asked to count."""

    def __init__(self) -> None:
        self.counted: list[str] = []

    def __call__(self, text: str) -> int:
        self.counted.append(text)
        return len(text.split())


def pack(
    texts: list[str], texts_per_request: int, tokens_per_request: int, count: Words | None = None
) -> list[list[str]]:
    packer = Packer[str](Limits(texts_per_request, 1, tokens_per_request), str, count or Words())
    batches = [full for text in texts if (full := packer.add(text))]
    rest = packer.rest()
    return [*batches, rest] if rest else batches


def test_a_batch_is_full_when_it_has_as_many_texts_as_a_request_takes() -> None:
    assert pack(list("abcde"), 2, 1000) == [["a", "b"], ["c", "d"], ["e"]]


def test_one_text_a_request_makes_one_batch_a_text() -> None:
    assert pack(list("abc"), 1, 1000) == [["a"], ["b"], ["c"]]


def test_texts_that_have_too_many_tokens_together_go_apart() -> None:
    texts = ["one two three"] * 5
    assert pack(texts, 100, 7) == [texts[:2], texts[2:4], texts[4:]]


def test_a_text_that_is_too_long_alone_shares_its_request_with_no_other() -> None:
    long = "word " * 50
    assert pack(["a", long, "b"], 100, 20) == [["a"], [long], ["b"]]


def test_no_text_is_lost_or_moved() -> None:
    texts = [f"number {i} " * (1 + i % 7) for i in range(200)]
    batches = pack(texts, 16, 60)
    assert [text for batch in batches for text in batch] == texts
    assert all(len(batch) <= 16 and sum(len(text.split()) for text in batch) <= 60 for batch in batches)


def test_texts_that_are_short_enough_by_their_length_are_not_counted() -> None:
    words = Words()
    texts = [f"a text of some length, number {i}" for i in range(50)]
    pack(texts, 128, sum(map(most_tokens, texts)), words)
    assert words.counted == []


def test_a_text_is_counted_once() -> None:
    words = Words()
    texts = [f"{i} two three" for i in range(40)]
    pack(texts, 128, 20, words)
    assert max(words.counted.count(text) for text in texts) == 1
