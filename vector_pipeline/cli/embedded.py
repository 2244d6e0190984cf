"""`vector-pipeline stack`, `demo` and `dev`: with the embedded databases, `dev` with those that are configured."""

from __future__ import annotations

import sys

import click

from vector_pipeline import display
from vector_pipeline.cli.printing import as_json, console, messages, print_report


@click.group()
def stack() -> None:
    """The embedded MariaDB and PostgreSQL, in the folder .stack."""


@stack.command("up")
def stack_up() -> None:
    """Start it, or find it running; data are kept between starts."""
    from vector_pipeline.embedded import stack as embedded  # noqa: PLC0415

    folder = embedded.default_folder()
    embedded.up(folder, progress=messages.print)
    messages.print(f"the stack is up; its addresses are in {folder / 'environment'}")


@stack.command("down")
def stack_down() -> None:
    """Stop it; data are kept."""
    from vector_pipeline.embedded import stack as embedded  # noqa: PLC0415

    stopped = embedded.down(embedded.default_folder())
    messages.print("the stack is stopped" if stopped else "the stack was not running")


@stack.command("status")
@as_json
def stack_status(as_json: bool) -> None:
    """Tell how it is; exit status 1 if it is not healthy."""
    from vector_pipeline.embedded import stack as embedded  # noqa: PLC0415

    found = embedded.status(embedded.default_folder())
    print_report(found, as_json, display.stack_status)
    sys.exit(0 if found.healthy else 1)


@click.command()
def demo() -> None:
    """The main job end to end, on the embedded stack and the local model, with rows that every Python carries."""
    from vector_pipeline.embedded.demo import run_demo  # noqa: PLC0415

    sys.exit(run_demo(console))


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the Dagster UI; 3000 if it is free.")
@click.option("--api-port", type=click.IntRange(1, 65535), help="Port of the HTTP API; 5000 if it is free.")
def dev(port: int | None, api_port: int | None) -> None:
    """Dagster with its UI and the HTTP API until Ctrl-C, on the databases that are configured; those that are not are
    the embedded stack's, which stays up."""
    from vector_pipeline.embedded.dev import run_dev  # noqa: PLC0415

    sys.exit(run_dev(messages, port, api_port))
