"""Documents by their keys, as search shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psycopg

from vector_pipeline.core.errors import TargetUnavailableError
from vector_pipeline.core.search.answer import MetadataValue
from vector_pipeline.core.search.served import read_served
from vector_pipeline.core.search.text import Match
from vector_pipeline.core.search.text_hits import load_hits
from vector_pipeline.core.search.time_limit import OutOfTimeError, TimeLimit


@dataclass(frozen=True)
class Document:
    """A document as it is served.

    Attributes:
        vector_behind: the vector of one of its texts is of an earlier text.
        without_vector: one of its texts has no vector, not even of an earlier text.
    """

    key: str
    texts: Mapping[str, str | None]
    metadata: Mapping[str, MetadataValue]
    vector_behind: bool
    without_vector: bool


def read_documents(
    connection: psycopg.Connection, index: str, keys: Sequence[str], seconds: float = 10.0
) -> list[Document]:
    """The documents with these keys, in their order, less those that are not there.

    Args:
        connection: in autocommit mode, outside of a transaction.
        seconds: the longest that it may take.

    Raises:
        NotYetSyncedError: there is no such index yet.
        TargetUnavailableError: it took longer.
    """
    limit = TimeLimit.within(seconds)
    served = read_served(connection, index, seconds=seconds)
    # PostgreSQL stores no NUL character, and so no such key.
    asked = [Match(key, 0.0, place) for place, key in enumerate(dict.fromkeys(keys), start=1) if "\0" not in key]
    try:
        hits = load_hits(connection, served.index, asked, served.index.generation.rendering.names, limit)
    except OutOfTimeError:
        raise TargetUnavailableError(f"PostgreSQL did not give documents within {seconds:g} s") from None
    return [Document(hit.key, hit.texts, hit.metadata, hit.vector_behind, hit.without_vector) for hit in hits]
