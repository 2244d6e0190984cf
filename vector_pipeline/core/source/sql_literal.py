"""Text in a statement where it can't be a parameter."""

from __future__ import annotations


def literal(text: str) -> str:
    """In hexadecimal, so that nothing of it means anything to MySQL or to the driver, which looks for %."""
    return f"_utf8mb4 X'{text.encode().hex()}' COLLATE utf8mb4_bin"
