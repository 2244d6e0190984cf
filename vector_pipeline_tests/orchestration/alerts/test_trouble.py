"""What is told, and when: once for a thing that fails, once when it is over, and nothing is lost meanwhile."""

from __future__ import annotations

from vector_pipeline.orchestration.alerts.trouble import Memory, Trouble, silent_channels

PARITY = Trouble(key="parity", index="faq", what="check parity fails", since=100.0)
LAG = Trouble(key="lag", index="faq", what="check freshness fails", since=110.0)


def remembering(*names: str) -> Memory:
    return Memory().with_channels(names)


def told(memory: Memory, name: str) -> Memory:
    return memory.model_copy(update={"channels": memory.channels | {name: memory.channels[name].told()}})


def refused(memory: Memory, name: str, now: float) -> Memory:
    return memory.model_copy(update={"channels": memory.channels | {name: memory.channels[name].refused(now)}})


def untold(memory: Memory, name: str) -> dict[str, bool]:
    """What the channel has to be told of, and whether that it is over."""
    return {key: news.over_at is not None for key, news in memory.channels[name].untold.items()}


def test_a_thing_that_goes_on_failing_is_told_once() -> None:
    memory = told(remembering("Slack").with_troubles({"parity": PARITY}, 100.0), "Slack")
    later = PARITY.model_copy(update={"since": 130.0})
    memory = memory.with_troubles({"parity": later}, 130.0)
    assert untold(memory, "Slack") == {}
    assert memory.troubles["parity"].since == 100.0


def test_what_is_well_again_is_told_once() -> None:
    memory = told(remembering("Slack").with_troubles({"parity": PARITY, "lag": LAG}, 100.0), "Slack")
    memory = memory.with_troubles({"lag": LAG}, 200.0)
    assert untold(memory, "Slack") == {"parity": True}
    memory = told(memory, "Slack").with_troubles({"lag": LAG}, 230.0)
    assert untold(memory, "Slack") == {}


def test_what_failed_and_recovered_while_a_channel_was_down_is_told_by_it_later() -> None:
    memory = refused(remembering("Slack", "e-mail").with_troubles({"parity": PARITY}, 100.0), "e-mail", 100.0)
    memory = told(memory, "Slack").with_troubles({}, 200.0)
    [news] = memory.channels["e-mail"].untold.values()
    assert (news.trouble.since, news.over_at) == (100.0, 200.0)


def test_what_fails_again_before_it_was_told_to_be_over_is_told_to_fail() -> None:
    memory = told(remembering("Slack").with_troubles({"parity": PARITY}, 100.0), "Slack").with_troubles({}, 200.0)
    assert untold(memory.with_troubles({"parity": PARITY}, 230.0), "Slack") == {"parity": False}


def test_a_channel_that_refuses_is_asked_again_after_a_growing_pause() -> None:
    memory = remembering("Slack").with_troubles({"parity": PARITY}, 0.0)
    pauses = []
    for _ in range(8):
        memory = refused(memory, "Slack", 0.0)
        pauses.append(memory.channels["Slack"].not_before)
    assert pauses == [30.0, 60.0, 120.0, 240.0, 480.0, 900.0, 900.0, 900.0]
    assert untold(memory, "Slack") == {"parity": False}


def test_a_channel_that_refuses_three_times_is_told_of_by_the_others() -> None:
    memory = remembering("Slack", "e-mail").with_troubles({"parity": PARITY}, 0.0)
    for _ in range(3):
        assert silent_channels(memory) == {}
        memory = refused(memory, "Slack", 5.0)
    memory = memory.with_troubles({"parity": PARITY} | silent_channels(memory), 10.0)
    assert "channel Slack" in memory.channels["e-mail"].untold


def test_a_channel_that_is_set_up_later_is_told_what_fails_then() -> None:
    memory = told(remembering("Slack").with_troubles({"parity": PARITY}, 0.0), "Slack")
    assert untold(memory.with_channels(["Slack", "e-mail"]), "e-mail") == {"parity": False}


def test_a_warning_that_becomes_serious_is_told_again_and_once() -> None:
    warning = PARITY.model_copy(update={"serious": False})
    memory = told(remembering("Slack").with_troubles({"parity": warning}, 100.0), "Slack")
    memory = memory.with_troubles({"parity": PARITY.model_copy(update={"since": 130.0})}, 130.0)
    [news] = memory.channels["Slack"].untold.values()
    assert (news.trouble.serious, news.trouble.since, news.over_at) == (True, 100.0, None)
    memory = told(memory, "Slack").with_troubles({"parity": warning}, 160.0)
    assert untold(memory.with_troubles({"parity": PARITY}, 190.0), "Slack") == {}
