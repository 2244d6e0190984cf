"""The documents that have the words of a query, the best first. Asks no provider, and needs no vector.

Ranked as Okapi BM25 does (Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009): a rare word counts
more than a common one, its first occurrence more than the next, and long documents are held to more of them.
PostgreSQL's own ranking knows nothing of rarity and found less on real questions (docs/benchmarks.md); it tells how
often, and in which text, a word occurs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from vector_pipeline.core.errors import SearchRequestError
from vector_pipeline.core.search.statement import Restriction, served_once
from vector_pipeline.core.search.time_limit import OutOfTimeError, TimeLimit
from vector_pipeline.core.search.written_query import WrittenQuery, any_of, by_rarity, read_query
from vector_pipeline.core.spec import TextSearchSpec
from vector_pipeline.core.store import text_index
from vector_pipeline.core.store.registry import RegisteredIndex

# In larger tables common words only count where a rarer one is met: making the words of a document of eighty words to
# rank it takes 75 microseconds (measured), so that this many are ranked in half a second.
_MANY_DOCUMENTS = 20_000
_MOST_RANKED = 5_000
# Of documents that have common words alone, no more are ranked; the answer then says that it is not complete.
_MOST_OF_ALL = 20_000

# Planning takes time with the square of the phrases (3,000: ten seconds), and a tsquery of 20,000 words is more than
# PostgreSQL's stack holds.
_LONGEST_QUERY = 10_000
_MOST_CONDITIONS = 50


@dataclass(frozen=True)
class Words:
    """The words of a query as documents have them.

    Attributes:
        terms: each word, by its forms in the configurations.
        required: conditions on a document's words, as tsquery in text form.
    """

    terms: tuple[tuple[str, ...], ...]
    required: tuple[str, ...]

    @property
    def lexemes(self) -> list[str]:
        return [lexeme for term in self.terms for lexeme in term]


@dataclass(frozen=True)
class Match:
    """A document that has words of the query; `rank` from 1."""

    key: str
    score: float
    rank: int


@dataclass(frozen=True)
class Matches:
    """Found documents, best first; not `complete` where one that was not ranked might be among them, because more have
    the words than are ranked, or the time was over."""

    found: tuple[Match, ...]
    complete: bool = True


def read_words(connection: psycopg.Connection, declared: TextSearchSpec, query: str) -> Words:
    """The words of a query, but for those that a configuration leaves out of account.

    Raises:
        SearchRequestError: it has more than is searched for.
    """
    if len(query) > _LONGEST_QUERY:
        raise SearchRequestError(
            f"the query has {len(query)} characters; by words at most {_LONGEST_QUERY} are searched for: shorten it, "
            "or search by vectors alone"
        )
    written = read_query(query)
    if len(written.phrases) + len(written.without) > _MOST_CONDITIONS:
        raise SearchRequestError(
            f"the query has more than {_MOST_CONDITIONS} phrases in quotes and words with a minus; leave some out"
        )
    forms: dict[int, set[str]] = defaultdict(set)
    for place, lexeme in connection.execute(
        """
        SELECT word.positions[1], word.lexeme
        FROM unnest(%s::text[]) configuration, unnest(to_tsvector(configuration::regconfig, %s)) word
        """,
        (list(declared.configurations), written.words),
    ).fetchall():
        forms[place].add(lexeme)
    terms = tuple(tuple(sorted(forms[place])) for place in sorted(forms))
    return Words(terms, _required(connection, declared, written))


def _required(connection: psycopg.Connection, declared: TextSearchSpec, written: WrittenQuery) -> tuple[str, ...]:
    rows = connection.execute(
        """
        SELECT p.is_without, string_agg('(' || query::text || ')', ' | ')
        FROM unnest(%s::text[], %s::boolean[]) WITH ORDINALITY p(phrase, is_without, place),
             unnest(%s::text[]) configuration,
             phraseto_tsquery(configuration::regconfig, p.phrase) query
        WHERE numnode(query) > 0
        GROUP BY p.place, p.is_without
        """,
        (
            [*written.phrases, *written.without],
            [False] * len(written.phrases) + [True] * len(written.without),
            list(declared.configurations),
        ),
    ).fetchall()
    return tuple(f"!({query})" if is_without else query for is_without, query in rows)


def matching(
    connection: psycopg.Connection,
    index: RegisteredIndex,
    declared: TextSearchSpec,
    asked: Words,
    fields: Sequence[str],
    limit: int,
    unique_on: str | None,
    restriction: Restriction,
    time_limit: TimeLimit,
) -> Matches:
    """The `limit` documents that have most of the words; those that were found by then where the time is over before.

    Args:
        connection: in autocommit mode, outside of a transaction.
        fields: those whose texts have to have the words.
        unique_on: the column of a text; of documents with the same value only the one with the lowest key is served.
    """
    if not asked.terms:
        return Matches(())
    looked_at = _looked_at(index, declared, fields)
    ranked = _Ranked({}, complete=False)
    try:
        documents = _about_how_many(connection, index, time_limit)
        known = _estimates(connection, index, looked_at, asked, time_limit) if documents > _MANY_DOCUMENTS else None
        everything = range(len(asked.terms))
        chosen = everything if known is None else by_rarity(known, _MOST_RANKED)
        search = _statement(index, looked_at, asked, unique_on, restriction)
        parameters = {
            **restriction.parameters,
            "text_required": list(asked.required),
            "text_lexemes": [any_of([lexeme]) for lexeme in asked.lexemes],
            "text_weights": _weights(index, declared),
            "text_documents": documents,
            "text_most": _MOST_OF_ALL,
            "text_limit": limit,
        }

        def rank(places: Sequence[int]) -> _Ranked:
            looked_for = parameters | _looked_for(asked, places, looked_at, known)
            rows = time_limit.read(connection, search, looked_for, {"plan_cache_mode": "force_custom_plan"})
            return _Ranked.of(rows, limit)

        ranked = rank(chosen)
        if len(ranked.scores) < limit and len(chosen) < len(everything):
            ranked = rank(everything).or_else(ranked)
    except OutOfTimeError:
        ranked = _Ranked(ranked.scores, complete=False)
    return ranked.best(limit)


@dataclass(frozen=True)
class _Ranked:
    """Scores by key, best first."""

    scores: Mapping[str, float]
    complete: bool

    @classmethod
    def of(cls, rows: Sequence[tuple[Any, ...]], limit: int) -> _Ranked:
        """The rows of the statement. Complete where no document that it didn't look at can be among the best."""
        if not rows:
            return cls({}, complete=True)
        _, worst, ranked, most_elsewhere = rows[-1]
        beaten = most_elsewhere == 0 or (len(rows) >= limit and worst >= most_elsewhere)
        return cls({key: score for key, score, *_ in rows}, complete=ranked < _MOST_OF_ALL and beaten)

    def or_else(self, others: _Ranked) -> _Ranked:
        """With what was found by rarer words before: where more have the words than are ranked, it may be left out."""
        return self if self.complete else _Ranked({**others.scores, **self.scores}, complete=False)

    def best(self, limit: int) -> Matches:
        best = sorted(self.scores.items(), key=lambda item: -item[1])[:limit]
        found = tuple(Match(key, score, rank) for rank, (key, score) in enumerate(best, start=1))
        return Matches(found, self.complete)


