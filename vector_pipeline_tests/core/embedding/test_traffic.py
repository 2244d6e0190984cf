"""All requests to one endpoint share one pace and one circuit breaker, against a real server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from vector_pipeline.core.embedding.breaker import FAILURES_BEFORE_OPENING
from vector_pipeline.core.embedding.openai_compatible import OpenAICompatibleProvider
from vector_pipeline.core.embedding.provider import EmbeddedBatch
from vector_pipeline.core.embedding.requesting import HARMLESS_TEXT, request_with_patience
from vector_pipeline.core.embedding.traffic import PacedProvider, Traffic, traffic_of
from vector_pipeline.core.errors import (
    BudgetInUseError,
    ProviderDownError,
    ProviderRefusedError,
    ProviderUnavailableError,
    SyncAbandonedError,
)
from vector_pipeline_tests.counting_provider import CountingProvider
from vector_pipeline_tests.misbehaving_answers import POISON
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider


@pytest.fixture
def server() -> Iterator[MisbehavingProvider]:
    with MisbehavingProvider(dimensions=8) as server:
        yield server


def provider_on(server: MisbehavingProvider, **options: object) -> OpenAICompatibleProvider:
    return OpenAICompatibleProvider(server.url, server.model, timeout_seconds=20, **options)  # type: ignore[arg-type]


def break_it(provider: PacedProvider) -> None:
    for _ in range(FAILURES_BEFORE_OPENING):
        with pytest.raises(ProviderUnavailableError):
            provider.embed(["a"])


def test_a_provider_that_is_down_is_left_alone_until_patience_is_at_its_end(server: MisbehavingProvider) -> None:
    paced = PacedProvider(provider_on(server), patience_seconds=0.3)
    server.behave("status", status=502)
    break_it(paced)
    with pytest.raises(ProviderDownError, match=r"has been down for 0 s \(5 requests in a row failed.*HTTP 502"):
        paced.embed(["a"])
    assert server.requests == FAILURES_BEFORE_OPENING


def test_patience_at_its_end_is_not_tried_again(server: MisbehavingProvider) -> None:
    paced = PacedProvider(provider_on(server), patience_seconds=0.1)
    server.behave("reset")
    break_it(paced)
    pauses: list[float] = []
    with pytest.raises(ProviderDownError):
        request_with_patience(paced, ["a"], attempts=5, sleep=pauses.append)
    assert pauses == []


def test_one_harmless_probe_shows_all_who_wait_that_it_is_up_again(server: MisbehavingProvider) -> None:
    counted: list[int | None] = []
    paced = PacedProvider(provider_on(server), on_request=counted.append)
    server.behave("status", status=500)
    break_it(paced)
    server.behave("well")
    with ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(lambda i: paced.embed([f"text {i}"]), range(4)))) == 4
    assert server.times_sent(HARMLESS_TEXT) == 1
    assert server.requests == FAILURES_BEFORE_OPENING + 1 + 4
    assert counted == [1]
    assert not traffic_of(provider_on(server)).is_down


def test_one_that_comes_after_patience_was_at_its_end_asks_whether_it_is_up_again() -> None:
    seconds = 0.0
    traffic = Traffic(2, clock=lambda: seconds)
    for _ in range(FAILURES_BEFORE_OPENING):
        sent_at = traffic.wait_for_turn("it", 300, lambda: False)
        assert sent_at is not None
        traffic.note_error(sent_at, ProviderUnavailableError("it stumbled", status=502))
    seconds = 4000.0
    assert traffic.wait_for_turn("it", 300, lambda: False) is None
    with ThreadPoolExecutor(1) as pool:
        # While the probe is under way nobody knows better, so that nobody gives up.
        other = pool.submit(traffic.wait_for_turn, "it", 300, lambda: False)
        traffic.note_probe(None)
        assert other.result(timeout=10) == seconds


def test_patience_that_was_at_its_end_stays_so_until_the_next_probe_is_due() -> None:
    seconds = 0.0
    traffic = Traffic(2, clock=lambda: seconds)
    for _ in range(FAILURES_BEFORE_OPENING):
        traffic.wait_for_turn("it", 300, lambda: False)
        traffic.note_error(seconds, ProviderUnavailableError("it stumbled", status=502))
    seconds = 4000.0
    traffic.wait_for_turn("it", 300, lambda: False)
    traffic.note_probe(ProviderUnavailableError("it is down", status=502))
    with pytest.raises(ProviderDownError, match="down for 4000 s"):
        traffic.wait_for_turn("it", 300, lambda: False)


def test_a_refused_text_does_not_make_a_provider_down(server: MisbehavingProvider) -> None:
    paced = PacedProvider(provider_on(server))
    for _ in range(2 * FAILURES_BEFORE_OPENING):
        with pytest.raises(ProviderRefusedError):
            paced.embed([POISON])
    assert len(paced.embed(["a"]).vectors) == 1


def test_other_providers_go_on(server: MisbehavingProvider) -> None:
    with MisbehavingProvider(dimensions=8) as other:
        server.behave("reset")
        break_it(PacedProvider(provider_on(server)))
        assert len(PacedProvider(provider_on(other)).embed(["a"]).vectors) == 1


def test_an_endpoint_is_a_host_a_model_and_a_key(server: MisbehavingProvider) -> None:
    same = [traffic_of(provider_on(server, api_key="one")) for _ in range(2)]
    assert same[0] is same[1]
    assert traffic_of(provider_on(server, api_key="two")) is not same[0]
    assert "one" not in provider_on(server, api_key="one").endpoint


def test_a_provider_without_an_endpoint_has_a_traffic_of_its_own() -> None:
    first, second = CountingProvider(), CountingProvider()
    assert traffic_of(first) is traffic_of(first)
    assert traffic_of(first) is not traffic_of(second)


def test_who_waits_for_a_provider_that_is_down_ends_with_its_sync(server: MisbehavingProvider) -> None:
    over = threading.Event()
    paced = PacedProvider(provider_on(server), abandoned=over.is_set)
    server.behave("reset")
    break_it(paced)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(paced.embed, ["a"])
        over.set()
        with pytest.raises(SyncAbandonedError):
            waiting.result(timeout=10)


class OnASharedBudget(CountingProvider):
    """Sends a second request only when the first is paid, as a budget may have it; one request goes at a time."""

    requests_in_flight = 1

    def __init__(self, endpoint: str) -> None:
        super().__init__()
        self.endpoint = endpoint
        self.in_use = threading.Event()
        self.paid_for = threading.Event()

    def embed(self, texts: Sequence[str]) -> EmbeddedBatch:
        if not self.paid_for.is_set():
            self.in_use.set()
            raise BudgetInUseError("another is under way", self.paid_for.wait)
        return super().embed(texts)


def test_who_waits_for_the_budget_keeps_nobody_from_asking() -> None:
    waiting, other = OnASharedBudget("one at a time"), OnASharedBudget("one at a time")
    other.paid_for.set()
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(PacedProvider(waiting).embed, ["dear"])
        assert waiting.in_use.wait(10)
        assert len(PacedProvider(other).embed(["cheap"]).vectors) == 1
        waiting.paid_for.set()
        assert len(late.result(timeout=10).vectors) == 1
    assert waiting.paid == {"dear": 1}


def test_where_nothing_is_left_by_its_headers_a_provider_has_nothing_to_refuse(server: MisbehavingProvider) -> None:
    server.requests_per_second = 10
    server.tells_what_is_left = True
    paced = PacedProvider(provider_on(server, requests_in_flight=1))
    started = time.monotonic()
    for number in range(25):
        paced.embed([f"text {number}"])
    assert server.stats()["refused_by_rate"] == 0
    assert time.monotonic() - started > 1.0
