"""The words of documents as PostgreSQL's full-text search sees them: an expression over their columns, and its index.

The words are not stored: they are made of the texts whenever they are needed, so that they are never behind them, and a
change of the declaration rewrites no document. The index holds them, and the planner takes it wherever the expression
is met as it was built; without it the same search reads every document.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import psycopg
from psycopg import sql

from vector_pipeline.core.errors import DeclarationProblem
from vector_pipeline.core.spec import SearchSpec, TextSearchSpec
from vector_pipeline.core.store import generations, table_indexes
from vector_pipeline.core.store.registry import RegisteredIndex

# PostgreSQL refuses words of more than a megabyte in one document (MAXSTRPOS), and a row that can't be indexed could
# not be written. A character is up to four bytes, and hyphens and addresses give up to three words for one.
_MOST_CHARACTERS = 75_000

_LABELS = "ABCD"
_PREFIX = "documents_words_"


def label_of(place: int) -> str:
    """By which of PostgreSQL's four weights the words of the text at that place are known."""
    return _LABELS[min(place, len(_LABELS) - 1)]


def has_a_label_of_its_own(place: int, texts: int) -> bool:
    return place < len(_LABELS) - 1 or texts == len(_LABELS)


def words(index: RegisteredIndex, declared: TextSearchSpec, alias: str | None = None) -> sql.Composed:
    """SQL: the words (tsvector) of a document, those of each text under its label."""
    columns = index.generation.columns
    return _by_language(
        declared,
        alias,
        lambda configuration: sql.SQL(" || ").join(
            sql.SQL("setweight(to_tsvector({}::regconfig, {}), {})").format(
                sql.Literal(configuration), text_of(index, column, alias), sql.Literal(label_of(place))
            )
            for place, column in enumerate(columns)
        ),
    )


def words_of_one(index: RegisteredIndex, declared: TextSearchSpec, column: str, alias: str | None) -> sql.Composed:
    """SQL: the words (tsvector) of one text of a document, under the first label."""
    return _by_language(
        declared,
        alias,
        lambda configuration: sql.SQL("setweight(to_tsvector({}::regconfig, {}), 'A')").format(
            sql.Literal(configuration), text_of(index, column, alias)
        ),
    )


def language(declared: TextSearchSpec, alias: str | None = None) -> sql.Composed:
    """SQL: the configuration of a document."""
    return _by_language(
        declared, alias, lambda configuration: sql.SQL("{}::regconfig").format(sql.Literal(configuration))
    )


def text_of(index: RegisteredIndex, column: str, alias: str | None) -> sql.Composed:
    """SQL: as much of a text as is searched for words; never NULL."""
    most = _MOST_CHARACTERS // len(index.generation.columns)
    return sql.SQL("left(coalesce({}, ''), {})").format(_column(column, alias), sql.Literal(most))


def _by_language(
    declared: TextSearchSpec, alias: str | None, of_configuration: Callable[[str], sql.Composed]
) -> sql.Composed:
    otherwise = of_configuration(declared.language)
    if declared.language_column is None or not declared.languages:
        return sql.SQL("({})").format(otherwise)
    cases = (
        sql.SQL("WHEN {} THEN {}").format(sql.Literal(value), of_configuration(configuration))
        for value, configuration in declared.languages.items()
    )
    return sql.SQL("(CASE {} ->> {} {} ELSE {} END)").format(
        _column("metadata", alias), sql.Literal(declared.language_column), sql.SQL(" ").join(cases), otherwise
    )


def _column(name: str, alias: str | None) -> sql.Identifier:
    return sql.Identifier(name) if alias is None else sql.Identifier(alias, name)


def name_of(connection: psycopg.Connection, index: RegisteredIndex, declared: TextSearchSpec) -> str:
    """The name of the index over these words; other words have one of another name."""
    expression = words(index, declared).as_bytes(connection)
    return _PREFIX + hashlib.sha256(expression).hexdigest()[:16]


def refresh(connection: psycopg.Connection, index: RegisteredIndex, search: SearchSpec) -> bool:
    """Builds the declared index for the generation, and removes those that neither it nor a live one needs. Returns
    whether the generation has one now. Blocks neither searches nor writers.

    `connection` must be in autocommit mode, outside of a transaction, and hold the lock of the search index.
    """
    declared = search.by_words
    needed: set[str] = set()
    if declared is not None:
        live = [index, *generations.live(connection, index)]
        needed = {name_of(connection, generation, declared) for generation in live}
    present = set()
    for name, is_valid in table_indexes.present(connection, index.schema, "documents", _PREFIX).items():
        if is_valid and name in needed:
            present.add(name)
        else:
            table_indexes.drop(connection, index.schema, name)
    if declared is None:
        return False
    name = name_of(connection, index, declared)
    if name not in present:
        connection.execute(
            sql.SQL("CREATE INDEX CONCURRENTLY IF NOT EXISTS {} ON {} USING gin ({})").format(
                sql.Identifier(name), sql.Identifier(index.schema, "documents"), words(index, declared)
            )
        )
        # With statistics of the words the planner knows the rare ones.
        connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(index.schema, "documents")))
    return True


def rebuild(connection: psycopg.Connection, index: RegisteredIndex) -> None:
    """Builds the indexes anew: PostgreSQL never takes a word out of one, also where no document has it any more."""
    table_indexes.rebuild_all(connection, index.index_id, index.schema, "documents", _PREFIX)


def language_problems(connection: psycopg.Connection, search: SearchSpec) -> Iterator[DeclarationProblem]:
    """Declared text-search configurations that the server hasn't got."""
    if search.by_words is None:
        return
    declared = search.by_words
    named = [("search.text.language", declared.language)]
    named += [(f"search.text.languages.{value}", name) for value, name in declared.languages.items()]
    wanted = [name for _, name in named]
    known = connection.execute(
        """
        SELECT name
        FROM unnest(%s::text[]) name
        JOIN pg_ts_config c ON c.cfgname = name AND pg_ts_config_is_visible(c.oid)
        """,
        (wanted,),
    ).fetchall()
    missing = set(wanted) - {name for (name,) in known}
    if missing:
        there = connection.execute(
            "SELECT string_agg(cfgname, ', ' ORDER BY cfgname) FROM pg_ts_config WHERE pg_ts_config_is_visible(oid)"
        ).fetchone()
        for field, name in named:
            if name in missing:
                yield DeclarationProblem(
                    field,
                    f"PostgreSQL has no text-search configuration {name!r}",
                    f"name one of: {there[0] if there else ''}",
                )
