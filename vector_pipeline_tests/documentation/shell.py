"""The commands in blocks of a shell: what a reader types, told from what is printed, taken apart as a shell does."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import PurePath

from vector_pipeline_tests.documentation.blocks import Block

SHELLS = ("bash", "console", "sh")
_PROMPT = "$ "
_HERE_DOCUMENT = re.compile(r"<<-?\s*'?(?P<end>\w+)'?")
_OPERATORS = {"|", "||", "&", "&&", ";", ";;", "(", ")"}
_REDIRECTION = re.compile(r"^\d?[<>]")


def typed(block: Block) -> Iterator[str]:
    """What a reader types, a whole command each: continued lines together, here-documents with what they hold."""
    lines = iter(block.text.splitlines())
    for line in lines:
        if block.language != "console":
            yield _whole(line, lines)
        elif line.startswith(_PROMPT):
            yield _whole(line.removeprefix(_PROMPT), lines)


def _whole(line: str, following: Iterator[str]) -> str:
    while line.endswith("\\"):
        line = line[:-1] + next(following).strip()
    held = [line]
    if found := _HERE_DOCUMENT.search(line):
        while held[-1] != found["end"]:
            held.append(next(following))
    return "\n".join(held)


def commands(line: str) -> Iterator[list[str]]:
    """The simple commands of a line, as words; without comments, redirections, and what here-documents hold."""
    words: list[str] = []
    skip = False
    for word in _words(line.partition("\n")[0]):
        if skip:
            skip = False
        elif word in _OPERATORS:
            yield from [words] if words else []
            words = []
        elif word == ">&":  # of `2>&1`, whose numbers are words by themselves here
            words = words[:-1]
            skip = True
        elif _REDIRECTION.match(word):
            skip = word.strip("0123456789") in {"<", ">", ">>", "<<"}
        else:
            words.append(word)
    if words:
        yield words


def _words(line: str) -> list[str]:
    """Raises:
    ValueError: it is not a line that a shell takes.
    """
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;()<>")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    return list(lexer)


def calls(words: list[str], programs: set[str]) -> Iterator[list[str]]:
    """The calls of some programs in a command, by themselves or by way of others (`docker compose exec api …`)."""
    for place, word in enumerate(words):
        if PurePath(word).name in programs:
            yield [PurePath(word).name, *words[place + 1 :]]
            return
