"""The generations of an index: the served one, the one that is built beside it, and those that are kept for a while.

At most one is served and one is being built; changes of the source go to these two. The others are frozen: they lose
the documents that are deleted, and nothing else happens to them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from vector_pipeline.core.documents.declared import declared_rendering
from vector_pipeline.core.errors import GenerationError
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.core.store import names, registry, schema
from vector_pipeline.core.store.fingerprint import (
    STORAGE_FACT,
    TEXTS_FACT,
    Facts,
    WantedSpace,
    generation_fingerprint,
    read_fingerprint,
)
from vector_pipeline.core.store.locks import Lock, in_transaction, not_waiting_long_for_tables
from vector_pipeline.core.store.registry import (
    RegisteredIndex,
    stored_declaration,
    stored_rendering,
)

# Of beginning a generation while others work on the documents: a range is written within seconds.
_TRIES = 5
_PAUSE_SECONDS = 0.2


class Standing(Enum):
    """What a generation is to its index."""

    SERVED = "served"
    BUILDING = "being built"
    KEPT = "kept"
    ROLLED_BACK = "rolled back"


@dataclass(frozen=True)
class GenerationRecord:
    """One generation as the registry keeps it. `approved_at` is when somebody let it be served once it is complete."""

    number: int
    space: int
    model: str
    native_dimensions: int
    facts: Facts
    columns: tuple[str, ...]
    standing: Standing
    created_at: datetime
    completed_at: datetime | None
    approved_at: datetime | None
    activated_at: datetime | None
    retired_at: datetime | None

    @property
    def sources(self) -> dict[str, str]:
        """By column of the documents, the column of the source that it holds."""
        return {column: source for column, (_, source) in zip(self.columns, _texts(self.facts), strict=True)}


def load_records(connection: psycopg.Connection, index: RegisteredIndex) -> list[GenerationRecord]:
    """All generations of the index that are still there, in the order of their numbers."""
    rows = connection.execute(
        """
        SELECT g.generation, g.space, s.model, s.native_dimensions, g.fingerprint, g.rendering,
               CASE WHEN g.generation = i.active_generation THEN 'served'
                    WHEN g.generation = i.building_generation THEN 'being built'
                    WHEN g.rolled_back_at IS NOT NULL THEN 'rolled back'
                    ELSE 'kept' END,
               g.created_at, g.completed_at, g.approved_at, g.activated_at, g.retired_at
        FROM vector_pipeline.generations g
        JOIN vector_pipeline.embedding_indexes i ON i.index_id = g.index_id
        JOIN vector_pipeline.vector_spaces s ON s.index_id = g.index_id AND s.space = g.space
        WHERE g.index_id = %s
        ORDER BY g.generation
        """,
        (index.index_id,),
    ).fetchall()
    return [
        GenerationRecord(
            number,
            space,
            model,
            native,
            read_fingerprint(index.name, fingerprint),
            tuple(rendering.get("columns", rendering["names"])),
            Standing(standing),
            *moments,
        )
        for number, space, model, native, fingerprint, rendering, standing, *moments in rows
    ]


def live(connection: psycopg.Connection, index: RegisteredIndex) -> list[RegisteredIndex]:
    """The index by its served generation, and by the one that is being built, if one is."""
    served = registry.load(connection, index.name)
    building = registry.load_building(connection, index.name)
    return [found for found in (served, building) if found is not None]


def passages_in_space(connection: psycopg.Connection, index: RegisteredIndex) -> list[sql.Identifier]:
    """The passages tables of all generations that share the index's vector space, whatever their standing."""
    numbers = numbers_in_space(connection, index)
    return [sql.Identifier(index.schema, names.passages_table(number)) for number in numbers]


def numbers_in_space(connection: psycopg.Connection, index: RegisteredIndex) -> list[int]:
    """The generations that share the index's vector space, whatever their standing."""
    rows = connection.execute(
        "SELECT generation FROM vector_pipeline.generations WHERE index_id = %s AND space = %s ORDER BY generation",
        (index.index_id, index.generation.space.number),
    ).fetchall()
    return [number for (number,) in rows]


def spaces(connection: psycopg.Connection, index: RegisteredIndex) -> list[RegisteredIndex]:
    """The index by one generation of each of its vector spaces, whatever their standing."""
    number_of = {record.space: record.number for record in load_records(connection, index)}
    found = [registry.load_generation(connection, index, number) for number in number_of.values()]
    return [generation for generation in found if generation is not None]


