"""One index as Dagster sees it: how its assets, partitions and runs are named."""

from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from vector_pipeline.core.documents.rendering import CONCATENATED_FIELD
from vector_pipeline.declarations import Declaration


@dataclass(frozen=True)
class IndexContext:
    """One index as Dagster sees it: `prefix` begins its asset keys and names its group, sensor and jobs."""

    declaration: Declaration
    prefix: str
    yaml_path: Path

    @property
    def ranges(self) -> dg.DynamicPartitionsDefinition:
        return dg.DynamicPartitionsDefinition(name=f"{self.prefix}_ranges")

    def key(self, asset: str) -> dg.AssetKey:
        return dg.AssetKey([self.prefix, asset])

    @property
    def fields(self) -> tuple[str, ...]:
        spec = self.declaration.spec
        return tuple(spec.document.text) if spec.embedding.strategy == "separate" else (CONCATENATED_FIELD,)

    @property
    def run_tags(self) -> dict[str, str]:
        return {"vector/index": self.prefix}
