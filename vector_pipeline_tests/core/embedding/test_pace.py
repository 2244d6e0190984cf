"""How fast a provider is asked, in a time that the tests make up."""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from vector_pipeline.core.embedding.allowance import Allowance, Remaining
from vector_pipeline.core.embedding.pace import Pace

LetsThrough = Callable[[float], bool]


def fixed_window(a_second: int) -> LetsThrough:
    """So many in each second of the clock."""
    counts: dict[int, int] = {}

    def lets_through(now: float) -> bool:
        counts[int(now)] = counts.get(int(now), 0) + 1
        return counts[int(now)] <= a_second

    return lets_through


def sliding_window(a_second: int) -> LetsThrough:
    """So many within any second."""
    passed: deque[float] = deque()

    def lets_through(now: float) -> bool:
        while passed and passed[0] <= now - 1:
            passed.popleft()
        passes = len(passed) < a_second
        if passes:
            passed.append(now)
        return passes

    return lets_through


def token_bucket(a_second: int) -> LetsThrough:
    """So many a second, and what was saved in a second of quiet."""
    saved, since = float(a_second), 0.0

    def lets_through(now: float) -> bool:
        nonlocal saved, since
        saved, since = min(float(a_second), saved + (now - since) * a_second), now
        passes = saved >= 1
        saved -= passes
        return passes

    return lets_through


@dataclass
class Run:
    answered: int = 0
    answered_after_start: int = 0
    refused: int = 0


START_SECONDS = 10.0
SECONDS = 60.0


def run_against(lets_through: LetsThrough, latency: float, retry_after: float | None) -> Run:
    """Eight senders for a minute; each refused one pauses as `requesting` makes it."""
    pace, chance, found = Pace(8, 0.0), random.Random(1), Run()
    events: list[tuple[float, int, str, float]] = []
    now, idle, number = 0.0, 8, 0
    while now < SECONDS:
        wait = pace.wait_seconds(now) if idle else math.inf
        if wait <= 0:
            pace.sent(now)
            idle, number = idle - 1, number + 1
            heapq.heappush(events, (now + abs(chance.gauss(0, 0.005)), number, "arrives", now))
            continue
        now = min(now + wait, events[0][0] if events else math.inf) + 1e-9
        while events and events[0][0] <= now:
            moment, number_of_it, what, sent_at = heapq.heappop(events)
            if what == "arrives":
                passes = lets_through(moment)
                heapq.heappush(
                    events, (moment + (latency if passes else 0.002), number_of_it, "ok" if passes else "429", sent_at)
                )
            elif what == "ok":
                pace.answered(sent_at, moment)
                found.answered += 1
                found.answered_after_start += moment > START_SECONDS
                idle += 1
            elif what == "429":
                pace.refused(sent_at, moment, retry_after)
                found.refused += 1
                heapq.heappush(events, (moment + (retry_after or 0.75), number_of_it, "back", sent_at))
            else:
                idle += 1
    return found


@pytest.mark.parametrize("retry_after", [None, 1.0])
@pytest.mark.parametrize("latency", [0.01, 0.1])
@pytest.mark.parametrize("limit", [fixed_window, sliding_window, token_bucket])
@pytest.mark.parametrize("a_second", [10, 20, 50])
def test_a_provider_that_allows_so_many_a_second_is_asked_nearly_as_often_and_seldom_refuses(
    a_second: int, limit: Callable[[int], LetsThrough], latency: float, retry_after: float | None
) -> None:
    found = run_against(limit(a_second), latency, retry_after)
    assert found.answered_after_start / (a_second * (SECONDS - START_SECONDS)) > 0.9
    assert found.refused / (found.refused + found.answered) < 0.05


def test_a_provider_without_a_limit_is_asked_as_often_as_declared() -> None:
    found = run_against(lambda _: True, latency=0.1, retry_after=None)
    assert found.refused == 0
    assert found.answered_after_start == pytest.approx(80 * (SECONDS - START_SECONDS), rel=0.08)


def answer(pace: Pace, times: int, now: float = 0.0) -> None:
    for _ in range(times):
        pace.sent(now)
        pace.answered(now, now)


def test_it_begins_with_half_of_what_is_declared_and_grows_to_it_with_a_round_of_answers() -> None:
    pace = Pace(32, 0.0)
    assert pace.concurrency == 16
    answer(pace, 16)
    assert pace.concurrency == 32
    answer(pace, 100)
    assert pace.concurrency == 32


def test_requests_that_are_too_slow_together_halve_it_once() -> None:
    pace = Pace(8, 0.0)
    answer(pace, 8)
    for _ in range(8):
        pace.sent(1.0)
    for _ in range(8):
        pace.too_slow(1.0, 61.0)
    assert pace.concurrency == 4


def test_after_a_cut_it_grows_by_one_a_round() -> None:
    pace = Pace(16, 0.0)
    answer(pace, 16)
    pace.sent(1.0)
    pace.too_slow(1.0, 2.0)
    assert pace.concurrency == 8
    answer(pace, 9, now=3.0)
    assert pace.concurrency == 9


def test_nothing_is_sent_while_as_many_as_may_be_are_under_way() -> None:
    pace = Pace(1, 0.0)
    pace.sent(0.0)
    assert pace.wait_seconds(0.0) == math.inf
    pace.answered(0.0, 1.0)
    assert pace.wait_seconds(1.0) == 0


@pytest.mark.parametrize(("asked", "waited"), [(7.0, 7.0), (86_400.0, 120.0)])
def test_nobody_sends_until_the_pause_that_the_provider_wants_is_over(asked: float, waited: float) -> None:
    pace = Pace(8, 0.0)
    pace.sent(0.0)
    pace.refused(0.0, 1.0, asked)
    assert pace.wait_seconds(1.0) == pytest.approx(waited)


def test_where_no_request_is_left_it_waits_until_they_are_back() -> None:
    pace = Pace(8, 0.0)
    pace.sent(0.0)
    pace.answered(0.0, 1.0, Allowance(requests=Remaining(0, 6.0)))
    assert pace.wait_seconds(1.0) == pytest.approx(6)
    assert pace.wait_seconds(7.0) == 0


def test_as_many_requests_are_sent_as_are_left() -> None:
    pace = Pace(8, 0.0)
    pace.sent(0.0)
    pace.answered(0.0, 1.0, Allowance(requests=Remaining(2, 30.0)))
    for _ in range(2):
        assert pace.wait_seconds(1.0) == 0
        pace.sent(1.0)
    assert pace.wait_seconds(1.0) == pytest.approx(30)


def test_where_fewer_tokens_are_left_than_a_request_has_it_waits_until_they_are_back() -> None:
    pace = Pace(8, 0.0)
    pace.sent(0.0)
    pace.answered(0.0, 1.0, Allowance(tokens=Remaining(500, 0.12)), tokens=1000)
    assert pace.wait_seconds(1.0) == pytest.approx(0.12)


def test_the_word_of_an_older_request_does_not_replace_that_of_a_newer_one() -> None:
    pace = Pace(8, 0.0)
    pace.sent(0.0)
    pace.sent(1.0)
    pace.answered(1.0, 2.0, Allowance(requests=Remaining(0, 60.0)))
    pace.answered(0.0, 2.0, Allowance(requests=Remaining(50, 60.0)))
    assert pace.wait_seconds(2.0) == pytest.approx(60)
