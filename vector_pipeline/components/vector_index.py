"""A declaration in YAML → assets, checks, sensor and jobs of one index. No code is needed to add an index.

The YAML's schema is the core's own `IndexSpec`, in which any value may be a template. A declaration that can be read
but is wrong still loads: its assets say what is wrong and their runs fail with it, and no other index is touched.
"""

import re
from pathlib import Path
from typing import Any

import dagster as dg
from dagster.components.component.component import ComponentTypeSpec
from pydantic import BaseModel, Field

from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.declarations import FILE_NAMES, Declaration, Place, declare
from vector_pipeline.orchestration.index_context import IndexContext
from vector_pipeline.orchestration.index_definitions import build_index_definitions
from vector_pipeline.templates import admit_templates

_SCHEMA = admit_templates(IndexSpec)


class VectorIndexScaffoldParams(BaseModel):
    """What `dg scaffold defs` asks for."""

    table: str = Field(description="Table or view in MySQL.")
    text_columns: str = Field(description="Columns to embed, separated by commas.")
    primary_key: str = Field(
        default="id", description="The column that identifies a row, or several, separated by commas."
    )


class VectorIndexScaffolder(dg.Scaffolder[VectorIndexScaffoldParams]):
    """Writes a defs.yaml that is complete."""

    @classmethod
    def get_scaffold_params(cls) -> type[VectorIndexScaffoldParams]:
        return VectorIndexScaffoldParams

    def scaffold(self, request: dg.ScaffoldRequest[VectorIndexScaffoldParams]) -> None:
        columns, key = _names(request.params.text_columns), _names(request.params.primary_key)
        attributes = {
            "name": re.sub(r"\W", "_", request.target_path.name),
            "source": {"table": request.params.table, "primary_key": key[0] if len(key) == 1 else key},
            "document": {"text": {column: column for column in columns}},
        }
        dg.scaffold_component(request, attributes)


def _names(listed: str) -> list[str]:
    return [name.strip() for name in listed.split(",") if name.strip()]


@dg.scaffold_with(VectorIndexScaffolder)
class VectorIndexComponent(dg.Component):
    """Keeps a vector index in PostgreSQL/pgvector true to a table in MySQL, and makes it searchable."""

    def __init__(self, declaration: Declaration) -> None:
        self.declaration = declaration

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        return _SCHEMA

    @classmethod
    def get_spec(cls) -> ComponentTypeSpec:
        return ComponentTypeSpec(description=cls.__doc__, tags=["mysql", "pgvector"])

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> "VectorIndexComponent":
        written: dict[str, Any] = attributes.model_dump(exclude_unset=True) if attributes else {}
        return cls(declare(written, _place(context), Path(context.defs_module_path)))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002
        return build_index_definitions(IndexContext(self.declaration))


def _place(context: dg.ComponentLoadContext) -> Place:
    """The file that declares the component, and which of its documents it is."""
    path, document = Path(context.path), context.component_path.instance_key
    if path.is_dir():
        path = next((path / name for name in FILE_NAMES if (path / name).exists()), path / FILE_NAMES[0])
    return Place(path, document if isinstance(document, int) else 0)
