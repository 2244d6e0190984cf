"""What a stored document is near to: by each field the vector that it has there, for several passages their mean.

The mean is that of the directions, so that each passage counts alike: one search a field, however long the document is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import psycopg
from psycopg import sql

from vector_pipeline.core.search.nearest import QueryVector
from vector_pipeline.core.search.request import SearchRequestError
from vector_pipeline.core.search.time_limit import TimeLimit
from vector_pipeline.core.store.registry import RegisteredIndex
from vector_pipeline.core.store.vector_array import numbers_of

_READ = """
    SELECT p.field, avg(l2_normalize(v.embedding::vector)), count(v.embedding)
    FROM {documents} d
    LEFT JOIN {passages} p ON p.key = d.key AND p.field = ANY(%(fields)s)
    LEFT JOIN {vectors} v ON v.content_hash = p.served_hash AND v.field = p.field
    WHERE d.key = %(key)s
    GROUP BY p.field
"""
# Below this the passages point in directions so different that their mean is only rounding.
_SHORTEST_MEAN = 1e-3


def vectors_of_document(
    connection: psycopg.Connection, index: RegisteredIndex, key: str, fields: Sequence[str], time_limit: TimeLimit
) -> dict[str, QueryVector]:
    """The document's vector by each of the fields that it has one for, at least one.

    Raises:
        SearchRequestError: there is no such document, or it has no vector (yet).
        OutOfTimeError: the time was over before.
    """
    rows = time_limit.read(
        connection,
        sql.SQL(_READ).format(
            documents=sql.Identifier(index.schema, "documents"),
            passages=sql.Identifier(index.schema, index.passages),
            vectors=sql.Identifier(index.schema, index.vectors),
        ),
        {"key": key.replace("\0", ""), "fields": list(fields)},
    )
    if not rows:
        raise SearchRequestError(
            f"index {index.name!r} has no document with the key {key!r}; give it as a hit of a search shows it"
        )
    means = {field: numbers_of(mean) for field, mean, passages in rows if passages}
    found = {field: means[field] for field in fields if field in means}
    usable = {field: vector for field, vector in found.items() if np.linalg.norm(vector) > _SHORTEST_MEAN}
    if not usable:
        raise SearchRequestError(
            f"document {key!r} of index {index.name!r} has no vector by {' or '.join(fields)} to compare others with"
        )
    return usable
