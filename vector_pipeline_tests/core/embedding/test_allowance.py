"""What the `x-ratelimit-…` headers say."""

from __future__ import annotations

import pytest

from vector_pipeline.core.embedding.allowance import Allowance, Remaining, duration_seconds, read_allowance


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1s", 1), ("6m0s", 360), ("120ms", 0.12), ("1h2m3s", 3723), ("1.5s", 1.5), ("2", 2), ("0s", 0), ("1d", 86400)],
)
def test_durations_are_read_as_openai_writes_them(text: str, seconds: float) -> None:
    assert duration_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "soon", "1 s", "-1s", "1s!", "s"])
def test_what_is_no_duration_says_nothing(text: str) -> None:
    assert duration_seconds(text) is None


def test_requests_and_tokens_have_limits_of_their_own() -> None:
    headers = {
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "6m0s",
    }
    assert read_allowance(headers) == Allowance(Remaining(59, 1.0), Remaining(0, 360.0))


@pytest.mark.parametrize("headers", [{}, {"x-ratelimit-remaining-requests": "3"}, {"x-ratelimit-reset-tokens": "1s"}])
def test_half_of_a_limit_says_nothing(headers: dict[str, str]) -> None:
    assert read_allowance(headers) is None


def test_a_negative_number_is_no_limit() -> None:
    assert read_allowance({"x-ratelimit-remaining-tokens": "-1", "x-ratelimit-reset-tokens": "60"}) is None