def begin(
    connection: psycopg.Connection,
    index: RegisteredIndex,
    spec: IndexSpec,
    wanted: WantedSpace,
    native_dimensions: int,
    records: Sequence[GenerationRecord],
) -> None:
    """Creates the generation that the declaration asks for, and its vector space where that is new, to be built.

    Raises:
        GenerationError: somebody works on the documents for long; nothing is changed.
    """
    for _ in range(_TRIES):
        try:
            _begin(connection, index, spec, wanted, native_dimensions, records)
            return
        except psycopg.errors.LockNotAvailable:
            time.sleep(_PAUSE_SECONDS)
    raise GenerationError(
        f"the next generation of index {index.name!r} could not be begun, since somebody works on the table "
        f"{index.schema}.documents for long (a report over the view, a dump?): search and syncing go on, and the next "
        "build tries again"
    )


def _begin(
    connection: psycopg.Connection,
    index: RegisteredIndex,
    spec: IndexSpec,
    wanted: WantedSpace,
    native_dimensions: int,
    records: Sequence[GenerationRecord],
) -> None:
    with connection.transaction():
        in_transaction(connection, Lock.SCHEMA, 0)
        if load_records(connection, index) != list(records):
            return  # somebody else has begun meanwhile: the next look finds it
        space = _space(connection, index, wanted, native_dimensions)
        rendering = declared_rendering(spec, wanted.model)
        columns = _columns(spec, records)
        present = {column for record in records for column in record.columns}
        number = _next(connection, index, "generations_made")
        connection.execute(
            """
            INSERT INTO vector_pipeline.generations
                (index_id, generation, space, fingerprint, rendering, declaration)
            VALUES (%s, %s, %s, %s, %s, %s)
            """,
            (
                index.index_id,
                number,
                space,
                generation_fingerprint(spec, wanted, native_dimensions),
                Jsonb(stored_rendering(rendering, columns)),
                stored_declaration(spec),
            ),
        )
        _set_building(connection, index, number)
        with not_waiting_long_for_tables(connection):
            # Only what is missing: even where nothing is to be added, this waits for everyone who reads the table.
            for column in set(columns) - present:
                connection.execute(
                    sql.SQL("ALTER TABLE {} ADD COLUMN IF NOT EXISTS {} text").format(
                        sql.Identifier(index.schema, "documents"), sql.Identifier(column)
                    )
                )
            schema.create_passages(connection, index.schema, number)


def _space(connection: psycopg.Connection, index: RegisteredIndex, wanted: WantedSpace, native_dimensions: int) -> int:
    fingerprint = wanted.fingerprint(native_dimensions)
    row = connection.execute(
        "SELECT space FROM vector_pipeline.vector_spaces WHERE index_id = %s AND fingerprint = %s",
        (index.index_id, fingerprint),
    ).fetchone()
    if row is not None:
        return int(row[0])
    number = _next(connection, index, "spaces_made")
    registry.add_space(connection, index.index_id, number, wanted, native_dimensions)
    stored = wanted.padded_to or native_dimensions
    schema.create_vectors(connection, index.schema, number, stored, wanted.storage)
    if wanted.storage == "halfvec":
        _round_vectors(connection, index, number, wanted.facts(native_dimensions))
    return number


def _round_vectors(connection: psycopg.Connection, index: RegisteredIndex, number: int, wanted: Facts) -> None:
    """Puts the vectors that a space has in full among the retired ones of the one that is to hold them rounded: texts
    take them from there, and are not paid for again."""
    rows = connection.execute(
        "SELECT space, fingerprint FROM vector_pipeline.vector_spaces WHERE index_id = %s", (index.index_id,)
    ).fetchall()
    for space, fingerprint in rows:
        if json.loads(fingerprint) == {name: fact for name, fact in wanted.items() if name != STORAGE_FACT}:
            for table in (names.vectors_table(space), names.retired_vectors_table(space)):
                connection.execute(
                    sql.SQL(
                        """
                        INSERT INTO {rounded} (content_hash, field, embedding)
                        SELECT content_hash, field, embedding::halfvec FROM {full} v
                        WHERE l2_norm(embedding::halfvec) > 0
                        ON CONFLICT DO NOTHING
                        """
                    ).format(
                        rounded=sql.Identifier(index.schema, names.retired_vectors_table(number)),
                        full=sql.Identifier(index.schema, table),
                    )
                )


def _next(connection: psycopg.Connection, index: RegisteredIndex, counter: str) -> int:
    """A number that no generation, or space, of the index has had."""
    row = connection.execute(
        sql.SQL("UPDATE vector_pipeline.embedding_indexes SET {0} = {0} + 1 WHERE index_id = %s RETURNING {0}").format(
            sql.Identifier(counter)
        ),
        (index.index_id,),
    ).fetchone()
    assert row is not None
    return int(row[0])


