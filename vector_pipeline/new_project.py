"""A folder in which all commands work, for who has installed the package and has no clone."""

from __future__ import annotations

from pathlib import Path

from vector_pipeline.core.errors import ConfigurationError
from vector_pipeline.project_folder import OWN_DEFS, SHIPPED

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
