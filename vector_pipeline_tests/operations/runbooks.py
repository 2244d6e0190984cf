"""docs/operations.md as the tests read it: what it has people type and what it says they see.

A fenced block below a comment `<!-- runbook: NAME PART -->` is material for tests. In a `console` block, lines that
begin with `$ ` are commands, and what follows one is what it prints; in a `text` block each line is a thing of the UI:

    sensor NAME: what its last tick says
    check NAME: what its latest result says
    run of STEP: what the failed step says

`…` stands for anything. So text and test can't drift apart: what a runbook claims is what the test looks for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vector_pipeline_tests.conftest import PROJECT

OPERATIONS = PROJECT / "docs" / "operations.md"

_BLOCK = re.compile(r"<!-- runbook: (\S+) (\S+) -->\n```(console|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FRAMES = re.compile(r"[\u2500-\u257f]")


@dataclass(frozen=True)
class Command:
    """A line for the shell, and what it prints, line by line."""

    line: str
    prints: tuple[str, ...]


@dataclass(frozen=True)
class Block:
    """One fenced block: `part` of the runbook `name`."""

    name: str
    part: str
    language: str
    text: str

    @property
    def commands(self) -> list[Command]:
        found: list[tuple[str, list[str]]] = []
        for line in self.text.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif found and found[-1][0].endswith("\\"):
                found[-1] = (f"{found[-1][0]}\n{line}", [])
            elif line.strip():
                found[-1][1].append(line)
        return [Command(line, tuple(prints)) for line, prints in found]

    @property
    def lines(self) -> list[str]:
        return [line for line in self.text.splitlines() if line.strip()]


def read_blocks(path: Path = OPERATIONS) -> list[Block]:
    """All blocks, in their order."""
    return [Block(*found) for found in _BLOCK.findall(path.read_text(encoding="utf-8"))]


def block_of(name: str, part: str) -> Block:
    """The one block of this runbook and part."""
    [block] = [block for block in read_blocks() if (block.name, block.part) == (name, part)]
    return block


def not_seen(expected: Sequence[str], seen: str) -> list[str]:
    """The lines that do not occur, in their order, in what was seen. Frames of tables and line breaks don't count."""
    missing = []
    rest = _plain(seen)
    for line in expected:
        found = re.search(_pattern(line), rest, re.DOTALL)
        if found is None:
            missing.append(line)
        else:
            rest = rest[found.end() :]
    return missing


def _pattern(line: str) -> str:
    return ".*?".join(re.escape(part) for part in _parts(line))


def _parts(line: str) -> Iterator[str]:
    for part in line.split("…"):
        yield _plain(part)


def _plain(text: str) -> str:
    return " ".join(_FRAMES.sub(" ", text).split())
