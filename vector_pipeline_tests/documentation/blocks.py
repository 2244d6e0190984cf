"""The fenced blocks of README and docs/, as a reader sees them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt

from vector_pipeline_tests.conftest import PROJECT

DOCS = PROJECT / "docs"
COMPONENT = "vector_pipeline.components.VectorIndexComponent"


@dataclass(frozen=True)
class Block:
    """A block of code. `line` is that of its first line, in the page."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """README and all pages, by path."""
    return [PROJECT / "README.md", *sorted(DOCS.rglob("*.md"))]


@cache
def blocks(language: str | None = None) -> tuple[Block, ...]:
    """All blocks, or those in a language."""
    return tuple(block for page in pages() for block in _blocks(page) if language in {None, block.language})


@cache
def inline_code() -> tuple[Block, ...]:
    """All spans of code in the text."""
    return tuple(span for page in pages() for span in _spans(page))


def _blocks(page: Path) -> Iterator[Block]:
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
        if token.type == "fence" and token.map is not None:
            language = token.info.split()[0] if token.info else ""
            yield Block(str(page.relative_to(PROJECT)), token.map[0] + 2, language, token.content)


def _spans(page: Path) -> Iterator[Block]:
    for token in MarkdownIt().enable("table").parse(page.read_text(encoding="utf-8")):
        for child in token.children or ():
            if child.type == "code_inline" and token.map is not None:
                yield Block(str(page.relative_to(PROJECT)), token.map[0] + 1, "", child.content)
