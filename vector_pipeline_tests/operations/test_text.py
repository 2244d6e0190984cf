"""Each runbook says all that it has to, in blocks that the tests can follow."""

from __future__ import annotations

import re

from vector_pipeline.orchestration.alerts import runbooks
from vector_pipeline_tests.operations.runbooks import OPERATIONS, not_seen, read_blocks

TEXT = OPERATIONS.read_text(encoding="utf-8")


def test_each_runbook_says_what_one_sees_what_mends_it_and_how_to_see_that_it_is_over() -> None:
    sections = re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]
    runbooks = [section for section in sections if "**What you see.**" in section]
    assert len(runbooks) >= 7
    for runbook in runbooks:
        title = runbook.splitlines()[0]
        for part in ("**What it means.**", "**What mends it.**", "**How to see that it is over.**"):
            assert runbook.count(part) == 1, (title, part)


def test_alerts_name_runbooks_that_are_there() -> None:
    titles = {title.lower().replace(" ", "-") for title in re.findall(r"^## (.+)$", TEXT, re.MULTILINE)}
    named = {*runbooks.CHECKS.values(), *runbooks.ERRORS.values(), runbooks.FAILING_RUNS, runbooks.FAILING_SENSOR}
    anchors = {name.partition("#")[2] for name in named if name.startswith("operations.md#")}
    assert len(anchors) > 8
    assert anchors - titles == set()


def test_no_block_stands_twice() -> None:
    names = [(block.name, block.part) for block in read_blocks()]
    assert len(names) == len(set(names))
    assert TEXT.count("<!-- runbook:") == len(names)


def test_what_is_not_printed_is_told() -> None:
    assert not not_seen(["a … c", "│ rows  │ 2 …"], "a b\nc\n┃ rows ┃ 2 ┃ x ┃")
    assert not_seen(["a", "b", "a"], "a b") == ["a"]
