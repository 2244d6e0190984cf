"""The digest of what PostgreSQL stores, computed as `vector_pipeline.core.source.digest` has MySQL compute it.

Nothing remembered enters it: the key, each text and each metadata value are hashed as they stand in the table, and a
row whose metadata have other names than the plan's counts as another row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from vector_pipeline.core.source.digest import Digest
from vector_pipeline.core.source.plan import ReadingPlan
from vector_pipeline.core.store.registry import RegisteredIndex

_UNSIGNED = 1 << 64


def row_hash(plan: ReadingPlan) -> sql.Composed:
    """SQL over documents (alias d) for a row's hash, as a signed bigint."""
    values = zip(plan.columns, _values(plan), strict=True)
    parts = sql.SQL(" || ").join(
        [_form(plan), *(_part(value, column.served, column.by_hash) for column, value in values)]
    )
    return sql.SQL("('x' || left(encode(sha256({}), 'hex'), 16))::bit(64)::bigint").format(parts)


def _form(plan: ReadingPlan) -> sql.Composed:
    names = [column.served for column in plan.metadata]
    return sql.SQL(
        "CASE WHEN d.metadata ?& {names}::text[] AND d.metadata - {names}::text[] = '{{}}' THEN {form}::bytea"
        " ELSE '?'::bytea END"
    ).format(names=sql.Literal(names), form=sql.Literal(plan.form))


def _values(plan: ReadingPlan) -> Iterator[sql.Composable]:
    yield sql.SQL("d.key")
    for column in plan.texts:
        yield sql.SQL("d.{}").format(sql.Identifier(column.served))
    for column in plan.metadata:
        yield sql.SQL("(d.metadata ->> {})").format(sql.Literal(column.served))


def _part(value: sql.Composable, served: str, by_hash: bool) -> sql.Composed:
    # The true bytes of a value with NUL characters count only beside the text that they leave without them.
    stored = sql.SQL(
        """
        CASE WHEN d.unstorable IS NULL THEN convert_to({value}, 'UTF8')
             WHEN replace(encode(decode(d.unstorable ->> {served}, 'base64'), 'escape'), '\\000', '')
                  = replace(encode(convert_to({value}, 'UTF8'), 'escape'), '\\000', '')
             THEN decode(d.unstorable ->> {served}, 'base64')
             ELSE convert_to({value}, 'UTF8') END
        """
    ).format(served=sql.Literal(served), value=value)
    if by_hash:
        return sql.SQL(r"coalesce(convert_to(encode(sha256({}), 'hex'), 'UTF8'), '-'::bytea)").format(stored)
    return sql.SQL("coalesce(convert_to(octet_length({stored})::text || ':', 'UTF8') || {stored}, '-'::bytea)").format(
        stored=stored
    )


def stored_digests(connection: psycopg.Connection, index: RegisteredIndex, plan: ReadingPlan) -> dict[int, Digest]:
    """Digest of each range that has documents, by range id."""
    rows = connection.execute(
        sql.SQL("SELECT d.range_id, count(*), bit_xor({row_hash}) FROM {documents} d GROUP BY d.range_id").format(
            row_hash=row_hash(plan), documents=sql.Identifier(index.schema, "documents")
        )
    ).fetchall()
    return {range_id: Digest(count, xor % _UNSIGNED) for range_id, count, xor in rows}


def stored_row_hashes(
    connection: psycopg.Connection, index: RegisteredIndex, plan: ReadingPlan, range_id: int
) -> dict[str, int]:
    """Hash (unsigned) of each stored row of a range, by key."""
    rows = connection.execute(
        sql.SQL("SELECT d.key, {row_hash} FROM {documents} d WHERE d.range_id = %s").format(
            row_hash=row_hash(plan), documents=sql.Identifier(index.schema, "documents")
        ),
        (range_id,),
    ).fetchall()
    return {key: signed % _UNSIGNED for key, signed in rows}


@dataclass(frozen=True)
class StoredRow:
    """A document's key, the range that it is in, and its hash (unsigned)."""

    key: str
    range_id: int
    row_hash: int


def row_hashes_of(
    connection: psycopg.Connection, index: RegisteredIndex, plan: ReadingPlan, keys: Sequence[str]
) -> list[StoredRow]:
    """The stored rows with these keys."""
    rows = connection.execute(
        sql.SQL("SELECT d.key, d.range_id, {row_hash} FROM {documents} d WHERE d.key = ANY(%s)").format(
            row_hash=row_hash(plan), documents=sql.Identifier(index.schema, "documents")
        ),
        (list(keys),),
    ).fetchall()
    return [StoredRow(key, range_id, signed % _UNSIGNED) for key, range_id, signed in rows]
