"""Binary COPY of vectors: a batch's float32 array goes to PostgreSQL without a Python object per number.

The layout is that of PostgreSQL's binary COPY format and of pgvector's `vector_send`: dimensions and an unused
field as 16-bit integers, then each number as a big-endian float4.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import psycopg
from psycopg import sql

from vector_pipeline.core.embedding.provider import Vectors

_HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
_TRAILER = struct.pack(">h", -1)
_BYTES_PER_BLOCK = 1 << 20


def copy_vectors(
    connection: psycopg.Connection,
    table: sql.Composable,
    rows: Sequence[tuple[bytes, str, int]],
    vectors: Vectors,
) -> None:
    """Copies (content hash, field, position in `vectors`) into a table of (content_hash, field, embedding).

    `vectors` has shape (texts, dimensions), float32.
    """
    dimensions = vectors.shape[1]
    network_order = vectors.astype(">f4")
    vector_header = struct.pack(">ihh", 4 + 4 * dimensions, dimensions, 0)
    block = [_HEADER]
    size = 0
    statement = sql.SQL("COPY {} (content_hash, field, embedding) FROM STDIN (FORMAT binary)").format(table)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for content_hash, field, position in rows:
            name = field.encode()
            block.append(
                struct.pack(
                    f">hi{len(content_hash)}si{len(name)}s",
                    3,
                    len(content_hash),
                    content_hash,
                    len(name),
                    name,
                )
            )
            block.append(vector_header)
            block.append(network_order[position].tobytes())
            size += 4 * dimensions
            if size >= _BYTES_PER_BLOCK:
                copy.write(b"".join(block))
                block.clear()
                size = 0
        block.append(_TRAILER)
        copy.write(b"".join(block))