def _columns(spec: IndexSpec, records: Sequence[GenerationRecord]) -> list[str]:
    """The columns of the documents that hold the declared texts: those that hold them already, else new ones.

    Two generations may serve different columns of the source by the same name.
    """
    holds = {column: source for record in records for column, source in record.sources.items()}
    chosen: list[str] = []
    for name, reference in spec.document.text.items():
        source = reference if isinstance(reference, str) else reference.column
        same = [column for column, held in holds.items() if held == source and column not in chosen]
        if name in same:
            chosen.append(name)
        elif same:
            chosen.append(same[0])
        else:
            chosen.append(_free_column(name, {*holds, *chosen, *_OWN_COLUMNS}))
    return chosen


_OWN_COLUMNS = ("key", "sort_key", "range_id", "metadata", "unstorable", "updated_at")


def _free_column(name: str, taken: set[str]) -> str:
    candidates = (name, *(names.bounded(f"{name} {number}") for number in range(2, len(taken) + 3)))
    return next(candidate for candidate in candidates if candidate not in taken)


def _texts(facts: Facts) -> list[tuple[str, str]]:
    texts = facts[TEXTS_FACT]
    assert isinstance(texts, list)
    return [(name, source) for name, source in texts]


def resume(connection: psycopg.Connection, index: RegisteredIndex, number: int) -> None:
    """Has a generation that is there already built, or brought up to date, to be served next."""
    with connection.transaction():
        in_transaction(connection, Lock.SCHEMA, 0)
        connection.execute(
            """
            UPDATE vector_pipeline.generations SET retired_at = NULL, rolled_back_at = NULL
            WHERE index_id = %s AND generation = %s
            """,
            (index.index_id, number),
        )
        _set_building(connection, index, number)


def abandon_building(connection: psycopg.Connection, index: RegisteredIndex) -> None:
    """Has nothing built any more: what was is kept for a while."""
    with connection.transaction():
        in_transaction(connection, Lock.SCHEMA, 0)
        _set_building(connection, index, None)


def _set_building(connection: psycopg.Connection, index: RegisteredIndex, number: int | None) -> None:
    connection.execute(
        """
        UPDATE vector_pipeline.generations g
        SET retired_at = now(), approved_at = NULL, completed_at = NULL
        FROM vector_pipeline.embedding_indexes i
        WHERE i.index_id = g.index_id AND g.index_id = %s
          AND g.generation = i.building_generation AND i.building_generation IS DISTINCT FROM %s
        """,
        (index.index_id, number),
    )
    connection.execute(
        "UPDATE vector_pipeline.embedding_indexes SET building_generation = %s WHERE index_id = %s",
        (number, index.index_id),
    )


def approve(connection: psycopg.Connection, index: RegisteredIndex, number: int) -> None:
    """Lets a generation be served as soon as it is complete."""
    connection.execute(
        """
        UPDATE vector_pipeline.generations SET approved_at = now()
        WHERE index_id = %s AND generation = %s AND approved_at IS NULL
        """,
        (index.index_id, number),
    )


def note_complete(connection: psycopg.Connection, index: RegisteredIndex) -> None:
    """Keeps when this generation was complete for the first time."""
    connection.execute(
        """
        UPDATE vector_pipeline.generations SET completed_at = now()
        WHERE index_id = %s AND generation = %s AND completed_at IS NULL
        """,
        (index.index_id, index.generation.number),
    )


def is_complete(connection: psycopg.Connection, served: RegisteredIndex, building: RegisteredIndex) -> bool:
    """Whether each range of the generation being built has the rows of the served one, and all their vectors."""
    row = connection.execute(
        """
        SELECT NOT EXISTS (
            SELECT FROM vector_pipeline.key_ranges r
            LEFT JOIN vector_pipeline.range_states s ON s.range_id = r.range_id AND s.generation = %(served)s
            LEFT JOIN vector_pipeline.range_states b ON b.range_id = r.range_id AND b.generation = %(building)s
            WHERE r.index_id = %(index)s
              AND (b.range_id IS NULL OR NOT b.vectors_complete OR b.digest IS NULL
                   OR b.digest IS DISTINCT FROM s.digest AND b.digest IS DISTINCT FROM r.source_digest))
        """,
        {"index": served.index_id, "served": served.generation.number, "building": building.generation.number},
    ).fetchone()
    return bool(row and row[0])