def _looked_for(
    asked: Words, places: Sequence[int], looked_at: _LookedAt, known: Sequence[float] | None
) -> dict[str, object]:
    """The parameters that have documents with one of these words looked at.

    Args:
        known: in how many documents each word is, where the planner was asked.
    """
    each = [place for place, term in enumerate(asked.terms) for _ in term]
    return {
        "text_any": any_of((form for place in places for form in asked.terms[place]), looked_at.labels),
        "text_terms": each,
        "text_looked_for": [place in places for place in each],
        "text_known": [known[place] if known else 0.0 for place in each],
    }


@dataclass(frozen=True)
class _LookedAt:
    """The words that are looked at: SQL for them, and under which labels of it they are (all if empty)."""

    words: sql.Composed
    labels: str = ""

    @property
    def ranked(self) -> sql.Composed:
        if not self.labels:
            return self.words
        labels = sql.SQL(", ").join(sql.Literal(label) for label in self.labels)
        return sql.SQL('ts_filter({}, ARRAY[{}]::"char"[])').format(self.words, labels)


def columns_of(index: RegisteredIndex, fields: Sequence[str]) -> dict[str, str]:
    """The texts of these fields: served name → column of the documents."""
    rendering = index.generation.rendering
    served = dict(zip(rendering.names, index.generation.columns, strict=True))
    return {name: served[name] for name in fields} if rendering.strategy == "separate" else served


def _looked_at(index: RegisteredIndex, declared: TextSearchSpec, fields: Sequence[str]) -> _LookedAt:
    everything = text_index.words(index, declared, "d")
    columns = list(columns_of(index, fields).values())
    if len(columns) == len(index.generation.columns):
        return _LookedAt(everything)
    places = [index.generation.columns.index(column) for column in columns]
    if all(text_index.has_a_label_of_its_own(place, len(index.generation.columns)) for place in places):
        return _LookedAt(everything, "".join(text_index.label_of(place) for place in places))
    parts = (text_index.words_of_one(index, declared, column, "d") for column in columns)
    return _LookedAt(sql.SQL("({})").format(sql.SQL(" || ").join(parts)))


