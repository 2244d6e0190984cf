"""Pieces of Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_CODE = re.compile(r"(`+)(.*?)\1", re.DOTALL)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; empty where there are no rows."""
    lines = [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows]
    if not lines:
        return ""
    return "\n".join([f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *lines])


def prose(text: str) -> str:
    """A docstring or a help text as paragraphs in which nothing is taken for HTML."""
    return "\n\n".join(_without_html(" ".join(part.split())) for part in re.split(r"\n\s*\n", text.strip()))


def code(text: object) -> str:
    """A span of code."""
    written = str(text).replace("\n", "↵")
    fence = "``" if "`" in written else "`"
    return f"{fence}{written}{fence}"


def document(parts: Iterable[str]) -> str:
    """The parts that are not empty, a blank line between them."""
    return "\n\n".join(part.strip("\n") for part in parts if part.strip())


def _cell(text: str) -> str:
    return "<br>".join(_without_html(line) for line in text.strip().splitlines() if line.strip())


def _without_html(text: str) -> str:
    """`<` and `|` as text, where they are not part of code."""
    written, end = [], 0
    for found in _CODE.finditer(text):
        written += [_escaped(text[end : found.start()]), found[0]]
        end = found.end()
    return "".join([*written, _escaped(text[end:])])


def _escaped(text: str) -> str:
    return text.replace("<", "&lt;").replace("|", "\\|")
