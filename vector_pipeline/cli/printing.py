"""What the commands print: reports as tables or as JSON, progress, messages."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

console = Console()
messages = Console(stderr=True)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


def print_report(value: Any, as_json: bool, show: Any, **extra: object) -> None:
    """The report as `show` shows it, or as JSON, then with what else is known of it."""
    if as_json:
        click.echo(json.dumps(jsonable(value) | extra, indent=2, ensure_ascii=False))
    else:
        console.print(show(value))


def print_reports(values: Sequence[Any], as_json: bool, show: Any) -> None:
    """Several reports as `show` shows them together, or as a JSON list."""
    if as_json:
        click.echo(json.dumps([jsonable(value) for value in values], indent=2, ensure_ascii=False))
    else:
        console.print(show(values))


def jsonable(value: Any) -> dict[str, Any]:
    """A report as JSON takes it."""
    read: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(value), default=_as_text))
    return read


def _as_text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


@contextmanager
def progress(what: str, *, quiet: bool) -> Iterator[Any]:
    """A progress bar on standard error; yields the function that moves it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=messages, transient=True, disable=quiet) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
