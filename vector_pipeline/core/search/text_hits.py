"""Documents that were found by words, as hits; and the snippets of hits, whatever found them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import psycopg
from psycopg import sql

from vector_pipeline.core.search.answer import Hit, Snippet
from vector_pipeline.core.search.snippet import OPTIONS, START, STOP, choose_snippet
from vector_pipeline.core.search.statement import or_written_without
from vector_pipeline.core.search.text import Match, Words
from vector_pipeline.core.search.time_limit import TimeLimit
from vector_pipeline.core.search.written_query import any_of
from vector_pipeline.core.spec import TextSearchSpec
from vector_pipeline.core.store import text_index
from vector_pipeline.core.store.registry import RegisteredIndex


def load_hits(
    connection: psycopg.Connection,
    index: RegisteredIndex,
    matches: Sequence[Match],
    fields: Sequence[str],
    time_limit: TimeLimit,
) -> list[Hit]:
    """The documents of the matches, in their order, but for those that are gone meanwhile.

    Raises:
        OutOfTimeError: the time was over before.
    """
    rendering = index.generation.rendering
    rows = time_limit.read(
        connection,
        sql.SQL(
            """
            SELECT d.key, d.metadata, (coalesce(b.behind, false){or_written_without}), coalesce(b.without, false){texts}
            FROM {documents} d
            LEFT JOIN LATERAL (
                SELECT bool_or(p.served_hash IS DISTINCT FROM p.content_hash) AS behind,
                       bool_or(p.served_hash IS NULL) AS without
                FROM {passages} p WHERE p.key = d.key AND p.field = ANY(%s)) b ON true
            WHERE d.key = ANY(%s)
            """
        ).format(
            or_written_without=or_written_without(index),
            texts=sql.SQL("").join(sql.SQL(", d.{}").format(sql.Identifier(name)) for name in index.generation.columns),
            documents=sql.Identifier(index.schema, "documents"),
            passages=sql.Identifier(index.schema, index.passages),
        ),
        (list(rendering.fields), [match.key for match in matches]),
    )
    found = {key: (metadata, behind, without, texts) for key, metadata, behind, without, *texts in rows}
    hits = []
    for match in matches:
        if match.key in found:
            metadata, behind, without, texts = found[match.key]
            served = dict(zip(rendering.names, texts, strict=True))
            hits.append(
                Hit(
                    match.key,
                    match.score,
                    fields[0],
                    served,
                    metadata,
                    behind,
                    text_score=match.score,
                    text_rank=match.rank,
                    without_vector=without,
                )
            )
    return hits


def with_snippets(
    connection: psycopg.Connection,
    index: RegisteredIndex,
    declared: TextSearchSpec,
    asked: Words,
    hits: Sequence[Hit],
    columns: Mapping[str, str],
    time_limit: TimeLimit,
) -> list[Hit]:
    """The hits with the words marked in them. Marking those of a long text takes a fifth of a second.

    Args:
        columns: the texts that are searched: served name → column of the documents.

    Raises:
        OutOfTimeError: the time was over before.
    """
    if not asked.terms or not hits:
        return list(hits)
    headlines = (
        sql.SQL("ts_headline({}, translate({}, %(marks)s, ''), %(words)s::tsquery, %(options)s)").format(
            text_index.language(declared, "d"), text_index.text_of(index, column, "d")
        )
        for column in columns.values()
    )
    rows = time_limit.read(
        connection,
        sql.SQL("SELECT d.key, {} FROM {} d WHERE d.key = ANY(%(keys)s)").format(
            sql.SQL(", ").join(headlines), sql.Identifier(index.schema, "documents")
        ),
        {
            "marks": START + STOP,
            "words": any_of(asked.lexemes),
            "options": OPTIONS,
            "keys": [hit.key for hit in hits],
        },
    )
    snippets = {key: choose_snippet(dict(zip(columns, found, strict=True))) for key, *found in rows}
    return [_with_snippet(hit, snippets.get(hit.key)) for hit in hits]


def _with_snippet(hit: Hit, snippet: Snippet | None) -> Hit:
    by_words_alone = hit.vector_rank is None and snippet is not None and snippet.field in hit.texts
    return replace(hit, snippet=snippet, field=snippet.field if by_words_alone and snippet else hit.field)
