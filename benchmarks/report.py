"""Findings as people read them: a table on the console, a page of Markdown in the documentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Findings

_HEADINGS = ("what", "measured", "bound", "")


def show(console: Console, findings: Findings) -> None:
    """Prints one benchmark's table."""
    table = Table(title=findings.title, title_justify="left", caption=findings.method, caption_justify="left")
    for heading in _HEADINGS:
        table.add_column(heading, justify="right" if heading in ("measured", "bound") else "left")
    for figure in findings.figures:
        table.add_row(*figure.cells, style=None if figure.holds else "bold red")
    console.print(table)


def show_machine(console: Console, machine: Mapping[str, str]) -> None:
    """Prints what the figures were measured on."""
    for name, value in machine.items():
        console.print(f"{name}: {value}", highlight=False)


def write(path: Path, machine: Mapping[str, str], all_findings: Sequence[Findings]) -> None:
    """Writes the page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(_page(machine, all_findings)), encoding="utf-8")


def _page(machine: Mapping[str, str], all_findings: Sequence[Findings]) -> Iterator[str]:
    yield "# Benchmarks\n"
    yield "Written by `python -m benchmarks --write docs/benchmarks.md` (`make bench` prints the same).\n"
    yield "| | |\n|---|---|"
    yield from (f"| {name} | {value} |" for name, value in machine.items())
    for findings in all_findings:
        yield f"\n## {findings.title}\n\n{findings.method}\n"
        yield "| what | measured | bound | |\n|---|---:|---:|---|"
        yield from (f"| {' | '.join(figure.cells)} |" for figure in findings.figures)
    yield ""
