"""`python -m benchmarks [--only NAME] [--write FILE]`; exit status 1 if a bound is missed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from benchmarks import (
    cold_sync,
    latency,
    memory,
    relevance,
    report,
    room,
    scale,
    scale_out,
    search,
    serving,
    throughput,
    user_interface,
)
from benchmarks.figures import Findings
from benchmarks.guardian import guarded
from benchmarks.machine import describe_machine
from benchmarks.workplace import Workplace, workplace

BENCHMARKS: Mapping[str, Callable[[Workplace], Findings]] = {
    "cold_sync": cold_sync.measure,
    "throughput": throughput.measure,
    "search": search.measure,
    "room": room.measure,
    "relevance": relevance.measure,
    "serving": serving.measure,
    "memory": memory.measure,
    "scale": scale.measure,
    "scale_out": scale_out.measure,
    "latency": latency.measure,
    "latency_binlog": latency.measure_with_binlog,
    "user_interface": user_interface.measure,
    "user_interface_files": user_interface.measure_in_files,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, shows, and writes if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures on servers of its own.")
    parser.add_argument("--only", action="append", choices=BENCHMARKS, help="measure this one (may be repeated)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the figures as Markdown, too")
    options = parser.parse_args(arguments)
    console = Console()
    found = []
    with guarded(), workplace() as place:
        machine = describe_machine(place)
        report.show_machine(console, machine)
        for name in options.only or BENCHMARKS:
            found.append(BENCHMARKS[name](place))
            report.show(console, found[-1])
    if options.write:
        report.write(options.write, machine, found)
    return 0 if all(findings.hold for findings in found) else 1


if __name__ == "__main__":
    sys.exit(main())
