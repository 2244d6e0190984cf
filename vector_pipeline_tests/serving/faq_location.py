"""A code location with the index `faq` alone, over the databases of its environment."""

import dagster as dg

from vector_pipeline.declarations import Declaration
from vector_pipeline.orchestration.index_context import IndexContext
from vector_pipeline.orchestration.index_definitions import build_index_definitions
from vector_pipeline.orchestration.nothing_kept import NothingKept
from vector_pipeline.orchestration.resources import indexes_from_environment
from vector_pipeline_tests.serving.serving import contract_spec

defs = dg.Definitions.merge(
    build_index_definitions(IndexContext(Declaration(contract_spec(), "defs/faq/defs.yaml"))),
    dg.Definitions(
        resources={"indexes": indexes_from_environment(), "io_manager": NothingKept()},
        executor=dg.in_process_executor,
    ),
)
