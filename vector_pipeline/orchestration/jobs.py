"""Jobs of one index: the proof of parity on demand, and whether it is fresh."""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from vector_pipeline.orchestration.assets import DOCUMENTS, ROWS, SEARCH_INDEX
from vector_pipeline.orchestration.checks import DECLARATION, FRESHNESS, PARITY, VECTOR_HONESTY
from vector_pipeline.orchestration.index_context import IndexContext


def build_freshness_job(index: IndexContext) -> UnresolvedAssetJobDefinition:
    """A job that runs the freshness check alone: a sensor that stands still starts no run that would tell."""
    return dg.define_asset_job(
        name=f"{index.prefix}_freshness",
        selection=dg.AssetSelection.checks(dg.AssetCheckKey(index.key(DOCUMENTS), FRESHNESS)),
        description=f"Tells whether index {index.declaration.spec.name} has been compared with its table lately.",
        tags=index.run_tags,
    )


def build_verify_job(index: IndexContext) -> UnresolvedAssetJobDefinition:
    """A job that runs the checks that read the whole index, without refreshing anything."""
    return dg.define_asset_job(
        name=f"{index.prefix}_verify",
        selection=dg.AssetSelection.checks(
            dg.AssetCheckKey(index.key(ROWS), DECLARATION),
            dg.AssetCheckKey(index.key(SEARCH_INDEX), PARITY),
            dg.AssetCheckKey(index.key(SEARCH_INDEX), VECTOR_HONESTY),
        ),
        description=f"Proves that index {index.declaration.spec.name} equals its table; marks what differs for repair.",
        tags=index.run_tags,
    )
