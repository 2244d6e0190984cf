"""Declaring an index at run time, and removing one: what an API call or an agent does instead of writing a file.

Neither tells Dagster: whoever calls these has the code location reloaded afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import psycopg

from vector_pipeline.core.errors import (
    DeclaredInAFileError,
    IndexExistsError,
    IndexSpecError,
    NotDeclaredHereError,
    NotYetSyncedError,
)
from vector_pipeline.core.index import open_index
from vector_pipeline.core.settings import Settings
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.core.store import connection as store_connection
from vector_pipeline.core.store import declared_indexes, registry, view
from vector_pipeline.core.store.declared_indexes import StoredDeclaration
from vector_pipeline.declarations import (
    REGISTRY,
    Declaration,
    declarations_made_at_run_time,
    well_formed_declarations,
)
from vector_pipeline.declared_at_run_time import RegistryCache, cache_path
from vector_pipeline.project_folder import defs_folder


def declare_index(
    spec: IndexSpec, settings: Settings, declared_by: str, in_files: Iterable[Declaration] | None = None
) -> Declaration:
    """Checks a declaration against MySQL, PostgreSQL and the provider, and keeps it.

    Args:
        declared_by: who asked for it, for people who wonder later.
        in_files: what files declare; read from those of this deployment, if left out.

    Raises:
        IndexExistsError: there is an index of that name, or over that table.
        IndexSpecError: it is wrong; every field and its remedy are named.
    """
    spec = with_database(spec, settings.source.database)
    _refuse_what_files_declare(spec, settings, _of_files(in_files))
    with _target(settings) as target:
        declared_indexes.refuse_what_exists(target, spec)
        with open_index(spec, settings, origin=REGISTRY) as opened:
            problems = opened.check_declaration()
        if problems:
            raise IndexSpecError(REGISTRY, problems)
        stored = declared_indexes.create(target, spec, declared_by)
        _keep_for_others(target, settings)
    [declaration] = declarations_made_at_run_time([stored])
    return declaration


def remove_index(name: str, settings: Settings, in_files: Iterable[Declaration] | None = None) -> StoredDeclaration:
    """Removes an index that was declared at run time: its declaration, its documents and its vectors. MySQL is not
    touched. A removal that was broken off is finished by the next.

    Args:
        in_files: what files declare; read from those of this deployment, if left out.

    Returns:
        What its declaration was.

    Raises:
        DeclaredInAFileError: naming the file.
        NotDeclaredHereError: there is none of that name.
    """
    with _target(settings) as target:
        try:
            stored = declared_indexes.read_removable(target, name)
        except NotDeclaredHereError:
            for declaration in _of_files(in_files):
                if declaration.spec.name == name:
                    raise DeclaredInAFileError(
                        f"index {name!r} is declared in {declaration.origin} and can't be removed from here; remove "
                        f"that file, reload the code location, and run: vector-pipeline drop {name}"
                    ) from None
            raise
        declared_indexes.begin_removal(target, name)
        try:
            _drop(stored, settings, target)
        except BaseException:
            with suppress(psycopg.Error):
                declared_indexes.give_up_removal(target, name)
            raise
        declared_indexes.end_removal(target, name)
        _keep_for_others(target, settings)
    return stored


def with_database(spec: IndexSpec, database: str) -> IndexSpec:
    """The declaration with the database that it leaves to the environment, which may name another one day."""
    if spec.source.database is not None:
        return spec
    return spec.model_copy(update={"source": spec.source.model_copy(update={"database": database})})


def _of_files(given: Iterable[Declaration] | None) -> list[Declaration]:
    found = well_formed_declarations(defs_folder()) if given is None else given
    return [declaration for declaration in found if not declaration.at_run_time]


def _refuse_what_files_declare(spec: IndexSpec, settings: Settings, in_files: Iterable[Declaration]) -> None:
    database, table = spec.source.database or "", spec.source.table
    for declaration in in_files:
        other = with_database(declaration.spec, settings.source.database)
        if other.name.lower() == spec.name.lower() or (other.source.database, other.source.table) == (database, table):
            raise IndexExistsError(
                f"there is an index {other.name!r} already, over {other.source.database}.{other.source.table}, "
                f"declared in {declaration.origin}; embed_reindex builds it again"
            )


def _drop(stored: StoredDeclaration, settings: Settings, target: psycopg.Connection) -> None:
    """Removes what was built, if anything was."""
    try:
        [declaration] = declarations_made_at_run_time([stored])
    except ValueError:  # another version wrote the declaration
        index = registry.load(target, stored.name)
        if index is not None:
            registry.drop(target, index, view.view_name(index))
        return
    with open_index(declaration.spec, settings, origin=REGISTRY) as opened, suppress(NotYetSyncedError):
        opened.drop()


def _keep_for_others(target: psycopg.Connection, settings: Settings) -> None:
    RegistryCache(cache_path(), settings.target).keep(declared_indexes.read_all(target))


@contextmanager
def _target(settings: Settings) -> Iterator[psycopg.Connection]:
    """Raises:
    VectorPipelineError: errors of PostgreSQL in our words.
    """
    try:
        with store_connection.connect_without_vectors(settings.target, "vector-pipeline declarations") as connection:
            yield connection
    except psycopg.Error as error:
        raise store_connection.target_error(settings.target, error) from None
