"""Names of our objects in PostgreSQL: at most 63 bytes, and never two things under one name."""

from __future__ import annotations

import hashlib

from psycopg import sql

REGISTRY = "vector_pipeline"
_MAXIMUM_BYTES = 63
_HASH_DIGITS = 8


def bounded(name: str) -> str:
    """The name itself, or its beginning and a short hash of the whole where PostgreSQL would cut it."""
    encoded = name.encode()
    if len(encoded) <= _MAXIMUM_BYTES:
        return name
    kept = encoded[: _MAXIMUM_BYTES - _HASH_DIGITS - 1].decode(errors="ignore")
    return f"{kept}_{hashlib.sha256(encoded).hexdigest()[:_HASH_DIGITS]}"


def registry(table: str) -> sql.Identifier:
    """A table of the registry schema."""
    return sql.Identifier(REGISTRY, table)


def passages_table(generation: int) -> str:
    return f"passages_{generation}"


def vectors_table(space: int) -> str:
    return f"vectors_{space}"


def retired_vectors_table(space: int) -> str:
    return f"retired_vectors_{space}"
