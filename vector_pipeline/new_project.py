"""`vector-pipeline init`: a folder in which all commands work, for who has installed the package and has no clone."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import click
from rich.console import Console

from vector_pipeline.core.errors import ConfigurationError
from vector_pipeline.project_folder import OWN_DEFS, SHIPPED

messages = Console(stderr=True)

_FILES = {
    "pyproject.toml": SHIPPED / "pyproject.toml",
    "dagster.yaml": SHIPPED / "dagster.yaml",
    ".env.example": SHIPPED / "env.example",
    ".gitignore": SHIPPED / "gitignore",
    "defs/catalog/defs.yaml": OWN_DEFS / "catalog" / "defs.yaml",
}


def make_project(folder: Path) -> list[Path]:
    """Writes the files of a project: the settings of Dagster, and a declaration that fits every database.

    Returns:
        The files, relative to the folder.

    Raises:
        ConfigurationError: the folder has one of them already, or can't be written to. What is there stays as it is.
    """
    there = [name for name in _FILES if (folder / name).exists()]
    if there:
        raise ConfigurationError(f"{folder} has {', '.join(there)} already: name an empty folder, or a new one")
    try:
        for name, shipped in _FILES.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(shipped.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"no project can be made in {folder}: {error.strerror}") from None
    return [Path(name) for name in _FILES]


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
