"""A check that opens the index, looks at it and tells what it saw."""

from collections.abc import Callable

import dagster as dg

from vector_pipeline.core.index import VectorIndex
from vector_pipeline.orchestration.index_context import IndexContext
from vector_pipeline.orchestration.resources import IndexesResource


def check_by_looking(
    index: IndexContext, asset: str, name: str, description: str, look: Callable[[VectorIndex], dg.AssetCheckResult]
) -> dg.AssetChecksDefinition:
    """The check of that name on an asset of the index."""

    @dg.asset_check(asset=index.key(asset), name=name, description=description)
    def check(indexes: IndexesResource) -> dg.AssetCheckResult:
        with indexes.open(index.declaration) as opened:
            return look(opened)

    return check
