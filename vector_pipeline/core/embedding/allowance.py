"""What is left of a provider's rate limit, as its `x-ratelimit-…` headers say.

The headers are OpenAI's (https://platform.openai.com/docs/guides/rate-limits, "Rate limits in headers"), which many
compatible servers send too: `x-ratelimit-remaining-requests: 59`, `x-ratelimit-reset-requests: 6m0s`, and the same
for tokens.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_UNIT_SECONDS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|d|h|m|s)")
_DURATION = re.compile(rf"(?:{_PART.pattern})+")


@dataclass(frozen=True)
class Remaining:
    """So much is left, and all of it is back after so many seconds."""

    count: int
    reset_seconds: float


@dataclass(frozen=True)
class Allowance:
    """What may still be asked for; None where the provider did not say."""

    requests: Remaining | None = None
    tokens: Remaining | None = None


def read_allowance(headers: Mapping[str, str]) -> Allowance | None:
    """The allowance that the headers tell; None if they tell nothing that can be understood."""
    requests, tokens = _remaining(headers, "requests"), _remaining(headers, "tokens")
    return Allowance(requests, tokens) if requests or tokens else None


def _remaining(headers: Mapping[str, str], what: str) -> Remaining | None:
    count = headers.get(f"x-ratelimit-remaining-{what}", "").strip()
    seconds = duration_seconds(headers.get(f"x-ratelimit-reset-{what}", ""))
    # Azure writes -1 where it does not count (openai/openai-dotnet#838).
    if not re.fullmatch(r"\d{1,18}", count) or seconds is None:
        return None
    return Remaining(int(count), seconds)


def duration_seconds(text: str) -> float | None:
    """Seconds of a duration as Go prints it (`1s`, `6m0s`, `120ms`) or of a bare number of seconds; else None."""
    text = text.strip()
    if re.fullmatch(r"\d+(?:\.\d+)?", text):
        return float(text)
    if not _DURATION.fullmatch(text):
        return None
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in _PART.findall(text))
