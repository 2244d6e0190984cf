"""POST /v1/indexes and DELETE /v1/indexes/{index}: indexes that come and go while everything runs."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field

from vector_pipeline.core.declaring import TableRequest, declaration_for_table
from vector_pipeline.core.errors import IndexSpecError
from vector_pipeline.serving.access.caller import AccessRefusedError
from vector_pipeline.serving.access.limits import allow_time
from vector_pipeline.serving.access.needs import AdminCaller
from vector_pipeline.serving.dependencies import TheDeployment
from vector_pipeline.serving.deployment import Deployment
from vector_pipeline.serving.errors import problem
from vector_pipeline.serving.lifecycle import Created, create_index, delete_index
from vector_pipeline.serving.responses import CONFLICT, INVALID, OF_AN_INDEX, UNAVAILABLE
from vector_pipeline.serving.threads import run_blocking
from vector_pipeline.serving.v1 import examples
from vector_pipeline.serving.v1.parameters import IndexPath
from vector_pipeline.serving.v1.run_models import Run

router = APIRouter(prefix="/v1", tags=["indexes"])

# Dagster loads its code location anew, which takes some ten seconds where there are many indexes.
_MOST_SECONDS = 180.0
# For looking at a table and its condition.
_LOOK_SECONDS = 10.0

Name = Annotated[str, Field(min_length=1, max_length=64)]


class CreateBody(BaseModel):
    """The table to index, and how."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {
                    "table": "orders",
                    "columns": ["name", "notes"],
                    "primary_key": ["id"],
                    "where": "status = 'open'",
                    "strategy": "separate",
                }
            ]
        },
    )

    database: Name | None = Field(default=None, description="In MySQL; that of the environment, if left out.")
    table: Name
    columns: list[Name] = Field(min_length=1, max_length=100, description="Those whose texts are searched.")
    primary_key: Annotated[list[Name], Field(min_length=1, max_length=16)] | None = Field(
        default=None, description="The table's own, if left out."
    )
    where: Annotated[str, Field(min_length=1, max_length=8192)] | None = Field(
        default=None, description="Which rows are indexed: one condition over the table's own columns."
    )
    model: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        default=None, description="That of the environment, if left out."
    )
    strategy: Literal["separate", "concat", "average"] = Field(
        default="separate",
        description="A vector for each column; one of all texts together; or one that is the mean of theirs.",
    )


class CreatedIndex(BaseModel):
    """An index that is there from now on."""

    model_config = ConfigDict(json_schema_extra=examples.shown(examples.CREATED_INDEX))

    index: str
    run: Run = Field(description="It fills the index.")


class RemovedIndex(BaseModel):
    """An index that is gone."""

    model_config = ConfigDict(json_schema_extra=examples.shown(examples.REMOVED_INDEX))

    index: str
    left_over: str | None = Field(description="What is still to be done, where Dagster could not be told.")


@router.post(
    "/indexes",
    status_code=202,
    operation_id="create_index",
    summary="Create an index over a table",
    responses=CONFLICT | INVALID | UNAVAILABLE,
)
async def create(body: CreateBody, request: Request, deployment: TheDeployment, caller: AdminCaller) -> CreatedIndex:
    """Declares an index, and starts the run that fills it. All columns that are no text of it, and neither large nor
    named like a secret, are metadata. It is followed and searched as those that files declare."""
    if caller.only is not None:
        raise AccessRefusedError(403, f"{caller.name} is for some indexes only, and makes no others")
    allow_time(request.scope, _MOST_SECONDS)
    created = await run_blocking("runs", lambda: _create(deployment, body, caller.name))
    return CreatedIndex(index=created.declaration.spec.name, run=Run.of(created.launched.run))


@router.delete(
    "/indexes/{index}",
    operation_id="delete_index",
    summary="Remove an index that was created at run time",
    responses=OF_AN_INDEX,
)
async def delete(index: IndexPath, request: Request, deployment: TheDeployment, _: AdminCaller) -> RemovedIndex:
    """Removes it with its documents and vectors. MySQL is not touched. What a file declares is removed there."""
    allow_time(request.scope, _MOST_SECONDS)
    removed = await run_blocking("runs", lambda: delete_index(deployment, index))
    return RemovedIndex(index=removed.name, left_over=removed.left_over)


def _create(deployment: Deployment, body: CreateBody, declared_by: str) -> Created:
    database = body.database or deployment.settings.source.database
    request = TableRequest(database, body.table, body.columns, body.primary_key, body.where, body.model, body.strategy)
    try:
        with deployment.source_session(_LOOK_SECONDS, f"to look at {database}.{body.table}") as source:
            taken = [declaration.spec.name for declaration in deployment.declarations()]
            spec = declaration_for_table(source, request, deployment.settings.embedding, taken)
        return create_index(deployment, spec, declared_by)
    except IndexSpecError as error:
        raise RequestValidationError(
            [
                problem(("body", *found.field.split(".")), f"{found.problem}; {found.remedy}", "declaration")
                for found in error.problems
            ]
        ) from None
