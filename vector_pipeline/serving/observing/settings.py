"""What is logged and measured, from the variables that `.env.example` documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from vector_pipeline.core.errors import ConfigurationError

LogFormat = Literal["plain", "json"]

_PREFIX = "VECTOR_PIPELINE_"
_YES, _NO = frozenset({"1", "true", "yes", "on"}), frozenset({"", "0", "false", "no", "off"})


@dataclass(frozen=True)
class ObservingSettings:
    """All that the environment says of it.

    Attributes:
        log_format: lines for people, or an object of JSON a line.
        log_queries: the line of a search has the words that were searched for.
        metrics_seconds: the metrics of indexes are read from PostgreSQL no more often.
    """

    log_format: LogFormat = "plain"
    log_queries: bool = False
    metrics_seconds: int = 30


def read_observing_settings(variables: Mapping[str, str]) -> ObservingSettings:
    """Reads the variables.

    Raises:
        ConfigurationError: naming the one that is unusable.
    """
    usual = ObservingSettings()
    return ObservingSettings(
        log_format=_format(variables.get(f"{_PREFIX}LOG_FORMAT") or usual.log_format),
        log_queries=_is_on(variables, "LOG_QUERIES"),
        metrics_seconds=_seconds(variables, "METRICS_SECONDS", usual.metrics_seconds),
    )


def _format(text: str) -> LogFormat:
    for known in get_args(LogFormat):
        if text.lower() == known:
            chosen: LogFormat = known
            return chosen
    raise ConfigurationError(f"{_PREFIX}LOG_FORMAT is {text!r}: name one of {', '.join(get_args(LogFormat))}")


def _is_on(variables: Mapping[str, str], name: str) -> bool:
    text = variables.get(f"{_PREFIX}{name}", "").strip().lower()
    if text not in _YES | _NO:
        raise ConfigurationError(f"{_PREFIX}{name} is {text!r}: write true or false")
    return text in _YES


def _seconds(variables: Mapping[str, str], name: str, usual: int) -> int:
    text = variables.get(f"{_PREFIX}{name}")
    if not text:
        return usual
    if not text.isdecimal() or int(text) < 1:
        raise ConfigurationError(f"{_PREFIX}{name} is {text!r}: give a whole number above 0")
    return int(text)
