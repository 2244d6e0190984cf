"""What a query asks of words, as people write it in search engines: `words "a phrase" -without -"this phrase"`.

Words are looked for one by one, and the more of them a document has, the better: of the words of a whole question
hardly a document has all. What stands in quotes must be there, what has a minus before it must not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_PARTS = re.compile(r'(?<!\S)(?P<minus>-?)"(?P<phrase>[^"]*)"|(?<!\S)-(?P<without>\w\S*)|(?P<word>\S+)')


@dataclass(frozen=True)
class WrittenQuery:
    """The parts of a query. `words` has those of the phrases as well: they count like others."""

    words: str
    phrases: tuple[str, ...] = ()
    without: tuple[str, ...] = ()


def read_query(query: str) -> WrittenQuery:
    """Takes a query apart. Nothing that is written is an error: a quote that is never closed is none."""
    words: list[str] = []
    phrases: list[str] = []
    without: list[str] = []
    for part in _PARTS.finditer(query.replace("\0", "")):
        if part["without"] is not None:
            without.append(part["without"])
        elif part["word"] is not None:
            words.append(part["word"])
        elif part["phrase"].strip():
            (without if part["minus"] else phrases).append(part["phrase"])
    return WrittenQuery(" ".join([*words, *phrases]), tuple(phrases), tuple(without))


def any_of(lexemes: Iterable[str], labels: str = "") -> str:
    """The text form of a tsquery that a document with one of the lexemes fits.

    Args:
        labels: those under which they have to be, out of ABCD; empty means any.
    """
    return " | ".join(quoted(lexeme) + (f":{labels}" if labels else "") for lexeme in lexemes)


def quoted(lexeme: str) -> str:
    """A lexeme as tsquery's text form has it."""
    escaped = lexeme.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def by_rarity(estimates: Sequence[float], most: float) -> list[int]:
    """Which words to look for so that about `most` documents are met: the rarest ones, one at least.

    Args:
        estimates: in how many documents each word is.
    """
    chosen: list[int] = []
    met = 0.0
    for place in sorted(range(len(estimates)), key=lambda place: estimates[place]):
        met += estimates[place]
        if chosen and met > most:
            break
        chosen.append(place)
    return sorted(chosen)
