"""The declared indexes of this deployment, read without loading Dagster: those of its YAML files, and those that were
declared at run time.

The command line and the services need the declarations alone; importing Dagster and building assets takes seconds.
The files are those that `VectorIndexComponent` loads, and both make of them the same `Declaration`. A file wins over
what was declared at run time by the same name.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from vector_pipeline.core.declaration import static_problems
from vector_pipeline.core.errors import DeclarationProblem, IndexSpecError, VectorPipelineError
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.core.store import declared_indexes
from vector_pipeline.core.store.declared_indexes import StoredDeclaration
from vector_pipeline.declared_at_run_time import read_stored_declarations
from vector_pipeline.project_folder import defs_folder, relative_to_project
from vector_pipeline.templates import (
    FieldPath,
    UnresolvedTemplateError,
    is_template,
    resolve,
    resolve_all,
    templates_in,
)

_log = logging.getLogger(__name__)

COMPONENT_TYPE = "VectorIndexComponent"
CATALOG_INDEX = "catalog"
FILE_NAMES = ("defs.yaml", "defs.yml", "component.yaml")  # of a folder's, Dagster takes the first
REGISTRY = declared_indexes.ORIGIN
"""The origin of what was declared at run time."""


class UnknownIndexError(VectorPipelineError):
    """No declaration has that name."""


@dataclass(frozen=True)
class Place:
    """Where a declaration stands: one YAML document of a file."""

    path: Path
    document: int = 0

    def __str__(self) -> str:
        """As errors name it: the file relative to the project, and which of its documents if not the first."""
        path = relative_to_project(self.path)
        return f"{path} (document {self.document + 1})" if self.document else str(path)


@dataclass(frozen=True)
class Declaration:
    """A declared index and the file that declares it, or `registry` as the origin of one that was declared at run time.

    `problems` are those that the declarations alone show; what the table and the model show is found when it is used.
    """

    spec: IndexSpec
    origin: str
    problems: tuple[DeclarationProblem, ...] = ()
    path: Path | None = None

    @property
    def folder(self) -> Path | None:
        """The one that the file is in: what a declaration names is looked for there first."""
        return None if self.path is None else self.path.parent

    @property
    def at_run_time(self) -> bool:
        """Whether it was declared at run time: only such an index can be removed at run time."""
        return self.path is None and self.origin == REGISTRY

    def refuse_if_wrong(self) -> None:
        """Raises:
        IndexSpecError: the files alone show that the declaration is wrong.
        """
        if self.problems:
            raise IndexSpecError(self.origin, self.problems)


def find_declaration(name: str, folder: Path | None = None) -> Declaration:
    """The declaration of one index; others are not looked into.

    Args:
        folder: whose files are meant; all that is declared in this deployment, if left out.

    Raises:
        UnknownIndexError: naming the indexes that are declared, and the files that can't be read.
        IndexSpecError: it is malformed.
    """
    files = folder or defs_folder()
    names = set()
    for place, attributes in _written(files):
        if (found := _name(attributes)) == name:
            return declare(attributes, place, files)
        names.add(found)
    for stored in [] if folder else read_stored_declarations():
        if stored.name == name:
            return _declared_at_run_time(stored, _names_in(files))
        names.add(stored.name)
    unreadable = [problem for path in _files(files) if (problem := _unreadable(path))]
    raise UnknownIndexError(
        "; ".join([f"no index {name!r} is declared; there are: {', '.join(sorted(names)) or 'none'}", *unreadable])
    )


def read_declarations(folder: Path | None = None) -> list[Declaration]:
    """All declared indexes, by name.

    Args:
        folder: whose files are meant; all that is declared in this deployment, if left out.

    Raises:
        IndexSpecError: one of them is malformed.
    """
    files = folder or defs_folder()
    for path in _files(files):
        if problem := _unreadable(path):
            raise IndexSpecError(str(Place(path)), [DeclarationProblem("YAML", problem, "see `dg check yaml`")])
    found = [declare(attributes, place, files) for place, attributes in _written(files)]
    taken = _names_in(files)
    found += [_declared_at_run_time(stored, taken) for stored in ([] if folder else read_stored_declarations())]
    return sorted(found, key=lambda declaration: (declaration.spec.name, declaration.origin))


def over_rows(declarations: Iterable[Declaration]) -> list[Declaration]:
    """Those whose documents are rows of tables: what "all indexes" means to who searches. MySQL's catalog is left out,
    since a question for what rows say is not answered by the names of tables."""
    return [declaration for declaration in declarations if declaration.spec.source.catalog is None]


def find_catalog(declarations: Iterable[Declaration]) -> Declaration:
    """The index over MySQL's catalog; of several the one that is named `catalog`, else the first.

    Raises:
        UnknownIndexError: there is none; says how to declare one.
    """
    found = [declaration for declaration in declarations if declaration.spec.source.catalog is not None]
    if not found:
        raise UnknownIndexError(
            "no index over MySQL's catalog is declared; declare one in catalog/defs.yaml with "
            "`source: {catalog: {}}` (docs/catalog.md), then: vector-pipeline sync catalog"
        )
    return min(found, key=lambda declaration: declaration.spec.name != CATALOG_INDEX)


def well_formed_declarations(folder: Path | None = None) -> list[Declaration]:
    """The declared indexes less those that are malformed, of which Dagster's UI and the log tell.

    Args:
        folder: whose files are meant; all that is declared in this deployment, if left out.
    """
    files = folder or defs_folder()
    found = []
    for place, attributes in _written(files):
        with suppress(IndexSpecError):
            found.append(declare(attributes, place, files))
    return found if folder else found + declarations_made_at_run_time()


def declarations_made_at_run_time(
    stored: Sequence[StoredDeclaration] | None = None, taken: Mapping[str, str] | None = None
) -> list[Declaration]:
    """Those indexes that no file declares, less those that this version of the project can't read; the log tells of
    these.

    Args:
        stored: what the registry holds, where that is known already.
        taken: the names that files declare, with the files; those of this deployment, if left out.
    """
    found = []
    taken = _names_in(defs_folder()) if taken is None else taken
    for one in read_stored_declarations() if stored is None else stored:
        try:
            found.append(_declared_at_run_time(one, taken))
        except IndexSpecError as error:
            _log.warning("an index declared at run time is left out: %s", error)
    return found


def declare(attributes: Mapping[str, Any], place: Place, folder: Path) -> Declaration:
    """Makes a declaration of what stands in a file. What is well-formed but wrong is told by its `problems`.

    Raises:
        IndexSpecError: it is malformed: a field is missing, unknown or of the wrong type.
    """
    spec, problems = _resolved(attributes, str(place))
    problems += static_problems(spec)
    first = next((other for other, written in _written(folder) if _name(written) == spec.name), place)
    if first != place:
        problems.append(
            DeclarationProblem("name", f"{spec.name!r} is declared in {first} already", "choose another name")
        )
    return Declaration(spec, str(place), tuple(problems), place.path)


def _names_in(folder: Path) -> dict[str, str]:
    """The names that files declare, each with the first that does."""
    names: dict[str, str] = {}
    for place, attributes in _written(folder):
        names.setdefault(_name(attributes), str(place))
    return names


def _declared_at_run_time(stored: StoredDeclaration, taken: Mapping[str, str]) -> Declaration:
    """Raises:
    IndexSpecError: another version of this project wrote it, and this one can't read it.
    """
    try:
        spec = IndexSpec.model_validate_json(stored.declaration)
    except ValidationError as error:
        remedy = f"remove the index (embed_delete_index) and declare it again; it is {stored.name!r}"
        problems = [replace(_malformed(one), remedy=remedy) for one in error.errors()]
        raise IndexSpecError(REGISTRY, problems) from None
    problems = static_problems(spec)
    if (first := taken.get(spec.name)) is not None:
        remedy = f"choose another name in {first}, or remove what was declared at run time (embed_delete_index)"
        problems.append(DeclarationProblem("name", f"{spec.name!r} is declared in {first} as well, which wins", remedy))
    return Declaration(spec, REGISTRY, tuple(problems))


def _files(folder: Path) -> list[Path]:
    """The files that Dagster looks for, one a folder."""
    folders = sorted({path.parent for name in FILE_NAMES for path in folder.rglob(name)})
    return [next(path for name in FILE_NAMES if (path := inner / name).exists()) for inner in folders]


def _written(folder: Path) -> Iterator[tuple[Place, dict[str, Any]]]:
    """The attributes of each index as they stand in the files. The first to declare a name has it."""
    for path in _files(folder):
        if _unreadable(path) is not None:
            continue
        for number, document in enumerate(yaml.safe_load_all(path.read_text())):
            if isinstance(document, dict) and str(document.get("type", "")).endswith(COMPONENT_TYPE):
                attributes = document.get("attributes")
                yield Place(path, number), attributes if isinstance(attributes, dict) else {}


def _unreadable(path: Path) -> str | None:
    try:
        list(yaml.safe_load_all(path.read_text()))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        return f"{Place(path)} can't be read: {' '.join(str(error).split())}"
    return None


def _name(attributes: Mapping[str, Any]) -> str:
    name = attributes.get("name")
    try:
        return str(resolve(name)) if isinstance(name, str) and is_template(name) else str(name)
    except UnresolvedTemplateError:
        return str(name)


def _resolved(attributes: Mapping[str, Any], origin: str) -> tuple[IndexSpec, list[DeclarationProblem]]:
    """Resolves templates and validates.

    A template that yields nothing usable is a problem of this index alone, not a malformed file: its field stays as
    written, or is left out, so that the index can be shown with its problem.
    """
    values, failures = resolve_all(attributes)
    templates = dict(templates_in(attributes))
    while True:
        try:
            spec = IndexSpec.model_validate(values)
        except ValidationError as error:
            errors = error.errors()
        else:
            return spec, [
                DeclarationProblem(
                    ".".join(path),
                    f"{message} (from {templates[path]})",
                    "set the variable right, or give the template a default",
                )
                for path, message in failures.items()
            ]
        for found in errors:
            path = next((path for path in templates if _leads_to(path, found["loc"])), None)
            if path is None or not _give_up(values, path, templates[path]):
                raise IndexSpecError(origin, [_malformed(one) for one in errors]) from None
            failures.setdefault(path, found["msg"])


def _leads_to(path: FieldPath, location: Sequence[str | int]) -> bool:
    """Whether an error's location is that of the field. Locations also name the members of unions on the way."""
    steps = iter(map(str, location))
    return all(step in steps for step in path)


def _give_up(values: dict[str, Any], path: FieldPath, template: str) -> bool:
    """Leaves a field as it was written, or where that has been tried, leaves it out; False if that was tried too."""
    parent = values
    for step in path[:-1]:
        parent = parent[step]
    if path[-1] not in parent:
        return False
    if parent[path[-1]] == template:
        del parent[path[-1]]
    else:
        parent[path[-1]] = template
    return True


def _malformed(found: ErrorDetails) -> DeclarationProblem:
    return DeclarationProblem(".".join(map(str, found["loc"])), found["msg"], "see `dg check yaml`")
