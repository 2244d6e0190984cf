"""A declaration in YAML → assets, checks, sensor and jobs of one index. No code is needed to add an index.

The YAML's schema is the core's own `IndexSpec`. A declaration that can be read but is wrong still loads: its assets say
what is wrong and their runs fail with it, and no other index is touched.
"""

import re
from pathlib import Path
from typing import Any

import dagster as dg
from dagster.components.component.component import ComponentTypeSpec
from pydantic import BaseModel, Field

from vector_pipeline.core.declaration import static_problems
from vector_pipeline.core.errors import DeclarationProblem
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.declarations import PACKAGE_PARENT, Declaration, names_declared_before
from vector_pipeline.orchestration.index_context import IndexContext
from vector_pipeline.orchestration.index_definitions import build_index_definitions


class VectorIndexScaffoldParams(BaseModel):
    """What `dg scaffold defs` asks for."""

    table: str = Field(description="Table or view in MySQL.")
    text_columns: str = Field(description="Columns to embed, separated by commas.")
    primary_key: str = Field(default="id", description="The unique column that identifies a row.")


class VectorIndexScaffolder(dg.Scaffolder[VectorIndexScaffoldParams]):
    """Writes a defs.yaml that is complete."""

    @classmethod
    def get_scaffold_params(cls) -> type[VectorIndexScaffoldParams]:
        return VectorIndexScaffoldParams

    def scaffold(self, request: dg.ScaffoldRequest[VectorIndexScaffoldParams]) -> None:
        columns = [column.strip() for column in request.params.text_columns.split(",") if column.strip()]
        attributes = {
            "name": re.sub(r"\W", "_", request.target_path.name),
            "source": {"table": request.params.table, "primary_key": request.params.primary_key},
            "document": {"text": {column: column for column in columns}},
        }
        dg.scaffold_component(request, attributes)


@dg.scaffold_with(VectorIndexScaffolder)
class VectorIndexComponent(dg.Component):
    """Keeps a vector index in PostgreSQL/pgvector true to a table in MySQL, and makes it searchable."""

    def __init__(self, spec: IndexSpec) -> None:
        self.spec = spec

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        return IndexSpec

    @classmethod
    def get_spec(cls) -> ComponentTypeSpec:
        return ComponentTypeSpec(description=cls.__doc__, tags=["mysql", "pgvector"])

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> "VectorIndexComponent":
        assert isinstance(attributes, IndexSpec)
        given: dict[str, Any] = attributes.model_dump(exclude_unset=True)
        resolved = context.resolution_context.resolve_value(given)
        return cls(IndexSpec.model_validate(resolved))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        path = _yaml_path(context)
        origin = str(path.relative_to(PACKAGE_PARENT)) if path.is_relative_to(PACKAGE_PARENT) else str(path)
        problems = static_problems(self.spec)
        clash = names_declared_before(path).get(self.spec.name)
        prefix = re.sub(r"\W", "_", self.spec.name) or "unnamed"
        if clash is not None:
            problems.append(
                DeclarationProblem("name", f"{self.spec.name!r} is declared in {clash} already", "choose another name")
            )
            prefix = f"{prefix}_in_{re.sub(r'[^A-Za-z0-9]', '_', path.parent.name)}"
        return build_index_definitions(IndexContext(Declaration(self.spec, origin, tuple(problems)), prefix, path))


def _yaml_path(context: dg.ComponentLoadContext) -> Path:
    """The file that declares the component."""
    path = Path(context.path)
    return path / "defs.yaml" if path.is_dir() else path
