"""One index as Dagster sees it: how its assets, partitions and runs are named."""

import hashlib
import re
from dataclasses import dataclass

import dagster as dg
from dagster._core.storage.tags import MAX_RETRIES_TAG

from vector_pipeline.core.documents.declared import searched_fields
from vector_pipeline.declarations import Declaration


@dataclass(frozen=True)
class IndexContext:
    """One index as Dagster sees it."""

    declaration: Declaration

    @property
    def prefix(self) -> str:
        """Begins the asset keys, and names group, sensor and jobs: the index's name.

        One that can't be used, or is taken, is made usable and unique: the wrong index must show beside the right ones.
        """
        name = self.declaration.spec.name
        if all(problem.field != "name" for problem in self.declaration.problems):
            return name
        place = hashlib.sha256(self.declaration.origin.encode()).hexdigest()[:6]
        return f"{re.sub(r'[^A-Za-z0-9_]', '_', name) or 'unnamed'}_{place}"

    @property
    def ranges(self) -> dg.DynamicPartitionsDefinition:
        return dg.DynamicPartitionsDefinition(name=f"{self.prefix}_ranges")

    def key(self, asset: str) -> dg.AssetKey:
        return dg.AssetKey([self.prefix, asset])

    @property
    def fields(self) -> tuple[str, ...]:
        return searched_fields(self.declaration.spec)

    @property
    def run_tags(self) -> dict[str, str]:
        return {"vector/index": self.prefix}

    @property
    def decision_tags(self) -> dict[str, str]:
        """Of runs by which somebody decides, on what is to be seen at that moment. Dagster must not start them again if
        their process is killed: the decision may have been carried out, and would meet another state, such as a roll
        back of the roll back."""
        return self.run_tags | {MAX_RETRIES_TAG: "0"}
