"""The vectors of an index that averages: each document is found by the mean of the unit vectors of its texts.

The texts are passages like others, under fields that no search and no ANN index knows; so they are paid once, shared
with whatever else needs them, quarantined and tried again. The document's one searched passage is made from them here,
in PostgreSQL, as soon as all are there.
"""

from __future__ import annotations

import psycopg
from psycopg import sql

from vector_pipeline.core.documents.rendering import WHOLE_FIELD
from vector_pipeline.core.store import quarantine
from vector_pipeline.core.store.quarantine import NOT_HONEST, Refusal
from vector_pipeline.core.store.registry import RegisteredIndex
from vector_pipeline.core.store.vectors import honest_condition

# Unit vectors are exact to some 1e-7 a number, and a model gives one text vectors that differ by as much as 5e-7: below
# this norm the direction of their mean begins to be made of that.
_SHORTEST_MEAN = 1e-4


def make_means(connection: psycopg.Connection, index: RegisteredIndex, range_id: int) -> None:
    """Stores the means that a range lacks and has all parts of; those without a direction go to the quarantine.

    Call it in a transaction that holds the vectors, before passages are told what they are found by.
    """
    if not index.generation.rendering.averages:
        return
    connection.execute(
        sql.SQL(
            """
            CREATE TEMPORARY TABLE new_means ON COMMIT DROP AS
            SELECT DISTINCT ON (content_hash) content_hash, mean
            FROM (
                SELECT p.content_hash, avg(l2_normalize(v.embedding::vector)) AS mean
                FROM {documents} d
                JOIN {passages} p ON p.key = d.key AND p.field = {whole}
                JOIN {passages} part ON part.key = p.key AND part.field <> {whole}
                LEFT JOIN {vectors} v ON v.content_hash = part.content_hash AND v.field = part.field AND {honest}
                WHERE d.range_id = %s
                  AND NOT EXISTS (
                      SELECT FROM {vectors} made WHERE made.content_hash = p.content_hash AND made.field = {whole})
                  AND NOT EXISTS (
                      SELECT FROM vector_pipeline.quarantine q
                      WHERE q.index_id = %s AND q.space = %s AND q.content_hash = p.content_hash
                        AND (q.next_attempt_at IS NULL OR q.next_attempt_at > now()))
                GROUP BY p.key, p.content_hash
                HAVING count(*) = count(v.embedding)) complete
            ORDER BY content_hash
            """
        ).format(honest=honest_condition(index), **_names(index)),
        (range_id, index.index_id, index.generation.space.number),
    )
    connection.execute(
        sql.SQL(
            """
            INSERT INTO {vectors} (content_hash, field, embedding)
            SELECT content_hash, {whole}, l2_normalize(mean) FROM new_means
            WHERE vector_norm(mean) >= {shortest}
            ORDER BY content_hash
            ON CONFLICT DO NOTHING
            """
        ).format(shortest=sql.Literal(_SHORTEST_MEAN), **_names(index))
    )
    rows = connection.execute("SELECT content_hash, vector_norm(mean) FROM new_means").fetchall()
    connection.execute("DROP TABLE new_means")
    quarantine.release(connection, index, [content_hash for content_hash, norm in rows if norm >= _SHORTEST_MEAN])
    without = [content_hash for content_hash, norm in rows if norm < _SHORTEST_MEAN]
    if without:
        message = "the mean of its texts' vectors has no direction, since they cancel each other out"
        quarantine.put(connection, index, [Refusal(content_hash, NOT_HONEST, message) for content_hash in without])


def lacks_a_quarantined_part(index: RegisteredIndex) -> sql.Composable:
    """SQL over passages (alias p): a mean that can't be made, because a part of it has a quarantine entry instead of a
    vector."""
    if not index.generation.rendering.averages:
        return sql.SQL("false")
    return sql.SQL(
        """
        (p.field = {whole} AND EXISTS (
            SELECT FROM {passages} part
            JOIN vector_pipeline.quarantine refused
                ON refused.index_id = {index} AND refused.space = {space}
                AND refused.content_hash = part.content_hash
            WHERE part.key = p.key AND part.field <> {whole}
              AND NOT EXISTS (
                  SELECT FROM {vectors} had WHERE had.content_hash = part.content_hash AND had.field = part.field)))
        """
    ).format(index=sql.Literal(index.index_id), space=sql.Literal(index.generation.space.number), **_names(index))


def _names(index: RegisteredIndex) -> dict[str, sql.Composable]:
    return {
        "documents": sql.Identifier(index.schema, "documents"),
        "passages": sql.Identifier(index.schema, index.passages),
        "vectors": sql.Identifier(index.schema, index.vectors),
        "whole": sql.Literal(WHOLE_FIELD),
    }
