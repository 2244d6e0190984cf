"""What it would take to embed what an index lacks, without asking the provider.

Ranges whose documents are those of the source are looked at where the texts are, in PostgreSQL. All others are read
from the source and rendered as a sync would, streamed; of too many rows only a share, chosen by a hash of the key so
that old and new rows are alike in it. Then texts that several rows share are counted for each, so the estimate is
rather too high.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import psycopg

from vector_pipeline.core import generations
from vector_pipeline.core.documents.declared import declared_rendering
from vector_pipeline.core.documents.rendering import ContentHash, Rendering, RenderingError
from vector_pipeline.core.embedding.prices import price_of
from vector_pipeline.core.embedding.tokens import TokenCounter, counter_for, counts_exactly
from vector_pipeline.core.reports import Estimate
from vector_pipeline.core.source.catalog import SourceTable
from vector_pipeline.core.source.connection import Connection as SourceConnection
from vector_pipeline.core.source.connection import snapshot
from vector_pipeline.core.source.key_ranges import KeyRange
from vector_pipeline.core.source.plan import ReadingPlan, plan_reading
from vector_pipeline.core.source.rows import read_rows
from vector_pipeline.core.source.size import count_rows
from vector_pipeline.core.source.throttle import Throttle
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.core.store import generations as store_generations
from vector_pipeline.core.store import key_ranges, offline_batches, quarantine, registry, spending, vectors
from vector_pipeline.core.store.fingerprint import WantedSpace
from vector_pipeline.core.store.registry import RegisteredIndex

MOST_ROWS = 100_000
_EVERYTHING = KeyRange(0, "", None, None)
_HASHES_PER_QUESTION = 1000


def estimate(
    source: SourceConnection,
    target: psycopg.Connection,
    spec: IndexSpec,
    table: SourceTable,
    wanted: WantedSpace,
    served: RegisteredIndex | None,
    throttle: Throttle,
    most_rows: int = MOST_ROWS,
) -> Estimate:
    """What it would take to embed what the declared generation of an index lacks.

    Args:
        served: the index, just compared with its source; None for one that was never synced.
        most_rows: of more rows than this that have to be read, only a share is.
    """
    declared = _declared(target, served, spec, wanted)
    lacking = Lacking(wanted.document_prefix, counter_for(wanted.model))
    to_read = [_EVERYTHING]
    plan = plan_reading(spec, table, metadata={})
    rows = rows_to_read = count_rows(source, plan) if served is None else _source_rows(target, served)
    if declared.generation is not None:
        states = key_ranges.load_states(target, declared.generation)
        behind = {s.range_id: s.source_rows or 0 for s in states if s.documents_differ}
        rows_to_read = sum(behind.values())
        to_read = [one for one in key_ranges.load_ranges(target, declared.generation) if one.range_id in behind]
        _add_stored(target, declared.generation, [s.range_id for s in states if s.range_id not in behind], lacking)
    share = share_to_read(rows_to_read, most_rows)
    in_step = len(lacking.hashes), lacking.tokens
    _add_read(
        source,
        one_in(plan, share),
        declared_rendering(spec, wanted.model),
        to_read,
        target,
        declared,
        lacking,
        throttle,
    )
    price = price_of(wanted.provider, wanted.model, spec.embedding.price_per_million_tokens)
    return Estimate(
        index=spec.name,
        about=declared.about,
        model=wanted.model,
        rows=rows,
        texts=in_step[0] + share * (len(lacking.hashes) - in_step[0]),
        tokens=in_step[1] + share * (lacking.tokens - in_step[1]),
        sampled=share,
        tokens_counted=counts_exactly(wanted.model),
        price=None if price is None else float(price),
        texts_per_second=None if served is None else spending.pace(target, served.index_id, wanted.model),
        budget_per_day=spec.embedding.budget_per_day,
    )


@dataclass(frozen=True)
class _Declared:
    """The generation that is declared. `generation` is None where it isn't begun; `space` is the index by a generation
    in the same vector space, `unrounded` by one whose vectors will be rounded for it; None where there are none."""

    about: str
    generation: RegisteredIndex | None = None
    space: RegisteredIndex | None = None
    unrounded: RegisteredIndex | None = None


def _declared(
    target: psycopg.Connection, served: RegisteredIndex | None, spec: IndexSpec, wanted: WantedSpace
) -> _Declared:
    if served is None:
        return _Declared("an index that was never synced")
    change = generations.declared_change(target, served, spec, wanted)
    if change is None:
        return _Declared("the generation that is served", served, served)
    if change.record is not None:
        generation = registry.load_generation(target, served, change.record.number)
        return _Declared(f"generation {change.record.number}: {change.record.standing.value}", generation, generation)
    records = store_generations.load_records(target, served)
    alike = generations.in_the_space(records, wanted)
    in_full = generations.in_the_space(records, replace(wanted, storage="vector")) if alike is None else None
    space, unrounded = (
        None if record is None else registry.load_generation(target, served, record.number)
        for record in (alike, in_full)
    )
    return _Declared(f"the next generation, which is not begun yet ({change})", None, space, unrounded)


def _source_rows(target: psycopg.Connection, index: RegisteredIndex) -> int:
    return sum(state.source_rows or 0 for state in key_ranges.load_states(target, index))


@dataclass
class Lacking:
    """Distinct texts that have no vector, and their tokens."""

    prefix: str
    count_tokens: TokenCounter
    tokens: int = 0
    rows_read: int = 0
    hashes: set[ContentHash] = field(default_factory=set)

    def add(self, content_hash: ContentHash, text: str) -> None:
        """Takes a text in, once."""
        if content_hash not in self.hashes:
            self.hashes.add(content_hash)
            self.tokens += self.count_tokens(self.prefix + text)


def _add_stored(target: psycopg.Connection, index: RegisteredIndex, ranges: Sequence[int], lacking: Lacking) -> None:
    """Adds what the stored documents of these ranges lack in the index's generation."""
    for range_id in ranges:
        for needed in vectors.needed_texts(target, index, range_id):
            lacking.add(needed.content_hash, needed.text)