def _weights(index: RegisteredIndex, declared: TextSearchSpec) -> list[float]:
    """In PostgreSQL's order, D to A, and none above 1, as it wants them."""
    by_label: dict[str, float] = {}
    for place, name in enumerate(index.generation.rendering.names):
        by_label.setdefault(text_index.label_of(place), declared.weights.get(name, 1.0))
    greatest = max(by_label.values())
    return [by_label.get(label, greatest) / greatest for label in "DCBA"]


def _about_how_many(connection: psycopg.Connection, index: RegisteredIndex, time_limit: TimeLimit) -> int:
    """Documents, as the planner knows them; 0 where it doesn't yet."""
    documents = sql.Identifier(index.schema, "documents").as_string(connection)
    rows = time_limit.read(connection, b"SELECT reltuples FROM pg_class WHERE oid = %s::regclass", (documents,))
    return max(0, int(rows[0][0])) if rows else 0


def _estimates(
    connection: psycopg.Connection,
    index: RegisteredIndex,
    looked_at: _LookedAt,
    asked: Words,
    time_limit: TimeLimit,
) -> list[float]:
    """In how many documents each word is, as the planner knows it from the statistics of the index over the words."""
    explain = sql.SQL("EXPLAIN (FORMAT JSON) SELECT FROM {} d WHERE {} @@ %s::tsquery").format(
        sql.Identifier(index.schema, "documents"), looked_at.words
    )
    found = []
    for term in asked.terms:
        [(plan,)] = time_limit.read(
            connection, explain, (any_of(term, looked_at.labels),), {"plan_cache_mode": "force_custom_plan"}
        )
        found.append(float(plan[0]["Plan"]["Plan Rows"]))
    return found


def _statement(
    index: RegisteredIndex, looked_at: _LookedAt, asked: Words, unique_on: str | None, restriction: Restriction
) -> sql.Composed:
    condition = sql.SQL("{} @@ %(text_any)s::tsquery").format(looked_at.words)
    for place in range(len(asked.required)):
        condition += sql.SQL(" AND {} @@ (%(text_required)s::text[])[{}]::tsquery").format(
            looked_at.ranked, sql.Literal(place + 1)
        )
    if unique_on is not None:
        condition += sql.SQL(" AND ") + served_once(index, unique_on, restriction)
    return sql.SQL(_BEST).format(
        ranked=looked_at.ranked,
        documents=sql.Identifier(index.schema, "documents"),
        condition=condition + restriction.joined(),
    )


# k1 = 1.2 and b = 0.75, as most have it. ts_rank of one word is the sum of its weights over the square of its
# occurrence's number, over pi²/6, which bounds it (tsrank.c): multiplied by that again, one occurrence is one.
# Of a word that was only looked at where a rarer one is, `known` tells how common it is. A document that has none but
# such words has less than their share of all weights as its score: `most_elsewhere`.
_BEST = """
    WITH terms AS MATERIALIZED (
        SELECT term, lexeme::tsquery AS lexeme, known, looked_for
        FROM unnest(%(text_terms)s::integer[], %(text_lexemes)s::text[], %(text_known)s::float8[],
                    %(text_looked_for)s::boolean[]) AS t(term, lexeme, known, looked_for)),
    matched AS MATERIALIZED (
        SELECT d.key, d.sort_key, {ranked} AS words
        FROM {documents} d
        WHERE {condition}
        LIMIT %(text_most)s),
    everything AS (
        SELECT greatest(count(*), %(text_documents)s) AS documents, greatest(avg(length(words)), 1) AS length
        FROM matched),
    found AS MATERIALIZED (
        SELECT m.key, m.sort_key, t.term, length(m.words) AS length,
               max(ts_rank(%(text_weights)s::real[], m.words, t.lexeme)) * pi() * pi() / 6 AS times
        FROM matched m
        JOIN terms t ON m.words @@ t.lexeme
        GROUP BY m.key, m.sort_key, t.term, m.words),
    rarity AS (
        SELECT c.term, c.looked_for, ln(1 + (e.documents - c.count + 0.5) / (c.count + 0.5)) AS weight
        FROM (SELECT t.term, bool_and(t.looked_for) AS looked_for,
                     least(greatest(count(DISTINCT f.key), max(t.known)), max(e.documents))::float8 AS count
              FROM everything e, terms t
              LEFT JOIN found f ON f.term = t.term
              GROUP BY t.term) c, everything e)
    SELECT f.key,
           (sum(r.weight * f.times / (f.times + 1.2 * (0.25 + 0.75 * f.length / e.length)))
            / (SELECT sum(weight) FROM rarity))::float8 AS score,
           (SELECT count(*) FROM matched) AS ranked,
           (SELECT coalesce(sum(weight) FILTER (WHERE NOT looked_for), 0) / sum(weight)
            FROM rarity)::float8 AS most_elsewhere
    FROM found f
    JOIN rarity r ON r.term = f.term, everything e
    GROUP BY f.key, f.sort_key
    ORDER BY score DESC, f.sort_key
    LIMIT %(text_limit)s
"""
