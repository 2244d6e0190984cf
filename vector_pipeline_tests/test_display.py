"""What people read in a terminal."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

from rich.console import Console, RenderableType

from vector_pipeline import display
from vector_pipeline.core.reports import SyncReport


def shown(what: RenderableType) -> str:
    """As it is printed, on one line."""
    console = Console(width=200)
    with console.capture() as captured:
        console.print(what)
    return " ".join(captured.get().split())


def synced(**facts: Any) -> SyncReport:
    counted = [one.name for one in fields(SyncReport) if one.default is MISSING and one.default_factory is MISSING]
    return SyncReport(**(dict.fromkeys(counted, 0) | {"index": "faq", "seconds": 0.2} | facts))


def test_a_sync_says_that_everything_is_in_step_only_where_no_generation_was_built_or_waits() -> None:
    assert shown(display.sync_report(synced())) == "faq: nothing to sync, every range is in step (0.2 s)"
    switched = shown(display.sync_report(synced(switched_to=5, texts_needed=3)))
    assert switched.endswith("generation 5 was built and is served")
    below = shown(display.sync_report(synced(building=5, obstacles=("golden set: mrr is 0.500, below 0.7",))))
    assert below == (
        "faq: no key range was dirty (0.2 s) generation 5 is not served yet: golden set: mrr is 0.500, below 0.7"
    )
