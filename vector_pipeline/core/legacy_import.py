"""Vectors of an earlier service, taken over so that their texts are not paid for again.

They are stored as vectors that nothing serves at present, by the texts that they were made of: the syncs that follow
take back those of texts that the table in MySQL still has, and embed the rest. Whatever else the earlier service kept,
its watermark (`migration_tracker`) among it, is not needed: what a row is comes from MySQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import psycopg

from vector_pipeline.core.documents.rendering import Rendering, RenderingError, shown_field
from vector_pipeline.core.embedding.canaries import least_similarity
from vector_pipeline.core.embedding.honesty import VectorSpaceLength, judge
from vector_pipeline.core.embedding.provider import EmbeddedBatch, Vectors
from vector_pipeline.core.errors import LegacyImportError
from vector_pipeline.core.store import legacy_table, vectors
from vector_pipeline.core.store.legacy_table import LegacyRows, LegacyTable
from vector_pipeline.core.store.registry import RegisteredIndex
from vector_pipeline.core.store.vectors import NeededText

SAMPLES = 5
# Of so many rows for each sample one is likely to have a text, and one that is not split.
_ROWS_PER_SAMPLE = 4

OpenConnection = Callable[[], AbstractContextManager[psycopg.Connection]]
Embed = Callable[[tuple[str, ...]], Vectors]
"""The vectors of texts as the index's model gives them now: shape (texts, native dimensions), float32."""


@dataclass(frozen=True)
class LegacyImport:
    """What was taken over.

    Attributes:
        rows: of the table.
        texts: those of the rows with a vector that can be used; one that occurs twice counts twice.
        imported: of these, each once, those that had no vector here before.
        dishonest: vectors of zeros, NaN or another length, which were left out.
        without_vector: texts with no vector beside them.
        in_parts: texts that the index splits, so that a vector of the whole is of no use.
        similarity: the least cosine between a vector and what the model gives for its text today, of those that were
            compared; None where none was.
    """

    index: str
    table: str
    rows: int
    texts: int
    imported: int
    dishonest: int
    without_vector: int
    in_parts: int
    similarity: float | None = None


def default_columns(rendering: Rendering) -> tuple[dict[str, str], dict[str, str]]:
    """The columns as the earlier service named them: texts by their served names, `question_embedding` beside
    `question`."""
    fields = [shown_field(field) for field in rendering.embedded_fields]
    return {name: name for name in rendering.names}, {field: f"{field}_embedding" for field in fields}


def import_vectors(
    open_connection: OpenConnection,
    index: RegisteredIndex,
    table: LegacyTable,
    embed: Embed,
    threshold: float,
    samples: int = SAMPLES,
) -> LegacyImport:
    """Takes the vectors over. Done again, it takes over what is new.

    Args:
        embed: asked for the samples alone.
        threshold: the cosine below which a vector counts as another model's.
        samples: vectors of each field that are compared with what the model gives now; 0 trusts the table.

    Raises:
        LegacyImportError: the table is not as it is said to be, or its vectors are another model's. Nothing is taken
            over.
        ProviderError: the provider is down.
    """
    _refuse_unknown_names(index, table)
    length = VectorSpaceLength.of(index.generation.space)
    with open_connection() as reading, open_connection() as writing:
        _refuse_other_lengths(table, legacy_table.lengths_of_vectors(reading, table), length)
        rows = legacy_table.count_rows(reading, table)
        sample = _sample(reading, index, table, length, samples) if samples else []
        similarity = _compared(index, table, sample, length, embed, threshold) if sample else None
        found = LegacyImport(index.name, str(table), rows, 0, 0, 0, 0, 0, similarity)
        for part in legacy_table.all_rows(reading, table):
            found = _take_over(writing, index, length, part, found)
    return found


def _refuse_other_lengths(table: LegacyTable, lengths: dict[str, int | None], expected: VectorSpaceLength) -> None:
    for field, length in lengths.items():
        if length not in (None, expected.native, expected.stored):
            raise LegacyImportError(
                f"column {table.vectors[field]!r} of {table} has vectors of {length} numbers, and the index is made "
                f"for {expected.native}: they are another model's, and of no use to it"
            )


def _refuse_unknown_names(index: RegisteredIndex, table: LegacyTable) -> None:
    rendering = index.generation.rendering
    fields = [shown_field(field) for field in rendering.embedded_fields]
    for option, given, known in (("--text", table.texts, rendering.names), ("--vector", table.vectors, fields)):
        unknown = [name for name in given if name not in known]
        if unknown:
            raise LegacyImportError(
                f"index {index.name!r} has no {unknown[0]!r} for {option} to name a column for; it has "
                f"{', '.join(known)}"
            )


