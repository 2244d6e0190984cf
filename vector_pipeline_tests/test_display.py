"""What people read in a terminal."""

from __future__ import annotations

from dataclasses import MISSING, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console, RenderableType

from vector_pipeline import display
from vector_pipeline.core.counted import counted
from vector_pipeline.core.money import in_usd
from vector_pipeline.core.reports import DailyBudget, IndexStatus, Lag, SyncReport
from vector_pipeline.core.search import Hit, SearchAnswer
from vector_pipeline.core.search.many import search_across
from vector_pipeline.core.search.request import SearchRequest
from vector_pipeline.core.spec import SearchMode


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


@pytest.mark.parametrize(
    ("mode", "filtered", "told"),
    [
        ("vector", False, "nothing scores above 0.35; try other words, or a lower --threshold"),
        ("vector", True, "nothing that passes the filter scores above 0.35; try other words, another filter, or a"),
        ("text", False, "nothing has these words"),
        ("text", True, "nothing that passes the filter has these words; try other words, or another filter"),
        ("hybrid", True, "nothing that passes the filter has these words, and nothing that passes the filter scores"),
    ],
)
def test_an_answer_without_hits_names_the_filter_as_a_reason_where_there_is_one(
    mode: SearchMode, filtered: bool, told: str
) -> None:
    answer = SearchAnswer("faq", "fish", (), 3, 0.35, 0.1, mode=mode, filtered=filtered)
    assert shown(display.search_answer(answer)).startswith(told)


@pytest.mark.parametrize("filtered", [False, True])
def test_where_no_index_has_a_hit_a_filter_is_named_as_a_reason(filtered: bool) -> None:
    empty = SearchAnswer("faq", "fish", (), 3, 0.35, 0.1, filtered=filtered)
    told = shown(display.many_answer(search_across({"faq": lambda _: empty}, SearchRequest("fish"))))
    assert ("passes the filter" in told, "or another filter" in told) == (filtered, filtered)


def test_a_document_that_never_had_a_vector_is_not_said_to_have_that_of_an_earlier_text() -> None:
    hit = Hit("7", 0.5, "question", {"question": "fish"}, {}, vector_behind=True)
    changed = SearchAnswer("faq", "fish", (hit,), 3, 0.35, 0.1, mode="text")
    refused = replace(changed, hits=(replace(hit, without_vector=True),))
    assert "its vector is of an earlier text" in shown(display.search_answer(changed))
    assert "key 7 a text of it has no vector" in shown(display.search_answer(refused))


def test_a_status_tells_of_at_least_so_many_rows_behind_and_that_a_spent_budget_pauses_embedding() -> None:
    status = IndexStatus("faq", 2, 1, 9, 1, 1, 0, Lag(1, 1, 5.0), None, None, None, "small", 8, 8)
    behind = shown(display.statuses([status]))
    assert "at least 1 row, 5 s" in behind
    assert "of 1 text │" in behind
    assert "budget" not in behind
    paused = replace(status, budget=DailyBudget("faq", 0.5, 0.5, 0.0, True, None))
    assert "The budget pauses embedding" in shown(display.statuses([paused]))


def test_a_status_says_when_nothing_was_found_to_differ_if_that_is_long_ago() -> None:
    status = IndexStatus("faq", 2, 0, 9, 1, 1, 0, Lag(0, 0, 0.0), None, datetime.now(UTC), None, "small", 8, 8)
    assert "│ nothing │" in shown(display.statuses([status]))
    hours_ago = replace(status, oldest_check_at=datetime.now(UTC) - timedelta(hours=2))
    assert "nothing, as it was 2 h ago" in shown(display.statuses([hours_ago]))


@pytest.mark.parametrize(
    ("amount", "told"), [(0, "0.00 USD"), (0.000035, "0.000035 USD"), (0.123, "0.12 USD"), (1234.5, "1,234.50 USD")]
)
def test_small_amounts_are_told_with_the_digits_that_count(amount: float, told: str) -> None:
    assert in_usd(amount) == told


@pytest.mark.parametrize(("count", "told"), [(0, "0 texts are"), (1, "1 text is"), (1234, "1,234 texts are")])
def test_one_of_a_thing_is_told_in_the_singular(count: int, told: str) -> None:
    assert counted(count, "text is", "texts are") == told
