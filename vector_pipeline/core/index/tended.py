"""What daily maintenance looks at: the tables of an index, its ANN indexes, and what is kept and will be removed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from vector_pipeline.core.index.opened import OpenedIndex, in_our_words
from vector_pipeline.core.store import ann_health, generations, table_health, vectors
from vector_pipeline.core.store.ann_health import AnnHealth
from vector_pipeline.core.store.names import REGISTRY
from vector_pipeline.core.store.table_health import TablesHealth


@dataclass(frozen=True)
class Kept:
    """What is kept for a while, and removed by the refresh of the search index: vectors that no text needs, and
    generations that are not served. Those that are due longer than a day are what no refresh came to."""

    vectors: int
    vectors_due: int
    generations: int
    generations_due: int


class TendedIndex(OpenedIndex):
    """Its health."""

    @in_our_words
    def look_at_tables(self) -> TablesHealth:
        """How PostgreSQL's tables of the index are."""
        return table_health.look_at_tables(self._target, [self._registered.schema, REGISTRY])

    @in_our_words
    def look_at_graphs(self) -> AnnHealth:
        """How its ANN indexes are."""
        return ann_health.look_at_graphs(self._target, self._registered, self.spec.search.ann_build_megabytes)

    @in_our_words
    def kept(self) -> Kept:
        """What is kept although nothing serves it, and how much of that should have been removed a day ago."""
        day = timedelta(days=1)
        vectors_for = timedelta(days=self.spec.embedding.keep_vectors_days)
        generations_for = timedelta(days=self.spec.generations.keep_days)
        index = self._registered
        counts = [
            vectors.count_retired(self._target, space, vectors_for + day)
            for space in generations.spaces(self._target, index)
        ]
        return Kept(
            sum(kept for kept, _ in counts),
            sum(due for _, due in counts),
            len(generations.expired(self._target, index, timedelta())),
            len(generations.expired(self._target, index, generations_for + day)),
        )
