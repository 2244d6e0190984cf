"""What `doctor` finds: one sentence each, whether it is good, and what to do if it isn't."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """`NOTE` is a fact without a judgement; only `WRONG` keeps an index from working."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `remedy` is empty where nothing is to be done."""

    what: str
    verdict: Verdict
    found: str
    remedy: str = ""
