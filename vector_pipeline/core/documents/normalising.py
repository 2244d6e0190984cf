"""Declared rules by which a text is made plain before it is embedded. What people see stays as it is in the source.

The rules are applied in one order, whichever is declared: HTML first, since its entities may stand for anything, then
Unicode, then white space. They apply to each column's value, before a template or a strategy puts values together.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from html.parser import HTMLParser
from typing import Literal, get_args

Rule = Literal["strip_html", "nfc", "collapse_whitespace"]

# Elements whose content is no text to read.
_UNREAD = {"script", "style", "template"}
# Elements that begin and end a line of their own, and those that stand apart from what surrounds them.
_LINES = {
    *("address", "article", "aside", "caption", "dd", "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer"),
    *("form", "header", "hr", "li", "main", "nav", "option", "section", "tbody", "tfoot", "thead", "title", "tr"),
}
_PARAGRAPHS = {"blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "pre", "table", "ul"}
_CELLS = {"td", "th"}


def in_order(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """The rules, each once, in the order in which they are applied."""
    declared = set(rules)
    return tuple(rule for rule in get_args(Rule) if rule in declared)


def normalised(text: str, rules: Iterable[Rule]) -> str:
    """The text after the rules, which are in their order."""
    for rule in rules:
        text = _APPLY[rule](text)
    return text


def strip_html(text: str) -> str:
    """What a browser would show: no tags, comments, scripts or styles; entities decoded; blocks on lines of their own.

    A `<` that begins no tag stays.
    """
    reader = _Reader()
    reader.feed(text)
    reader.close()
    return "".join(reader.written)


def collapse_whitespace(text: str) -> str:
    """Each run of white space as one blank, one line break or one empty line, as it amounts to; none at the ends.

    Lines and paragraphs stay apart, since long texts are split between them.
    """
    return re.sub(r"\s+", _one_gap, text.strip())


def _one_gap(run: re.Match[str]) -> str:
    breaks = len(re.findall(r"\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]", run.group()))
    return ("\n" * min(2, breaks)) or " "


class _Reader(HTMLParser):
    """Writes the text of an HTML fragment."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.written: list[str] = []
        self._unread = 0
        self._preformatted = 0
        # What stands between the last text and the next: line breaks that were asked for, else a blank.
        self._breaks = 0
        self._blank = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self._unread += tag in _UNREAD
        self._preformatted += tag == "pre"
        if tag == "br":
            self._breaks = min(2, self._breaks + 1)
        self._boundary(tag)

    def handle_endtag(self, tag: str) -> None:
        self._unread = max(0, self._unread - (tag in _UNREAD))
        self._preformatted = max(0, self._preformatted - (tag == "pre"))
        self._boundary(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # `<script/>` opens a script in HTML, and `<br/>` is `<br>`: the slash says nothing.
        self.handle_starttag(tag, attrs)

    def handle_data(self, data: str) -> None:
        if self._unread:
            return
        if self._preformatted:
            self._write(data)
            return
        words = data.split()
        if not words:
            self._blank = True
            return
        self._blank = self._blank or data[0].isspace()
        self._write(" ".join(words))
        self._blank = data[-1].isspace()

    def _boundary(self, tag: str) -> None:
        if tag in _PARAGRAPHS:
            self._breaks = 2
        elif tag in _LINES:
            self._breaks = max(self._breaks, 1)
        elif tag in _CELLS:
            self._blank = True

    def _write(self, text: str) -> None:
        if self.written:
            self.written.append("\n" * self._breaks or " " * self._blank)
        self.written.append(text)
        self._breaks, self._blank = 0, False


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


_APPLY: dict[Rule, Callable[[str], str]] = {
    "strip_html": strip_html,
    "nfc": _nfc,
    "collapse_whitespace": collapse_whitespace,
}
