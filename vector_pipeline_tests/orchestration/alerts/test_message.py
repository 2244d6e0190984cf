"""The words of an alert."""

from __future__ import annotations

from vector_pipeline.orchestration.alerts.message import compose
from vector_pipeline.orchestration.alerts.settings import AlertSettings
from vector_pipeline.orchestration.alerts.trouble import News, Trouble

SETTINGS = AlertSettings(ui_url="https://dagster.example.org", docs_url="https://git.example.org/docs")
PARITY = Trouble(
    key="parity",
    index="faq",
    what="check parity of faq/search_index fails",
    detail="rows_differing 3",
    since=1_790_000_000.0,
    path="/runs/abc",
    runbook="operations.md#parity-fails",
)


def test_an_alert_names_the_index_where_to_look_and_what_to_do() -> None:
    message = compose([News(trouble=PARITY)], SETTINGS)
    assert message.subject == "[vector-pipeline] FAILS: index faq: check parity of faq/search_index fails"
    assert message.text.splitlines() == [
        "FAILS: index faq: check parity of faq/search_index fails",
        "Since 2026-09-21 14:13 UTC.",
        "rows_differing 3",
        "See: https://dagster.example.org/runs/abc",
        "Do: https://git.example.org/docs/operations.md#parity-fails",
    ]


def test_what_is_over_says_for_how_long_it_failed() -> None:
    message = compose([News(trouble=PARITY, over_at=PARITY.since + 600)], SETTINGS)
    assert message.subject.startswith("[vector-pipeline] OVER: index faq")
    assert "It failed from 2026-09-21 14:13 UTC to 2026-09-21 14:23 UTC." in message.text


def test_a_hundred_things_are_one_message_that_names_them_all_serious_ones_first() -> None:
    things = [
        News(trouble=PARITY.model_copy(update={"key": str(n), "what": f"thing {n} fails", "serious": n == 50}))
        for n in range(100)
    ]
    message = compose(things, SETTINGS)
    assert message.subject == "[vector-pipeline] 100 things fail"
    assert message.text.startswith("FAILS: index faq: thing 50 fails")
    assert all(f"thing {n} fails" in message.text for n in range(100))
    assert len(message.text) < 10_000
