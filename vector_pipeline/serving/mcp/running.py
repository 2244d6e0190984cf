"""The tools that have Dagster work: sync an index, build one or all again. What they start goes on by itself."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from vector_pipeline.core.errors import VectorPipelineError
from vector_pipeline.core.store.api_keys import AccessScope
from vector_pipeline.declarations import Declaration
from vector_pipeline.serving.dagster_client import Run, UnknownJobError
from vector_pipeline.serving.errors import service_of
from vector_pipeline.serving.launching import Kind, Launched, launch_once, read_outcome
from vector_pipeline.serving.mcp.arguments import Arguments, Which
from vector_pipeline.serving.mcp.asked import Asked, CannotDoError
from vector_pipeline.serving.mcp.listing import VECTOR_DIM, ListedIndex, described
from vector_pipeline.serving.mcp.tool import Answer, Tool

ASKED_BY = "vector/asked_by"
"""The tag of runs that tells who has asked for them."""

MOST_WAIT = 30
LAUNCHING_SECONDS = 55.0

_log = logging.getLogger(__name__)

Wait = Annotated[
    int,
    Field(
        ge=0,
        le=MOST_WAIT,
        description="Seconds to wait for the run to end, 0 to 30. A run goes on all the same; index_status tells how "
        "far the index is.",
    ),
]


class Started(Answer):
    """A run of Dagster."""

    model_config = ConfigDict(serialize_by_alias=True)

    index: str
    database: str = Field(serialization_alias="schema")
    table: str
    run_id: str
    run_url: str
    status: str = Field(description="Dagster's word for how the run stands: QUEUED, STARTED, SUCCESS, FAILURE, …")
    joined: bool = Field(description="The run was there already, and takes what has changed since into account.")


class Synced(Started):
    """What sync_index has started, and done if it was waited for."""

    documents_written: int | None = Field(description="Null while the run is at work.")
    documents_deleted: int | None


class Indexed(Started):
    """An index that is being filled."""

    model: str | None
    vector_dim: int | None = Field(description=VECTOR_DIM)
    row_count: int = Field(description="Rows that are in the index by now.")
    indexed_at: int = Field(description="Unix time at which it was last synced; of the start, while nothing is synced.")


class Rebuilding(ListedIndex):
    """An index that is being built again."""

    run_id: str
    run_url: str


class NotRebuilt(BaseModel):
    """An index that could not be built again."""

    model_config = ConfigDict(serialize_by_alias=True)

    index: str
    database: str = Field(serialization_alias="schema")
    table: str
    error: str


class Rebuilt(Answer):
    """What embed_rebuild_all has started."""

    rebuilt_count: int
    failed: list[NotRebuilt]
    indexes: list[Rebuilding]


class Sync(Which):
    """Arguments of sync_index."""

    wait: Wait = 10


class Reindex(Which):
    """Arguments of embed_reindex."""

    wait: Wait = 10


def sync_index(asked: Asked, given: Sync) -> Synced:
    """Has an index follow its MySQL table now: what differs is found, and only that is embedded.

    Indexes follow by themselves within seconds or minutes; use this where you have just written rows and want to be
    told when they can be found. Name the table by `schema` and `table`, or the index by `index`.

    Example: {"table": "orders", "wait": 20}
    """
    declaration = asked.one(given)
    launched = launch(asked, declaration, "sync")
    run = waited(asked, launched.run, given.wait)
    outcome = read_outcome(asked.deployment.dagster.result(run.id)) if run.succeeded else None
    return Synced(
        **_of_run(asked, declaration, run, launched.joined),
        documents_written=None if outcome is None else outcome.documents_written,
        documents_deleted=None if outcome is None else outcome.deleted,
    )


def embed_reindex(asked: Asked, given: Reindex) -> Indexed:
    """Builds an index again: reads its whole MySQL table, holds every vector against it, and makes anew what differs.

    Texts that have a sound vector are not paid for again. Search goes on meanwhile. Use it where an index seems wrong;
    for rows that have just changed sync_index is enough. Name the table by `schema` and `table`, or the index by
    `index`.

    Example: {"schema": "shop", "table": "orders"}
    """
    declaration = asked.one(given)
    return indexed(asked, declaration, launch(asked, declaration, "reindex"), given.wait)


def embed_rebuild_all(asked: Asked, _: Arguments) -> Rebuilt:
    """Builds all indexes again, each by a run of its own, as embed_reindex does for one. Takes no arguments.

    It starts the runs and waits for none; index_status tells how far they are. `failed` names indexes that no run could
    be started for.

    Example: {}
    """
    asked.deployment.dagster.version()  # or each of them would fail for the same reason
    runs: dict[str, Run] = {}
    failed: list[NotRebuilt] = []
    declarations = asked.everything()
    for declaration in declarations:
        try:
            declaration.refuse_if_wrong()
            runs[declaration.spec.name] = launch(asked, declaration, "reindex").run
        except VectorPipelineError as error:
            failed.append(NotRebuilt(**_of_index(asked, declaration), error=_why(declaration, error)))
    if failed and not runs:
        raise CannotDoError(f"no run could be started: {'; '.join(f'{one.index}: {one.error}' for one in failed)}")
    return Rebuilt(
        rebuilt_count=len(runs),
        failed=failed,
        indexes=_rebuilding(asked, [one for one in declarations if one.spec.name in runs], runs),
    )


def launch(asked: Asked, declaration: Declaration, kind: Kind) -> Launched:
    """Starts a run for an index, or joins the one that is there."""
    name, dagster, tags = declaration.spec.name, asked.deployment.dagster, {ASKED_BY: asked.caller.name}
    with asked.deployment.target() as target:
        try:
            return launch_once(dagster, target, name, kind, tags)
        except UnknownJobError:
            # Declared since the code location was loaded, by somebody who could not reach Dagster.
            dagster.reload_code_location()
            return launch_once(dagster, target, name, kind, tags)


def waited(asked: Asked, run: Run, seconds: float) -> Run:
    """The run as it stands after so long, or when it has finished."""
    return asked.deployment.dagster.wait(run.id, seconds) if seconds else run


def indexed(asked: Asked, declaration: Declaration, launched: Launched, wait: float) -> Indexed:
    """The index as it is after waiting for the run that fills it."""
    began = int(time.time())
    run = waited(asked, launched.run, wait)
    [listed] = described(asked, [declaration])
    return Indexed(
        **_of_run(asked, declaration, run, launched.joined),
        model=listed.model,
        vector_dim=listed.vector_dim,
        row_count=listed.row_count,
        indexed_at=listed.indexed_at or began,
    )


def _rebuilding(asked: Asked, declarations: Sequence[Declaration], runs: dict[str, Run]) -> list[Rebuilding]:
    return [
        Rebuilding(**listed.model_dump(by_alias=False), run_id=runs[listed.index].id, run_url=runs[listed.index].url)
        for listed in described(asked, declarations)
    ]


def _of_run(asked: Asked, declaration: Declaration, run: Run, joined: bool) -> dict[str, Any]:
    return {
        **_of_index(asked, declaration),
        "run_id": run.id,
        "run_url": run.url,
        "status": run.status.value,
        "joined": joined,
    }


def _of_index(asked: Asked, declaration: Declaration) -> dict[str, Any]:
    return {
        "index": declaration.spec.name,
        "database": asked.database_of(declaration),
        "table": declaration.spec.source.table,
    }


def _why(declaration: Declaration, error: VectorPipelineError) -> str:
    if declaration.problems:
        return "it is declared wrongly: see `dg check yaml`"
    _log.warning("index %s can't be built again: %s", declaration.spec.name, error)
    return service_of(error)


RUNNING: tuple[Tool[Any], ...] = (
    Tool(
        "sync_index",
        "Sync an index now",
        AccessScope.SYNC,
        Sync,
        Synced,
        sync_index,
        "runs",
        LAUNCHING_SECONDS,
        changes=True,
    ),
    Tool(
        "embed_reindex",
        "Build an index again",
        AccessScope.ADMIN,
        Reindex,
        Indexed,
        embed_reindex,
        "runs",
        LAUNCHING_SECONDS,
        changes=True,
    ),
    Tool(
        "embed_rebuild_all",
        "Build all indexes again",
        AccessScope.ADMIN,
        Arguments,
        Rebuilt,
        embed_rebuild_all,
        "runs",
        LAUNCHING_SECONDS,
        changes=True,
    ),
)
