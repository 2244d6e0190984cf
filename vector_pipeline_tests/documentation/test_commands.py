"""The commands that the documentation names are there, with the options that it shows. None is run."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from typing import Any

import click
import pytest
from dagster._cli import create_dagster_cli
from dagster_dg_cli.cli import create_dg_cli

from vector_pipeline.cli import main
from vector_pipeline.components.vector_index import VectorIndexScaffoldParams
from vector_pipeline_tests.conftest import PROJECT
from vector_pipeline_tests.documentation.blocks import COMPONENT, Block, blocks, inline_code
from vector_pipeline_tests.documentation.shell import SHELLS, calls, commands, typed

PROGRAMS: dict[str, click.Group] = {
    "vector-pipeline": main,
    "dg": create_dg_cli(),
    "dagster": create_dagster_cli(),
}
_TARGETS = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
# INDEX, KEY…, [POOL]: what a reader puts something else for; a number suits each of them.
_PLACEHOLDER = re.compile(r"^\[?[A-Z_]{2,}…?\]?$")


def shown() -> Iterator[tuple[Block, list[str]]]:
    """Each command in blocks, with where it is shown."""
    for block in blocks():
        if block.language in SHELLS:
            for line in typed(block):
                for words in commands(line):
                    yield block, words


def named() -> Iterator[tuple[Block, list[str]]]:
    """Each command that the text names."""
    for span in inline_code():
        for place, words in enumerate(commands(span.text) if re.match(r"[\w./-]+ ", span.text) else ()):
            if place == 0:
                yield span, words


def wrong_with(words: list[str], whole: bool) -> str | None:
    """What is wrong with a call of one of our programs.

    Args:
        whole: it is shown with all that it needs, rather than named.
    """
    program, *given = words
    if program == "make":
        unknown = {word for word in given if "=" not in word} - _TARGETS
        return f"no target {unknown}" if unknown else None
    if program.startswith("python"):
        return _wrong_with_module(given, whole)
    if words[:3] == ["dg", "scaffold", "defs"]:
        return _wrong_with_scaffolding(given[2:])
    return _wrong_with_command(PROGRAMS[program], program, list(_filled(given)), whole)


def _wrong_with_command(command: click.Command, name: str, arguments: list[str], whole: bool) -> str | None:
    context = click.Context(command, info_name=name)
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        name = arguments.pop(0)
        found = command.get_command(context, name)
        if found is None:
            return f"no command {name!r}"
        command, context = found, click.Context(found, context, info_name=name)
    try:
        if arguments or not isinstance(command, click.Group):
            command.make_context(name, arguments)
    except click.MissingParameter as error:
        return str(error) if whole else None
    except click.UsageError as error:
        return error.format_message()
    except click.exceptions.Exit:  # --help and --version are taken
        pass
    return None


def _wrong_with_scaffolding(given: list[str]) -> str | None:
    """What `dg` asks for is the component's; it tells only in a project that it has loaded."""
    options = {f"--{name.replace('_', '-')}" for name in VectorIndexScaffoldParams.model_fields}
    unknown = {word for word in given if word.startswith("--")} - options
    return f"no option {unknown}" if unknown or given[0] != COMPONENT else None


def _wrong_with_module(given: list[str], whole: bool) -> str | None:
    if given[:1] != ["-m"] or len(given) == 1:
        return None
    if importlib.util.find_spec(given[1]) is None:
        return f"no module {given[1]}"
    inner = list(calls(given[2:], set(PROGRAMS)))
    return wrong_with(inner[0], whole) if inner else None


def _filled(given: list[str]) -> Iterator[str]:
    """The arguments with something for what a reader is to fill in."""
    before = ""
    for word in given:
        if word == "…" and not before.startswith("--"):
            continue
        before = "7" if word == "…" or _PLACEHOLDER.match(word) else word
        yield before


def _wrong(found: Iterator[tuple[Block, list[str]]], whole: bool) -> tuple[int, list[str]]:
    counted, wrong = 0, []
    for block, words in found:
        for call in calls(words, {*PROGRAMS, "make", "python"}):
            counted += 1
            if problem := wrong_with(call, whole):
                wrong.append(f"{block}: {' '.join(call)}: {problem}")
    return counted, wrong


@pytest.fixture(autouse=True)
def any_file_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The documentation's files are its reader's."""

    def taken(_: object, value: Any, *__: object) -> Any:
        return value

    monkeypatch.setattr(click.Path, "convert", taken)
    monkeypatch.setattr(click.File, "convert", taken)


def test_commands_in_blocks_are_ones_that_are_taken() -> None:
    counted, wrong = _wrong(shown(), whole=True)

    assert counted > 40
    assert wrong == []


def test_commands_in_the_text_are_ones_that_are_taken() -> None:
    counted, wrong = _wrong(named(), whole=False)

    assert counted > 30
    assert wrong == []


@pytest.mark.parametrize(
    "mistaken",
    [
        "vector-pipeline snyc products",
        "vector-pipeline sync --al",
        "vector-pipeline search products shoes --limit many",
        "vector-pipeline sync",
        "vector-pipeline keys mint dify",
        "make demonstration",
        "dg check yml",
        "dg scaffold defs vector_pipeline.components.VectorIndexComponent shoes --tables shoes",
        "dagster code-server begin",
        "docker compose exec api vector-pipeline veryfy products",
        "python -m vector_pipeline.with_secrets dagster stance",
        "python -m vector_pipeline.secrets",
        "GREETING=hello vector-pipeline find 2>/dev/null | head",
    ],
)
def test_a_command_that_is_mistaken_would_be_found(mistaken: str) -> None:
    block = Block("page.md", 1, "bash", mistaken)
    found = ((block, words) for line in typed(block) for words in commands(line))

    _, wrong = _wrong(found, whole=True)

    assert len(wrong) == 1
