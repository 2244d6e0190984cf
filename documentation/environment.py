"""The reference of the environment, from `.env.example`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from documentation.markdown import code, document, prose, table

FILE = Path(__file__).resolve().parent.parent / ".env.example"
_HEADING = re.compile(r"^# --- (?P<title>[^.:(]+)[.:]?(?P<rest>.*)")
_VARIABLE = re.compile(r"^#?(?P<name>[A-Z][A-Z0-9_]*)=")
_PAGE = re.compile(r"\bdocs/([\w-]+\.md)")


@dataclass
class Variables:
    """Variables that are explained together."""

    meaning: str
    names: list[str] = field(default_factory=list)


@dataclass
class Section:
    """A part of the file."""

    title: str
    introduction: str = ""
    variables: list[Variables] = field(default_factory=list)


def describe() -> str:
    """Each part of the file as a table."""
    return document(part for section in read(FILE.read_text(encoding="utf-8")) for part in _told(section))


def read(text: str) -> list[Section]:
    """The parts of a file such as `.env.example`.

    A part begins with `# --- Title.` and what there is to say of all of it, up to an empty comment. Comments explain
    the variables below them.
    """
    sections: list[Section] = []
    comment: list[str] = []
    for line in text.splitlines():
        if heading := _HEADING.match(line):
            sections.append(Section(heading["title"].strip()))
            comment = [heading["rest"].strip()]
        elif not sections:
            continue
        elif variable := _VARIABLE.match(line):
            section = sections[-1]
            if comment or not section.variables:
                section.variables.append(Variables(" ".join(comment)))
            section.variables[-1].names.append(variable["name"])
            comment = []
        elif line == "#":
            sections[-1].introduction = " ".join(comment)
            comment = []
        elif line.startswith("# "):
            comment.append(line.removeprefix("# "))
    return sections


def _told(section: Section) -> tuple[str, ...]:
    rows = [("\n".join(map(code, one.names)), _linked(one.meaning)) for one in section.variables]
    return f"## {section.title}", prose(_linked(section.introduction)), table(("variable", "meaning"), rows)


def _linked(text: str) -> str:
    """With links to the pages that are named and there."""
    return _PAGE.sub(lambda page: f"[{page[1]}](../{page[1]})" if (FILE.parent / page[0]).exists() else page[0], text)
