"""Patience with a provider that is down, and halving of batches that it refuses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vector_pipeline.core.embedding.openai_compatible import OpenAICompatibleProvider
from vector_pipeline.core.embedding.requesting import (
    HARMLESS_TEXT,
    Embedded,
    Outcome,
    Refused,
    request_halving,
    request_with_patience,
)
from vector_pipeline.core.errors import (
    DishonestAnswerError,
    ProviderRefusedError,
    ProviderRejectsUsError,
    ProviderUnavailableError,
)
from vector_pipeline_tests.misbehaving_answers import GIVE_NOTHING, POISON, STUMBLE, vectors_of
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider


class Pauses(list[float]):
    """A sleep that only remembers."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


class Bench:
    """A server, a provider on it, and what was counted and slept."""

    def __init__(self, server: MisbehavingProvider) -> None:
        self.server = server
        self.provider = OpenAICompatibleProvider(server.url, server.model, timeout_seconds=20)
        self.pauses = Pauses()
        self.tokens: list[int | None] = []

    def ask(self, texts: list[str], attempts: int = 5) -> int:
        batch = request_with_patience(self.provider, texts, attempts, self.pauses, self.tokens.append)
        return len(batch.vectors)

    def halve(self, texts: list[str], attempts: int = 5) -> list[Outcome]:
        return list(request_halving(self.provider, texts, attempts, self.tokens.append, self.pauses))


@pytest.fixture
def bench() -> Iterator[Bench]:
    with MisbehavingProvider(dimensions=8) as server:
        yield Bench(server)


def numbered(count: int, *, bad: dict[int, str] | None = None) -> list[str]:
    return [f"text {i} {(bad or {}).get(i, '')}".strip() for i in range(count)]


def refused(outcomes: list[Outcome]) -> list[int]:
    return sorted(outcome.position for outcome in outcomes if isinstance(outcome, Refused))


def assert_each_text_once_with_its_vector(outcomes: list[Outcome], texts: list[str]) -> None:
    seen = refused(outcomes)
    for outcome in outcomes:
        if isinstance(outcome, Embedded):
            seen += outcome.positions
            expected = vectors_of([texts[i] for i in outcome.positions], 8)
            assert (outcome.batch.vectors == expected).all()
    assert sorted(seen) == list(range(len(texts)))


def test_an_overloaded_provider_is_asked_again_after_the_pause_that_it_wants(bench: Bench) -> None:
    bench.server.behave("status", requests=2, status=429, retry_after="3")
    assert bench.ask(["a", "b"]) == 2
    assert [round(pause) for pause in bench.pauses] == [3, 3]
    assert min(bench.pauses) >= 3


def test_a_pause_that_the_provider_wants_is_not_longer_than_two_minutes(bench: Bench) -> None:
    bench.server.behave("status", requests=1, retry_after="86400")
    bench.ask(["a"])
    assert 120 <= bench.pauses[0] < 121


def test_pauses_grow_while_the_provider_stays_down(bench: Bench) -> None:
    bench.server.behave("status", status=500)
    with pytest.raises(ProviderUnavailableError, match="HTTP 500"):
        bench.ask(["a"], attempts=10)
    assert bench.server.requests == 10
    assert 0.5 <= bench.pauses[0] <= 1
    assert bench.pauses[:6] == sorted(bench.pauses[:6])
    assert max(bench.pauses) <= 30


def test_an_answer_that_broke_on_its_way_is_asked_for_again(bench: Bench) -> None:
    bench.server.behave("truncate", requests=1)
    assert bench.ask(["a"]) == 1
    assert bench.server.requests == 2


def test_a_refused_request_is_not_repeated(bench: Bench) -> None:
    with pytest.raises(ProviderRefusedError):
        bench.ask([POISON])
    assert bench.server.requests == 1
    assert bench.pauses == []


def test_requests_are_counted_also_those_that_failed(bench: Bench) -> None:
    bench.server.behave("status", requests=2, status=503)
    bench.ask(["one two", "three"])
    assert bench.tokens == [None, None, 3]


def test_a_good_batch_costs_one_request(bench: Bench) -> None:
    texts = numbered(128)
    outcomes = bench.halve(texts)
    assert bench.server.requests == len(bench.tokens) == len(outcomes) == 1
    assert_each_text_once_with_its_vector(outcomes, texts)


