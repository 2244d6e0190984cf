"""The declared indexes of this deployment, read from their YAML files without loading Dagster.

The command line and the services need the declarations alone; importing Dagster and building assets takes seconds.
The files are those that `VectorIndexComponent` loads, with the same `{{ env(...) }}` templates.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml
from jinja2 import StrictUndefined, TemplateError
from jinja2.nativetypes import NativeEnvironment
from pydantic import ValidationError

from vector_pipeline.core.errors import DeclarationProblem, IndexSpecError, VectorPipelineError
from vector_pipeline.core.spec import IndexSpec

COMPONENT_TYPE = "VectorIndexComponent"
PACKAGE_PARENT = Path(__file__).resolve().parents[1]
DEFS_FOLDER = Path(__file__).resolve().parent / "defs"


class UnknownIndexError(VectorPipelineError):
    """No declaration has that name."""


@dataclass(frozen=True)
class Declaration:
    """A declared index and the file that declares it, relative to the project.

    `problems` are those that its file alone shows, such as a name that another file has taken.
    """

    spec: IndexSpec
    origin: str
    problems: tuple[DeclarationProblem, ...] = ()


def find_declaration(name: str, folder: Path = DEFS_FOLDER) -> Declaration:
    """The declaration of one index.

    Raises:
        UnknownIndexError: naming the indexes that are declared.
        IndexSpecError: it is malformed.
    """
    for attributes, origin in _read_attributes(folder):
        if attributes.get("name") == name:
            return _declaration(attributes, origin)
    names = sorted(str(attributes.get("name")) for attributes, _ in _read_attributes(folder))
    raise UnknownIndexError(f"no index {name!r} is declared; there are: {', '.join(names) or 'none'}")


def read_declarations(folder: Path = DEFS_FOLDER) -> list[Declaration]:
    """All declared indexes, by name.

    Raises:
        IndexSpecError: one of them is malformed.
    """
    found = [_declaration(attributes, origin) for attributes, origin in _read_attributes(folder)]
    return sorted(found, key=lambda declaration: declaration.spec.name)


def names_declared_before(path: Path, folder: Path = DEFS_FOLDER) -> dict[str, str]:
    """The names that files before this one declare, each with its file: the first to declare a name has it."""
    taken: dict[str, str] = {}
    for other in sorted(folder.rglob("*.yaml")):
        if other == path:
            break
        for name in re.findall(r"^  name: *([^\s#]+)", other.read_text(), flags=re.MULTILINE):
            taken.setdefault(name.strip("'\""), str(other.relative_to(folder)))
    return taken


def _read_attributes(folder: Path) -> Iterator[tuple[dict[str, object], str]]:
    for path in sorted(folder.rglob("*.yaml")):
        origin = str(path.relative_to(PACKAGE_PARENT)) if path.is_relative_to(PACKAGE_PARENT) else str(path)
        try:
            documents = list(yaml.safe_load_all(path.read_text()))
        except yaml.YAMLError as error:
            raise IndexSpecError(
                origin, [DeclarationProblem("YAML", str(error).replace("\n", " "), "see `dg check yaml`")]
            ) from None
        for document in documents:
            if isinstance(document, dict) and str(document.get("type", "")).endswith(COMPONENT_TYPE):
                yield _resolved(document.get("attributes") or {}, origin), origin


def _resolved(attributes: dict[str, object], origin: str) -> dict[str, object]:
    templates = NativeEnvironment(undefined=StrictUndefined)

    def resolve(value: object) -> object:
        if isinstance(value, dict):
            return {key: resolve(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [resolve(inner) for inner in value]
        if not isinstance(value, str) or "{{" not in value:
            return value
        try:
            return templates.from_string(value).render(env=_env)
        except (TemplateError, KeyError) as error:
            problem = DeclarationProblem(value, str(error), "set the variable, or give the template a default")
            raise IndexSpecError(origin, [problem]) from None

    resolved = resolve(attributes)
    assert isinstance(resolved, dict)
    return resolved


def _env(name: str, *default: str) -> str:
    return os.environ.get(name, *default) if default else os.environ[name]


def _declaration(attributes: dict[str, object], origin: str) -> Declaration:
    try:
        return Declaration(IndexSpec.model_validate(attributes), origin)
    except ValidationError as error:
        problems = [
            DeclarationProblem(".".join(map(str, found["loc"])), found["msg"], "see `dg check yaml`")
            for found in error.errors()
        ]
        raise IndexSpecError(origin, problems) from None
