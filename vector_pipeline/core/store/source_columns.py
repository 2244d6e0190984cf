"""What each column of the source looked like when the index was accepted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from vector_pipeline.core.store.registry import RegisteredIndex


@dataclass(frozen=True)
class AcceptedColumn:
    """One column: types of one family have the same text form, `type` is the full one.

    Character set and collation are kept of key columns alone, which are ordered by them.
    """

    family: str
    type: str
    character_set: str | None = None
    collation: str | None = None

    def __str__(self) -> str:
        return self.type if self.collation is None else f"{self.type} collated {self.collation}"


def load(connection: psycopg.Connection, index: RegisteredIndex) -> dict[str, AcceptedColumn]:
    """By name in lower case; {} for an index that was made before they were kept."""
    # As JSON, since a registry that an older version made has no such column until the index is prepared again.
    row = connection.execute(
        "SELECT to_jsonb(i) -> 'source_columns' FROM vector_pipeline.embedding_indexes i WHERE index_id = %s",
        (index.index_id,),
    ).fetchone()
    return from_json((row[0] if row else None) or {})


def from_json(stored: Mapping[str, Mapping[str, Any]]) -> dict[str, AcceptedColumn]:
    """By name in lower case, from what `keep` has stored."""
    return {name: AcceptedColumn(**facts) for name, facts in stored.items()}


def keep(connection: psycopg.Connection, index: RegisteredIndex, columns: Mapping[str, AcceptedColumn]) -> None:
    """Stores them where they differ from what is stored."""
    stored = Jsonb({name: asdict(column) for name, column in columns.items()})
    connection.execute(
        """
        UPDATE vector_pipeline.embedding_indexes SET source_columns = %s
        WHERE index_id = %s AND source_columns IS DISTINCT FROM %s
        """,
        (stored, index.index_id, stored),
    )