def test_no_texts_cost_no_request(bench: Bench) -> None:
    assert bench.halve([]) == []
    assert bench.server.requests == 0


@pytest.mark.parametrize("position", [0, 63, 64, 127])
def test_one_bad_text_among_128_is_found_with_15_requests(bench: Bench, position: int) -> None:
    texts = numbered(128, bad={position: POISON})
    outcomes = bench.halve(texts)
    assert refused(outcomes) == [position]
    assert bench.server.requests == 15
    assert_each_text_once_with_its_vector(outcomes, texts)


def test_several_bad_texts_are_found_and_nothing_else_is_lost(bench: Bench) -> None:
    bad = {0: POISON, 1: POISON, 30: POISON, 99: POISON}
    texts = numbered(100, bad=bad)
    outcomes = bench.halve(texts)
    assert refused(outcomes) == sorted(bad)
    assert_each_text_once_with_its_vector(outcomes, texts)


def test_a_refused_text_comes_with_the_words_of_the_provider(bench: Bench) -> None:
    (outcome,) = bench.halve([POISON])
    assert outcome == Refused(0, "HTTP 400: input[0] is not to be embedded")


def test_a_text_that_spoils_every_answer_is_found_like_a_refused_one(bench: Bench) -> None:
    texts = numbered(16, bad={5: GIVE_NOTHING})
    outcomes = bench.halve(texts)
    assert refused(outcomes) == [5]
    assert_each_text_once_with_its_vector(outcomes, texts)
    assert "no JSON" in next(outcome.message for outcome in outcomes if isinstance(outcome, Refused))


def test_a_batch_of_bad_texts_only_is_refused_after_a_harmless_one_was_accepted(bench: Bench) -> None:
    outcomes = bench.halve([POISON + str(i) for i in range(4)])
    assert refused(outcomes) == [0, 1, 2, 3]
    assert bench.server.times_sent(HARMLESS_TEXT) == 1


def test_no_text_is_blamed_by_a_provider_that_refuses_everything(bench: Bench) -> None:
    bench.server.behave("status", status=400, message="no such model")
    with pytest.raises(ProviderRejectsUsError, match="no such model"):
        bench.halve(numbered(128))
    assert bench.server.requests == 4


def test_no_text_is_blamed_by_a_provider_that_answers_everything_with_a_web_page(bench: Bench) -> None:
    bench.server.behave("html")
    with pytest.raises(DishonestAnswerError, match="maintenance"):
        bench.halve(["a single text"], attempts=3)


def test_what_was_embedded_before_the_provider_went_down_is_kept(bench: Bench) -> None:
    outcomes = request_halving(bench.provider, numbered(8, bad={7: POISON}), 2, bench.tokens.append, bench.pauses)
    assert next(outcomes).positions == range(4)  # type: ignore[union-attr]
    bench.server.behave("status", status=503)
    with pytest.raises(ProviderUnavailableError):
        next(outcomes)


def test_a_text_over_which_the_server_stumbles_is_found_like_a_refused_one(bench: Bench) -> None:
    texts = numbered(16, bad={5: STUMBLE})
    outcomes = bench.halve(texts)
    assert refused(outcomes) == [5]
    assert_each_text_once_with_its_vector(outcomes, texts)
    [message] = [outcome.message for outcome in outcomes if isinstance(outcome, Refused)]
    assert "HTTP 500: input is too large to process" in message


def test_a_single_text_over_which_the_server_stumbles_is_blamed_where_it_is_up(bench: Bench) -> None:
    assert refused(bench.halve([STUMBLE], attempts=1)) == [0]
    assert bench.server.times_sent(HARMLESS_TEXT) == 2


def test_no_text_is_blamed_by_a_server_that_was_down_until_the_harmless_text_came(bench: Bench) -> None:
    bench.server.behave("status", status=500, requests=3)
    texts = ["a"]
    outcomes = bench.halve(texts, attempts=3)
    assert_each_text_once_with_its_vector(outcomes, texts)


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_no_text_is_blamed_by_a_server_that_is_down(bench: Bench, status: int) -> None:
    bench.server.behave("status", status=status)
    with pytest.raises(ProviderUnavailableError, match=f"HTTP {status}"):
        bench.halve(numbered(8), attempts=3)
    assert bench.server.requests == (4 if status in (500, 502) else 3)
