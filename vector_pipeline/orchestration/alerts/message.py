"""The words of an alert: index, what fails, where to see it, what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from vector_pipeline.core.counted import counted
from vector_pipeline.orchestration.alerts.settings import AlertSettings
from vector_pipeline.orchestration.alerts.trouble import News, Trouble

# Slack takes some 40,000 characters, a telephone shows fewer.
_MOST_IN_FULL = 20
_MOST_PARTITIONS = 10


@dataclass(frozen=True)
class Message:
    """What is sent, as plain text."""

    subject: str
    text: str


def compose(news: Sequence[News], settings: AlertSettings) -> Message:
    """One message for all that there is to tell; what fails comes first, the serious before the rest."""
    ordered = sorted(news, key=lambda one: (one.over_at is not None, not one.trouble.serious, one.trouble.since))
    failing = [one for one in ordered if one.over_at is None]
    over = len(ordered) - len(failing)
    if len(ordered) == 1:
        subject = _title(ordered[0])
    else:
        parts = [counted(len(failing), "thing fails", "things fail")] if failing else []
        subject = ", ".join([*parts, *([f"{over} over"] if over else [])])
    blocks = [_block(one, settings) for one in ordered[:_MOST_IN_FULL]]
    blocks += [f"{_title(one)}" for one in ordered[_MOST_IN_FULL:]]
    return Message(f"[vector-pipeline] {subject}", "\n\n".join(blocks))


def _title(news: News) -> str:
    trouble = news.trouble
    word = "OVER" if news.over_at is not None else "FAILS" if trouble.serious else "WARNING"
    return f"{word}: {f'index {trouble.index}: ' if trouble.index else ''}{trouble.what}"


def _block(news: News, settings: AlertSettings) -> str:
    trouble = news.trouble
    lines = [_title(news)]
    if news.over_at is not None:
        lines.append(f"It failed from {_moment(trouble.since)} to {_moment(news.over_at)}.")
    else:
        lines.append(f"Since {_moment(trouble.since)}.")
        lines += [trouble.detail] if trouble.detail else []
        lines += [_partitions(trouble)] if trouble.partitions else []
    if trouble.path:
        lines.append(f"See: {settings.ui_url}{trouble.path}")
    if news.over_at is None:
        lines.append(f"Do: {settings.docs_url}/{trouble.runbook or 'operations.md'}")
    return "\n".join(lines)


def _partitions(trouble: Trouble) -> str:
    listed = ", ".join(trouble.partitions[:_MOST_PARTITIONS])
    rest = len(trouble.partitions) - _MOST_PARTITIONS
    return f"Partitions: {listed}" + (f" and {rest} more" if rest > 0 else "")


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
