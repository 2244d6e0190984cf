"""The reference of the command line, from its commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import click

from documentation.markdown import code, document, prose, table
from vector_pipeline.cli import main

PROGRAM = "vector-pipeline"


def describe() -> str:
    """Every command with what it takes, in the order of its name."""
    return document(_told(path, command) for path, command in commands(main, (PROGRAM,)) if len(path) > 1)


def commands(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """A group and all below it, with the words that call each."""
    yield path, group
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def _told(path: tuple[str, ...], command: click.Command) -> str:
    depth = "#" * len(path)
    called = " ".join(path)
    context = click.Context(command, info_name=called)
    usage = " ".join((called, *command.collect_usage_pieces(context)))
    below = command.commands if isinstance(command, click.Group) else {}
    return document(
        (
            f"{depth} {called}",
            f"```text\n{usage}\n```",
            prose(re.sub(r"\f.*", "", command.help or "", flags=re.DOTALL)),
            table(("option", "meaning"), list(_options(command, context))),
            ", ".join(f"[{code(name)}](#{'-'.join((*path, name))})" for name in sorted(below)),
        )
    )


def _options(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    for parameter in command.params:
        record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
        if record is not None:
            yield code(record[0]), _meaning(parameter, record[1])


def _meaning(parameter: click.Parameter, described: str) -> str:
    told: dict[str, Any] = parameter.to_info_dict()
    return f"{described} May be given several times." if told["multiple"] else described
