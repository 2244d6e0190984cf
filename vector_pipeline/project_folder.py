"""Which folders a command works on: those of the project that it is called in, else this package's own.

Who has a clone works in the clone. Who installed the package has projects of their own, made by `vector-pipeline init`:
a folder with a pyproject.toml that Dagster's `dg` knows, and the declarations in `defs/`. Without either, the package's
own declarations count, as for the demo.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

from vector_pipeline.core.errors import ConfigurationError

DEFS_VARIABLE = "VECTOR_PIPELINE_DEFS"
PACKAGE = Path(__file__).resolve().parent
PACKAGE_PARENT = PACKAGE.parent
OWN_DEFS = PACKAGE / "defs"
SHIPPED = PACKAGE / "project"
"""What `vector-pipeline init` makes a project of; the clone has some of it at its top."""


def defs_folder() -> Path:
    """The folder of the declared indexes: VECTOR_PIPELINE_DEFS, else that of the project that this is called in, else
    the package's own.

    Raises:
        ConfigurationError: VECTOR_PIPELINE_DEFS names no folder, or a pyproject.toml on the way can't be read.
    """
    named = os.environ.get(DEFS_VARIABLE)
    if named:
        folder = Path(named).expanduser().resolve()
        if not folder.is_dir():
            raise ConfigurationError(f"{DEFS_VARIABLE} is {named!r}: name the folder that holds the declared indexes")
        return folder
    return _defs_of_project() or OWN_DEFS


def working_folder() -> Path:
    """Where Dagster's instance and what else a user keeps lies: the project that this is called in; else the clone that
    this package is run from; else the folder that this is called in."""
    here = Path.cwd()
    if (project := _project(here)) is not None:
        return project
    return PACKAGE_PARENT if is_clone() else here


def is_clone() -> bool:
    """Whether this package is run from its sources, not from where pip put it."""
    return _root_module(PACKAGE_PARENT) == PACKAGE.name


def relative_to_project(path: Path) -> Path:
    """A path as messages name it: relative to the project that it is in."""
    folder = PACKAGE_PARENT if path.is_relative_to(PACKAGE_PARENT) else _project(path)
    return path if folder is None else path.relative_to(folder)


def _defs_of_project() -> Path | None:
    project = _project(Path.cwd())
    if project is None:
        return None
    settings = _dg_settings(project)
    module = str(settings.get("defs_module") or f"{settings.get('root_module')}.defs")
    source = project / "src" if (project / "src").is_dir() else project
    folder = source.joinpath(*module.split("."))
    if not folder.is_dir():
        raise ConfigurationError(
            f"{project / 'pyproject.toml'} says that {module} has the declared indexes: make {folder}"
        )
    return folder


def _project(path: Path) -> Path | None:
    """The nearest folder above, or this one, that Dagster's `dg` takes for a project and that isn't a clone of ours."""
    for folder in (path, *path.parents):
        root_module = _root_module(folder)
        if root_module is not None:
            return None if root_module == PACKAGE.name else folder
    return None


def _root_module(folder: Path) -> str | None:
    root_module = _dg_settings(folder).get("root_module")
    return None if root_module is None else str(root_module)


def _dg_settings(folder: Path) -> dict[str, object]:
    """What `dg` reads of a project: [tool.dg.project] of its pyproject.toml, or [project] of its dg.toml."""
    for name, tables in (("dg.toml", ("project",)), ("pyproject.toml", ("tool", "dg", "project"))):
        settings = _read(folder / name)
        for table in tables:
            found = settings.get(table, {})
            settings = found if isinstance(found, dict) else {}
        if settings:
            return settings
    return {}


def _read(file: Path) -> dict[str, object]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} can't be read: {error}") from None
