"""What people write, and what it asks of words."""

from __future__ import annotations

import pytest

from vector_pipeline.core.search.written_query import WrittenQuery, any_of, by_rarity, read_query


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("how to buy fish", WrittenQuery("how to buy fish")),
        ('buy "fresh fish" -frozen', WrittenQuery("buy fresh fish", ("fresh fish",), ("frozen",))),
        ('fish -"from a can"', WrittenQuery("fish", (), ("from a can",))),
        ("COVID-19 in well-known places", WrittenQuery("COVID-19 in well-known places")),
        ('never "closed', WrittenQuery('never "closed')),
        ('"" - --', WrittenQuery("- --")),
        ("a\0b", WrittenQuery("ab")),
    ],
)
def test_a_query_is_taken_apart(query: str, expected: WrittenQuery) -> None:
    assert read_query(query) == expected


def test_lexemes_are_quoted_for_tsquery() -> None:
    assert any_of(["o'neil", "a\\b"]) == "'o''neil' | 'a\\\\b'"
    assert any_of(["fish"], "AB") == "'fish':AB"


def test_the_rarest_words_are_looked_for_one_at_least() -> None:
    assert by_rarity([9000, 10, 3000, 50_000], most=5000) == [1, 2]
    assert by_rarity([9000, 8000], most=5000) == [1]
    assert by_rarity([10, 20], most=5000) == [0, 1]