def _sample(
    connection: psycopg.Connection, index: RegisteredIndex, table: LegacyTable, length: VectorSpaceLength, samples: int
) -> list[_Text]:
    """Texts with a vector that can be used, of each field so many, as far as there are."""
    found: list[_Text] = []
    for field in table.vectors:
        lengths = {length.native, length.stored}
        rows = legacy_table.some_rows(connection, table, field, list(lengths), _ROWS_PER_SAMPLE * samples)
        texts = _texts(index.generation.rendering, rows, length)
        found += islice((one for one in texts if one.vector is not None and not one.is_part), samples)
    return found


def _compared(
    index: RegisteredIndex,
    table: LegacyTable,
    sample: Sequence[_Text],
    length: VectorSpaceLength,
    embed: Embed,
    threshold: float,
) -> float:
    prefix = index.generation.space.document_prefix
    now = embed(tuple(prefix + one.text for one in sample))
    then = np.stack([one.vector[: length.native] for one in sample if one.vector is not None])
    similarity = least_similarity(then, now)
    if similarity < threshold:
        raise LegacyImportError(
            f"of {len(sample)} vectors in {table} one is no nearer than {similarity:.3f} to what the model of index "
            f"{index.name!r} gives for its text today ({threshold} is asked for): they are another model's, or were "
            "made of other texts (a prefix, another column); declare what they were made with, or sync without them"
        )
    return similarity


@dataclass(frozen=True, eq=False)
class _Text:
    """One text of a row: `vector` has the stored length; None where there is none, or none that is honest."""

    needed: NeededText
    vector: Vectors | None
    is_dishonest: bool
    is_part: bool

    @property
    def text(self) -> str:
        return self.needed.text


def _texts(rendering: Rendering, rows: LegacyRows, length: VectorSpaceLength) -> Iterator[_Text]:
    usable = {field: _usable(batch, length) for field, batch in rows.vectors.items()}
    for place, texts in enumerate(rows.texts):
        try:
            passages = list(rendering.passages(texts))
        except RenderingError:
            continue
        for passage in passages:
            field = shown_field(passage.field)
            if passage.text is None or field not in usable:
                continue
            vector = usable[field][place]
            given = int(rows.vectors[field].lengths[place])
            needed = NeededText(passage.content_hash, passage.text, (passage.field,))
            yield _Text(needed, vector, given > 0 and vector is None, passage.span is not None)


def _usable(batch: EmbeddedBatch, expected: VectorSpaceLength) -> list[Vectors | None]:
    """Each vector with the stored length, None where it isn't honest."""
    found: list[Vectors | None] = [None] * len(batch.lengths)
    if batch.vectors.shape[1] == 0:
        return found
    padded = expected.stored != expected.native and batch.vectors.shape[1] == expected.stored
    if padded:
        # It was filled up with zeros as the index does it; what has other numbers there is another model's.
        honest_end = ~batch.vectors[:, expected.native :].any(axis=1)
        lengths = np.where((batch.lengths == expected.stored) & honest_end, expected.native, 0).astype(np.int32)
        batch = replace(batch, vectors=np.ascontiguousarray(batch.vectors[:, : expected.native]), lengths=lengths)
    if not (batch.lengths == expected.native).any():
        return found
    judgement = judge(batch, expected)
    for row, vector in zip(np.flatnonzero(judgement.honest), judgement.vectors, strict=True):
        found[int(row)] = vector
    return found


def _take_over(
    connection: psycopg.Connection,
    index: RegisteredIndex,
    length: VectorSpaceLength,
    rows: LegacyRows,
    so_far: LegacyImport,
) -> LegacyImport:
    texts = list(_texts(index.generation.rendering, rows, length))
    whole = [one for one in texts if not one.is_part]
    good: dict[bytes, _Text] = {}
    for one in whole:
        if one.vector is not None:
            good.setdefault(one.needed.content_hash, one)
    imported = _store(connection, index, list(good.values()))
    return replace(
        so_far,
        texts=so_far.texts + sum(one.vector is not None for one in whole),
        imported=so_far.imported + imported,
        dishonest=so_far.dishonest + sum(one.is_dishonest for one in whole),
        without_vector=so_far.without_vector + sum(one.vector is None and not one.is_dishonest for one in whole),
        in_parts=so_far.in_parts + sum(one.is_part for one in texts),
    )


def _store(connection: psycopg.Connection, index: RegisteredIndex, texts: Sequence[_Text]) -> int:
    stored = [one.vector for one in texts if one.vector is not None]
    return vectors.store_retired(connection, index, [one.needed for one in texts], np.stack(stored)) if stored else 0