def _add_read(
    source: SourceConnection,
    plan: ReadingPlan,
    rendering: Rendering,
    ranges: Sequence[KeyRange],
    target: psycopg.Connection,
    declared: _Declared,
    lacking: Lacking,
    throttle: Throttle,
) -> None:
    """Adds what the rows of these ranges lack, by the texts that the rendering makes of the plan's texts."""
    for key_range in ranges:
        throttle.wait_for_replicas()
        before = lacking.rows_read
        with snapshot(source):
            for texts in _chunks(_texts(source, plan, rendering, key_range, lacking)):
                for content_hash in texts.keys() - _not_to_be_sent(target, declared, list(texts)):
                    lacking.add(content_hash, texts[content_hash])
        throttle.spend(lacking.rows_read - before)


def _not_to_be_sent(target: psycopg.Connection, declared: _Declared, hashes: Sequence[ContentHash]) -> set[ContentHash]:
    """Those of the texts that have a vector, or one to be rounded, wait in the quarantine, or are in an offline
    batch."""
    if declared.unrounded is not None:
        return vectors.with_a_vector(target, declared.unrounded, hashes)
    space = declared.space
    if space is None:
        return set()
    stored = vectors.with_a_vector(target, space, hashes)
    return stored | quarantine.paused(target, space, hashes) | offline_batches.awaited(target, space, hashes)


def _texts(
    source: SourceConnection, plan: ReadingPlan, rendering: Rendering, key_range: KeyRange, lacking: Lacking
) -> Iterator[tuple[ContentHash, str]]:
    for row in read_rows(source, plan, key_range):
        lacking.rows_read += 1
        try:
            passages = list(rendering.passages(row.texts))
        except RenderingError:
            continue  # its sync will say so; it costs nothing
        for passage in passages:
            if passage.text is not None and passage.content_hash not in lacking.hashes:
                yield passage.content_hash, passage.text


def _chunks(texts: Iterable[tuple[ContentHash, str]]) -> Iterator[dict[ContentHash, str]]:
    chunk: dict[ContentHash, str] = {}
    for content_hash, text in texts:
        chunk[content_hash] = text
        if len(chunk) >= _HASHES_PER_QUESTION:
            yield chunk
            chunk = {}
    if chunk:
        yield chunk


def share_to_read(rows: int, most_rows: int) -> int:
    """One row in so many is read, so that there are at most about `most_rows`; 1 for all."""
    return max(1, math.ceil(rows / max(1, most_rows)))


def one_in(plan: ReadingPlan, share: int) -> ReadingPlan:
    """The plan, of whose rows about one in `share` is read."""
    if share == 1:
        return plan
    # The condition's per cent signs are escaped when it is used; the expression's are already.
    chosen = f"MOD(CRC32({plan.key.expression.replace('%%', '%')}), {share:d}) = 0"
    return replace(plan, where=f"({plan.where}) AND {chosen}" if plan.where else chosen)
