"""Marked words: what PostgreSQL's ts_headline gives, made safe for a page.

ts_headline escapes nothing, so the marks that it is told to set are characters that no page can be harmed by; what lies
between them is escaped here. Texts lose these characters beforehand.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping

from vector_pipeline.core.search.answer import Snippet

START, STOP = "\x02", "\x03"

# Two parts of a text that have the words, of a length that fits under a hit.
OPTIONS = f'StartSel="{START}", StopSel="{STOP}", MaxFragments=2, MaxWords=30, MinWords=12, FragmentDelimiter=" … "'

_MARKED = re.compile(f"{START}(.*?){STOP}", re.DOTALL)


def choose_snippet(headlines: Mapping[str, str | None]) -> Snippet | None:
    """Of the headlines of a document's texts, by their names, the one with most of the words; None without any word."""
    best: Snippet | None = None
    most = 0
    for field, headline in headlines.items():
        found = {word.lower() for word in _MARKED.findall(headline or "")}
        if headline and len(found) > most:
            best, most = _snippet(field, headline), len(found)
    return best


def _snippet(field: str, headline: str) -> Snippet:
    plain = headline.replace(START, "").replace(STOP, "")
    marked = _MARKED.sub(lambda match: f"<mark>{match.group(1)}</mark>", html.escape(headline))
    return Snippet(field, plain, marked.replace(START, "").replace(STOP, ""))
