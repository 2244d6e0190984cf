"""The indexes that were declared at run time: what is built of each is what a YAML file would have made of it."""

import dagster as dg

from vector_pipeline.declarations import declarations_made_at_run_time
from vector_pipeline.orchestration.index_context import IndexContext
from vector_pipeline.orchestration.index_definitions import build_index_definitions


@dg.definitions
def declared_at_run_time() -> dg.Definitions:
    return dg.Definitions.merge(
        *(build_index_definitions(IndexContext(declaration)) for declaration in declarations_made_at_run_time())
    )
