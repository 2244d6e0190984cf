"""Somebody who follows a runbook to the letter: looks for what it says one sees, types what it says, looks again."""

from __future__ import annotations

import time
from collections.abc import Callable

from vector_pipeline_tests.operations.runbooks import Block, block_of, not_seen, read_blocks
from vector_pipeline_tests.operations.site import Site

# A run takes up to twenty seconds from the change in MySQL to its end, on two shared cores; figures of `/metrics` are
# read every thirty, and ranges that failed are tried again after thirty at first.
PATIENCE_SECONDS = 240.0
_PAUSE_SECONDS = 1.0


class Reader:
    """Follows one runbook on a site."""

    def __init__(self, site: Site, runbook: str) -> None:
        self._site = site
        self._runbook = runbook

    def sees_the_symptom(self) -> None:
        """What the runbook says one sees, in the shell and in the UI."""
        self._sees("see", "ui")

    def does(self, part: str = "mend") -> None:
        """Types the commands once; each prints what the runbook says."""
        for command in block_of(self._runbook, part).commands:
            seen = self._site.type(command.line)
            assert not not_seen(command.prints, seen), f"$ {command.line}\n{seen}"

    def sees_that_it_is_over(self) -> None:
        """What the runbook says one sees afterwards."""
        self._sees("over", "over-ui")

    def _sees(self, *parts: str) -> None:
        for block in read_blocks():
            if block.name == self._runbook and block.part in parts:
                for look in self._looks(block):
                    _wait_until_seen(look)

    def _looks(self, block: Block) -> list[Callable[[], str | None]]:
        if block.language == "console":
            return [self._look_at_output(command.line, command.prints) for command in block.commands]
        return [self._look_at_page(line) for line in block.lines]

    def _look_at_output(self, line: str, prints: tuple[str, ...]) -> Callable[[], str | None]:
        def look() -> str | None:
            seen = self._site.type(line)
            missing = not_seen(prints, seen)
            return f"$ {line}\nlacks {missing}:\n{seen}" if missing else None

        return look

    def _look_at_page(self, line: str) -> Callable[[], str | None]:
        thing, _, says = line.partition(": ")

        def look() -> str | None:
            seen = self._site.ui.shows(thing)
            return f"{thing} does not say {says!r} but:\n{seen}" if not_seen([says], seen) else None

        return look


def _wait_until_seen(look: Callable[[], str | None]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (problem := look()) is not None:
        assert time.monotonic() < deadline, problem
        time.sleep(_PAUSE_SECONDS)