def serve(
    connection: psycopg.Connection,
    now_served: RegisteredIndex,
    next_served: RegisteredIndex,
    *,
    only_if_being_built: bool,
) -> bool:
    """Puts another generation in the served one's place. Call it in a transaction.

    Returns False where another than `now_served` is served by now, or where `next_served` has to be the one being built
    and nobody wants it built any more.
    """
    in_transaction(connection, Lock.SCHEMA, 0)
    # NO KEY: whoever adds a range holds the key of its index, and may wait for the ranges that this transaction has.
    row = connection.execute(
        """
        SELECT active_generation, building_generation
        FROM vector_pipeline.embedding_indexes WHERE index_id = %s FOR NO KEY UPDATE
        """,
        (now_served.index_id,),
    ).fetchone()
    if row is None or row[0] != now_served.generation.number:
        return False
    if only_if_being_built and row[1] != next_served.generation.number:
        return False
    connection.execute(
        """
        UPDATE vector_pipeline.generations g
        SET retired_at = now(), behind_since = now(), approved_at = NULL
        WHERE index_id = %s AND generation = %s
        """,
        (now_served.index_id, now_served.generation.number),
    )
    connection.execute(
        """
        UPDATE vector_pipeline.generations g
        SET activated_at = now(), retired_at = NULL, rolled_back_at = NULL
        WHERE index_id = %s AND generation = %s
        """,
        (next_served.index_id, next_served.generation.number),
    )
    connection.execute(
        """
        UPDATE vector_pipeline.embedding_indexes
        SET active_generation = %(number)s, building_generation = nullif(building_generation, %(number)s)
        WHERE index_id = %(index)s
        """,
        {"number": next_served.generation.number, "index": next_served.index_id},
    )
    return True


def note_rolled_back(connection: psycopg.Connection, index: RegisteredIndex) -> None:
    """Keeps that somebody took this generation out of service: it comes back only if somebody asks for it."""
    connection.execute(
        """
        UPDATE vector_pipeline.generations SET rolled_back_at = now()
        WHERE index_id = %s AND generation = %s
        """,
        (index.index_id, index.generation.number),
    )


def note_caught_up(connection: psycopg.Connection, index: RegisteredIndex) -> None:
    """Keeps that the source's changes have come to this generation again."""
    connection.execute(
        """
        UPDATE vector_pipeline.generations SET behind_since = NULL
        WHERE index_id = %s AND generation = %s AND behind_since IS NOT NULL
        """,
        (index.index_id, index.generation.number),
    )


def expired(connection: psycopg.Connection, index: RegisteredIndex, kept_for: timedelta) -> list[int]:
    """Generations that have been out of service for longer."""
    rows = connection.execute(
        """
        SELECT g.generation
        FROM vector_pipeline.generations g JOIN vector_pipeline.embedding_indexes i ON i.index_id = g.index_id
        WHERE g.index_id = %s AND g.retired_at < now() - %s
          AND g.generation <> i.active_generation AND g.generation IS DISTINCT FROM i.building_generation
        ORDER BY g.generation
        """,
        (index.index_id, kept_for),
    ).fetchall()
    return [number for (number,) in rows]


def remove(connection: psycopg.Connection, index: RegisteredIndex, number: int) -> bool:
    """Removes a generation that is neither served nor being built, and what it alone needs. False where it is either.

    Vectors that other generations of its space don't need are retired by the next refresh of the search index.

    Raises:
        psycopg.errors.LockNotAvailable: somebody reads its tables, or the documents, for long; nothing is changed.
    """
    with connection.transaction():
        in_transaction(connection, Lock.SCHEMA, 0)
        # Nobody may come to count on a vector of a space that is about to go.
        in_transaction(connection, Lock.VECTORS, index.index_id)
        records = {record.number: record for record in load_records(connection, index)}
        record = records.pop(number, None)
        if record is None or record.standing in {Standing.SERVED, Standing.BUILDING}:
            return False
        tables = [names.passages_table(number)]
        connection.execute(
            "DELETE FROM vector_pipeline.generations WHERE index_id = %s AND generation = %s", (index.index_id, number)
        )
        connection.execute(
            """
            DELETE FROM vector_pipeline.range_states s USING vector_pipeline.key_ranges r
            WHERE r.range_id = s.range_id AND r.index_id = %s AND s.generation = %s
            """,
            (index.index_id, number),
        )
        if all(other.space != record.space for other in records.values()):
            tables += [names.vectors_table(record.space), names.retired_vectors_table(record.space)]
            connection.execute(
                "DELETE FROM vector_pipeline.vector_spaces WHERE index_id = %s AND space = %s",
                (index.index_id, record.space),
            )
        needed = {column for other in records.values() for column in other.columns}
        with not_waiting_long_for_tables(connection):
            for table in tables:
                connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(index.schema, table)))
            for column in set(record.columns) - needed:
                connection.execute(
                    sql.SQL("ALTER TABLE {} DROP COLUMN {}").format(
                        sql.Identifier(index.schema, "documents"), sql.Identifier(column)
                    )
                )
    return True
