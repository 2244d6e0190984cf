"""When a provider that is down is asked, and when not."""

from __future__ import annotations

from vector_pipeline.core.embedding.breaker import FAILURES_BEFORE_OPENING, FIRST_PROBE_SECONDS, Breaker


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES_BEFORE_OPENING):
        breaker.failed(now)
    return breaker


def test_it_opens_after_failures_in_a_row() -> None:
    breaker = Breaker()
    for _ in range(FAILURES_BEFORE_OPENING - 1):
        breaker.failed(0.0)
    assert not breaker.is_open
    breaker.failed(0.0)
    assert breaker.is_open


def test_an_answer_between_failures_keeps_it_closed() -> None:
    breaker = Breaker()
    for _ in range(10):
        breaker.failed(0.0)
        breaker.answered()
    assert not breaker.is_open


def test_one_probe_at_a_time() -> None:
    breaker = opened()
    assert breaker.seconds_until_probe(FIRST_PROBE_SECONDS) == 0
    breaker.begin_probe()
    assert breaker.seconds_until_probe(100.0) is None


def test_a_probe_that_is_answered_closes_it() -> None:
    breaker = opened()
    breaker.begin_probe()
    breaker.answered()
    assert not breaker.is_open
    assert breaker.open_seconds(50.0) == 0


def test_a_minute_of_outage_costs_four_probes_in_vain() -> None:
    breaker, now, probes = opened(), 0.0, []
    while now < 60:
        wait = breaker.seconds_until_probe(now)
        assert wait is not None
        now += wait
        breaker.begin_probe()
        breaker.failed(now, probe=True)
        probes.append(now)
    assert probes == [2.0, 6.0, 14.0, 30.0, 60.0]


def test_what_was_under_way_when_it_opened_does_not_put_the_probe_off() -> None:
    breaker = opened(now=0.0)
    breaker.failed(1.5)
    assert breaker.seconds_until_probe(FIRST_PROBE_SECONDS) == 0


def test_a_second_outage_is_probed_as_soon_as_the_first() -> None:
    breaker = opened()
    for moment in (2.0, 6.0):
        breaker.begin_probe()
        breaker.failed(moment, probe=True)
    breaker.answered()
    for _ in range(FAILURES_BEFORE_OPENING):
        breaker.failed(100.0)
    assert breaker.seconds_until_probe(100.0) == FIRST_PROBE_SECONDS
