"""Counts in sentences: one of a thing, or several."""

from __future__ import annotations


def counted(count: int, one: str, several: str) -> str:
    """The count with what is counted: `counted(1, "text is", "texts are")` is "1 text is"."""
    return f"{count:,} {one if count == 1 else several}"
