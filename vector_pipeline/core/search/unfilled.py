"""What an answer without hits says of its index: nothing may have been found because little is there yet."""

from __future__ import annotations

import psycopg

from vector_pipeline.core.search.served import Served
from vector_pipeline.core.search.time_limit import OutOfTimeError, TimeLimit

_COUNTED = b"""
    SELECT count(*) FILTER (WHERE t.vectors_complete IS NOT TRUE), count(*)
    FROM vector_pipeline.key_ranges r
    LEFT JOIN vector_pipeline.range_states t ON t.range_id = r.range_id AND t.generation = %s
    WHERE r.index_id = %s
"""
# It is said after a search that is done: rather not at all than late.
_SECONDS = 1.0


def notes_of_unfilled(connection: psycopg.Connection, served: Served) -> tuple[str, ...]:
    """A note if parts of the table have no vectors in what is served; nothing where that can't be told in time.

    Args:
        connection: in autocommit mode, outside of a transaction.
    """
    index = served.index
    try:
        [(waiting, ranges)] = TimeLimit.within(_SECONDS).read(
            connection, _COUNTED, (index.generation.number, index.index_id)
        )
    except OutOfTimeError:
        return ()
    if ranges == 0:
        return ("nothing of the table was synced yet, so nothing could be found",)
    if waiting == 0:
        return ()
    return (f"{waiting} of {ranges} key ranges of the table still wait for their vectors, so more may be found later",)
