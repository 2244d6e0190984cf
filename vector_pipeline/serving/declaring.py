"""Indexes over tables, declared and removed while everything runs: the registry first, then Dagster's code location."""

from __future__ import annotations

import logging

from vector_pipeline.core.declaring import TableRequest, declaration_for_table
from vector_pipeline.core.errors import DeclaredInAFileError, IndexExistsError
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.core.store.declared_indexes import StoredDeclaration
from vector_pipeline.declarations import Declaration
from vector_pipeline.run_time_indexes import declare_index, remove_index
from vector_pipeline.serving.dagster_client import DagsterRefusedError, DagsterUnavailableError
from vector_pipeline.serving.deployment import Deployment

# For looking at a table and its condition.
_LOOK_SECONDS = 10.0

_log = logging.getLogger(__name__)


def declare_for_table(deployment: Deployment, request: TableRequest, declared_by: str) -> Declaration:
    """Declares an index over a table and has Dagster know of it. Nothing is declared while Dagster is away.

    Args:
        declared_by: who asked for it, for people who wonder later.

    Raises:
        IndexExistsError: there is one over that table already, or one of that name.
        IndexSpecError: naming what is wrong, and what is allowed instead.
        DagsterUnavailableError: nobody would fill it.
    """
    deployment.dagster.version()
    known = deployment.declarations()
    with deployment.source_session(_LOOK_SECONDS, f"to look at {request.schema}.{request.table}") as source:
        taken = [one.spec.name for one in known]
        spec = declaration_for_table(source, request, deployment.settings.embedding, taken)
    _refuse_what_is_there(deployment, spec)
    declaration = declare_index(spec, deployment.settings, declared_by)
    deployment.look_at_declarations_again()
    deployment.dagster.reload_code_location()
    return declaration


def remove_declared(deployment: Deployment, name: str) -> tuple[StoredDeclaration, bool]:
    """Removes an index that was declared at run time. Returns what its declaration was, and whether Dagster knows: if
    not, it shows the index until its code location is loaded again.

    Raises:
        DeclaredInAFileError: naming the file.
        NotDeclaredHereError: there is none of that name.
    """
    for declaration in deployment.declarations():
        if declaration.spec.name == name and not declaration.at_run_time:
            raise DeclaredInAFileError(
                f"index {name!r} is declared in {declaration.origin} and can't be removed from here; remove it from "
                f"that file, reload the code location, and run: vector-pipeline drop {name}"
            )
    stored = remove_index(name, deployment.settings)
    deployment.look_at_declarations_again()
    try:
        deployment.dagster.reload_code_location()
    except (DagsterUnavailableError, DagsterRefusedError) as error:
        _log.warning("index %r is removed, and Dagster not told: %s", name, error)
        return stored, False
    return stored, True


def _refuse_what_is_there(deployment: Deployment, spec: IndexSpec) -> None:
    usual = deployment.settings.source.database
    place = spec.source.database or usual, spec.source.table
    for other in deployment.declarations():
        if (other.spec.source.database or usual, other.spec.source.table) == place:
            raise IndexExistsError(
                f"there is an index {other.spec.name!r} over {'.'.join(place)} already, declared in {other.origin}; "
                "embed_reindex builds it again"
            )
