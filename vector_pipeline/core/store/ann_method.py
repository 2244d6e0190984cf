"""By what an ANN index orders the vectors of a field, in SQL, and which way suits which vectors.

pgvector's HNSW takes `vector` up to 2,000 numbers and `halfvec` up to 4,000; above that the sign of each number goes
into a bit string. Only the numbers that the model gave are indexed, not the zeros that they were padded with; or, for
a model that is trained for it (Matryoshka), only the first of them. What is not ordered by the exact distance gives
candidates, which are ranked by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from psycopg import sql

from vector_pipeline.core.spec import Storage
from vector_pipeline.core.store.registry import VectorSpace

_LONGEST_VECTOR = 2000
_LONGEST_HALFVEC = 4000


class Method(Enum):
    """The type that is indexed."""

    VECTOR = "vector"
    HALFVEC = "halfvec"
    BIT = "bit"


def suitable_method(numbers: int, storage: Storage = "vector") -> Method:
    """The type to index vectors of so many numbers by."""
    if numbers <= _LONGEST_VECTOR and storage == "vector":
        return Method.VECTOR
    return Method.HALFVEC if numbers <= _LONGEST_HALFVEC else Method.BIT


@dataclass(frozen=True)
class AnnOrder:
    """What an ANN index over the vectors of a space orders by: their first `width` numbers, as `method` says."""

    space: VectorSpace
    method: Method
    width: int

    @property
    def is_exact(self) -> bool:
        """Whether it orders by the distance that hits are ranked by."""
        return self.method.value == self.space.storage and self.width == self.space.native_dimensions

    def __str__(self) -> str:
        """In a word or two, for people."""
        named = f"hnsw {self.method.value}"
        if self.width < self.space.native_dimensions:
            named += f" over the first {self.width} numbers"
        return named if self.is_exact else f"{named} + rerank"

    def indexed(self) -> sql.Composed:
        """The expression that is indexed and its operator class."""
        operators = {
            Method.VECTOR: sql.SQL("vector_cosine_ops"),
            Method.HALFVEC: sql.SQL("halfvec_cosine_ops"),
            Method.BIT: sql.SQL("bit_hamming_ops"),
        }
        return sql.SQL("({}) {}").format(self._of(sql.SQL("embedding")), operators[self.method])

    def distance(self, query: sql.Composable) -> sql.Composed:
        """SQL: the distance between a vector (alias v) and the query, an expression of type `vector`, as it is indexed.

        ORDER BY it is answered by the index.
        """
        operator = sql.SQL("<~>" if self.method is Method.BIT else "<=>")
        return sql.SQL("{} {} {}").format(self._of(sql.SQL("v.embedding")), operator, self._of(query, "vector"))

    def _of(self, vector: sql.Composable, storage: Storage | None = None) -> sql.Composable:
        """What of a vector, by its own type, enters into the index."""
        storage = storage or self.space.storage
        width = sql.Literal(self.width)
        if self.width < self.space.stored_dimensions:
            vector = sql.SQL("subvector({}, 1, {})").format(vector, width)
        elif self.method.value == storage:
            return vector
        if self.method is Method.BIT:
            return sql.SQL("binary_quantize({})::bit({})").format(vector, width)
        return sql.SQL("({})::{}({})").format(vector, sql.SQL(self.method.value), width)


def suitable_order(space: VectorSpace, prefix: int | None = None) -> AnnOrder:
    """The order for the vectors of a space.

    Args:
        prefix: how many numbers to index, for a model that is trained for it; all that it gives if None.
    """
    width = min(prefix or space.native_dimensions, space.native_dimensions)
    return AnnOrder(space, suitable_method(width, space.storage), width)
