"""Creating and removing indexes at run time: the declaration, Dagster's code location, and the first run, in one call.

Blocking, and slow: the code location is loaded anew.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from vector_pipeline.core.errors import VectorPipelineError
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.declarations import Declaration, UnknownIndexError
from vector_pipeline.run_time_indexes import declare_index, remove_index
from vector_pipeline.serving.dagster_client import DagsterClient, DagsterRefusedError
from vector_pipeline.serving.deployment import Deployment
from vector_pipeline.serving.launching import Launched, launch_once

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Created:
    """An index that is there from now on, and the run that fills it."""

    declaration: Declaration
    launched: Launched


@dataclass(frozen=True)
class Removed:
    """An index that is gone. `left_over` says what is still to be done where Dagster could not be told."""

    name: str
    left_over: str | None


def create_index(
    deployment: Deployment, spec: IndexSpec, declared_by: str, tags: Mapping[str, str] | None = None
) -> Created:
    """Declares an index, has Dagster load it, and starts the run that fills it. Nothing is left behind where Dagster
    can't load it.

    Args:
        declared_by: who asked for it.
        tags: of the run.

    Raises:
        IndexExistsError, IndexSpecError: as `declare_index`.
        DagsterUnavailableError: it can't be told; nothing was declared.
        DagsterRefusedError: the code location doesn't load.
    """
    dagster = deployment.dagster
    dagster.version()  # before anything is done
    declaration = declare_index(spec, deployment.settings, declared_by, deployment.declarations())
    try:
        dagster.reload_code_location()
        _refuse_a_location_that_stays_as_it_is(dagster, declaration.spec.name)
    except VectorPipelineError:
        remove_index(declaration.spec.name, deployment.settings, deployment.declarations())
        raise
    finally:
        deployment.look_at_declarations_again()
    with deployment.target() as target:
        return Created(declaration, launch_once(dagster, target, declaration.spec.name, "sync", tags))


def _refuse_a_location_that_stays_as_it_is(dagster: DagsterClient, name: str) -> None:
    """A server of `dagster api grpc` takes the order to reload and does nothing.

    Raises:
        DagsterRefusedError: naming the remedy.
    """
    if not dagster.has_job(f"{name}_sync"):
        raise DagsterRefusedError(
            f"Dagster's code location was reloaded and does not know index {name!r}: start its code server by "
            "`dagster code-server start`, which can be reloaded, with the same environment (PG_HOST, …) as the service"
        )


def delete_index(deployment: Deployment, name: str) -> Removed:
    """Removes an index that was declared at run time, with its runs, its assets in Dagster and all its vectors.

    Raises:
        DeclaredInAFileError: naming the file.
        NotDeclaredHereError: there is none of that name.
    """
    dagster = deployment.dagster
    with suppress(UnknownIndexError):
        if deployment.declaration(name).at_run_time:
            _stop_runs(dagster, name)
    remove_index(name, deployment.settings, deployment.declarations())
    deployment.look_at_declarations_again()
    try:
        dagster.reload_code_location()
    except VectorPipelineError as error:
        _log.warning("index %s is removed, and Dagster still shows it: %s", name, error)
        return Removed(name, f"Dagster shows the index until its code location is reloaded: {error}")
    return Removed(name, None)


def _stop_runs(dagster: DagsterClient, name: str) -> None:
    """One that goes on finds its index gone, and fails: stopped, it fails nowhere."""
    try:
        for run in dagster.unfinished_runs(name):
            with suppress(DagsterRefusedError):  # it has just ended
                dagster.terminate(run.id)
    except VectorPipelineError as error:
        _log.warning("runs of index %s can't be stopped before it is removed: %s", name, error)
