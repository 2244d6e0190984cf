"""`vector-pipeline init`."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import click

from vector_pipeline.cli.printing import messages
from vector_pipeline.new_project import make_project


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def init(folder: Path) -> None:
    """Make a project in FOLDER: declarations, Dagster's settings, and what the environment may set."""
    for file in make_project(folder):
        messages.print(str(folder / file), highlight=False, soft_wrap=True)
    messages.print(
        f"\nA project of vector-pipeline {version('vector-pipeline')}. Go on in it:\n"
        f"  cd {folder}\n"
        "  cp .env.example .env      # your databases and model; without any, `vector-pipeline dev` brings its own\n"
        "  dg scaffold defs vector_pipeline.components.VectorIndexComponent NAME --table TABLE --text-columns A,B\n"
        "  vector-pipeline doctor\n"
        "  vector-pipeline sync NAME",
        highlight=False,
        soft_wrap=True,
        markup=False,
    )
