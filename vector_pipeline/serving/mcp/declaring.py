"""The tools that make an index over a table, and remove one."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from vector_pipeline.core.declaring import TableRequest, declaration_for_table, index_name
from vector_pipeline.core.errors import NotDeclaredHereError
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.core.store.api_keys import AccessScope
from vector_pipeline.core.store.declared_indexes import read_removable
from vector_pipeline.declarations import UnknownIndexError
from vector_pipeline.serving.access.caller import AccessRefusedError
from vector_pipeline.serving.deployment import Deployment
from vector_pipeline.serving.lifecycle import create_index, delete_index
from vector_pipeline.serving.mcp.arguments import Arguments, Name, OrJsonText, Schema, Which
from vector_pipeline.serving.mcp.asked import Asked, CannotDoError
from vector_pipeline.serving.mcp.running import ASKED_BY, LAUNCHING_SECONDS, Indexed, Wait, indexed
from vector_pipeline.serving.mcp.tool import SECONDS, Answer, Tool

_MOST_COLUMNS = 100

_SeveralColumns = Annotated[list[Name], Field(min_length=1, max_length=_MOST_COLUMNS)]


class IndexTable(Arguments):
    """Arguments of embed_index_table."""

    database: Schema = None
    table: Name = Field(description="The MySQL table or view.")
    columns: Annotated[
        _SeveralColumns,
        OrJsonText,
        Field(description="The columns whose texts are searched, as an array or as JSON text.", examples=[["notes"]]),
    ]
    primary_key: Annotated[
        Name | _SeveralColumns | None,
        OrJsonText,
        Field(description="The column that identifies a row, or an array of several; the table's own if left out."),
    ] = None
    where_clause: str | None = Field(
        default=None,
        max_length=8192,
        description="Which rows to index: one condition over the table's own columns, as after WHERE, without queries, "
        "variables and comments; all rows if left out.",
        examples=["status = 'published' AND lang IN ('de', 'en')"],
    )
    model: Name | None = Field(default=None, description="Embedding model; that of this deployment if left out.")
    strategy: Literal["concat", "average", "separate"] = Field(
        default="concat",
        description="concat: one vector of all columns' texts together. average: one vector, the mean of theirs. "
        "separate: a vector for each column.",
    )
    wait: Wait = 20


class Deleted(Answer):
    """What embed_delete_index has removed."""

    model_config = ConfigDict(serialize_by_alias=True)

    index: str
    database: str = Field(serialization_alias="schema")
    table: str
    message: str


def embed_index_table(asked: Asked, given: IndexTable) -> Indexed:
    """Makes an index over a MySQL table, so that its rows can be searched, and starts filling it.

    Rows and their changes are followed from then on. Columns that are not embedded are shown with results, and can be
    filtered by, unless they are large or look like secrets. It waits `wait` seconds for the first filling;
    index_status tells of the rest. For a table that has an index already take embed_reindex.

    Example: {"schema": "shop", "table": "orders", "columns": ["name", "notes"], "primary_key": "id",
    "where_clause": "status <> 'cancelled'", "strategy": "concat"}
    """
    if asked.caller.only is not None:
        raise AccessRefusedError(403, f"{asked.caller.name} is for some indexes only, and makes no others")
    key = (given.primary_key,) if isinstance(given.primary_key, str) else given.primary_key
    request = TableRequest(
        given.database or asked.deployment.settings.source.database,
        given.table,
        given.columns,
        key,
        given.where_clause,
        given.model,
        given.strategy,
    )
    created = create_index(
        asked.deployment, _declaration(asked.deployment, request), asked.caller.name, {ASKED_BY: asked.caller.name}
    )
    return indexed(asked, created.declaration, created.launched, given.wait)


def embed_delete_index(asked: Asked, given: Which) -> Deleted:
    """Removes an index that was made by embed_index_table, with its vectors. The MySQL table is not touched.

    It can't be taken back; making the index again embeds all rows anew. An index that a file declares can't be removed
    from here. Name the table by `schema` and `table`, or the index by `index`.

    Example: {"schema": "shop", "table": "orders"}
    """
    if given == Which():
        raise CannotDoError("name the index by `index`, or by `schema` and `table`")
    found = _removable(asked, given)
    left_over = delete_index(asked.deployment, found.name).left_over
    message = f"index {found.name!r} is removed, with its documents and vectors"
    if left_over is not None:
        message += "; Dagster shows it until its code location is loaded again"
    return Deleted(
        index=found.name,
        database=found.source.database or asked.deployment.settings.source.database,
        table=found.source.table,
        message=message,
    )


def _declaration(deployment: Deployment, request: TableRequest) -> IndexSpec:
    taken = [one.spec.name for one in deployment.declarations()]
    with deployment.source_session(SECONDS, f"to look at {request.schema}.{request.table}") as source:
        return declaration_for_table(source, request, deployment.settings.embedding, taken)


def _removable(asked: Asked, given: Which) -> IndexSpec:
    """The index that is meant, also one whose removal was broken off, which is not declared any more."""
    try:
        return asked.one(given).spec
    except (CannotDoError, UnknownIndexError):
        name = given.index
        if name is None and given.table is not None:
            name = index_name(given.database or asked.deployment.settings.source.database, given.table)
        if name is None or not asked.caller.may(asked.scope, name):
            raise
        with asked.deployment.target() as target, suppress(NotDeclaredHereError, ValidationError):
            return IndexSpec.model_validate_json(read_removable(target, name).declaration)
        raise


DECLARING: tuple[Tool[Any], ...] = (
    Tool(
        "embed_index_table",
        "Make an index over a table",
        AccessScope.ADMIN,
        IndexTable,
        Indexed,
        embed_index_table,
        "runs",
        LAUNCHING_SECONDS,
        changes=True,
        again=False,
    ),
    Tool(
        "embed_delete_index",
        "Remove an index",
        AccessScope.ADMIN,
        Which,
        Deleted,
        embed_delete_index,
        "runs",
        LAUNCHING_SECONDS,
        changes=True,
        destroys=True,
    ),
)
