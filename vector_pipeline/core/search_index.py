"""Keeping an index good to search: ANN indexes, the planner's statistics, the view; and telling how it stands."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import psycopg

from vector_pipeline.core import generations
from vector_pipeline.core.findings import Finding, Verdict
from vector_pipeline.core.lag import measure_lag
from vector_pipeline.core.reports import IndexStatus, RangeState, SearchIndexReport
from vector_pipeline.core.source.plan import ReadingPlan
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.core.store import (
    ann_index,
    filter_indexes,
    key_ranges,
    locks,
    offline_batches,
    quarantine,
    registry,
    spending,
    statistics,
    text_index,
    unanswered_queries,
    vectors,
    view,
)
from vector_pipeline.core.store import generations as store_generations
from vector_pipeline.core.store.ann_building import Observer
from vector_pipeline.core.store.contents import count_contents
from vector_pipeline.core.store.locks import Lock
from vector_pipeline.core.store.names import bounded
from vector_pipeline.core.store.registry import RegisteredIndex
from vector_pipeline.core.store.server_versions import look_at_pgvector

_CHANGED_SHARE = 0.1
_DIRTY_SHARE = 0.1
# A range that is still dirty after more tries is not waited for: it may be so for ever.
_TRIES_AWAITED = 2


def refresh_search_index(
    target: psycopg.Connection,
    index: RegisteredIndex,
    plan: ReadingPlan,
    spec: IndexSpec,
    change: generations.Change | None,
    observer: Observer | None = None,
) -> SearchIndexReport:
    """Retires vectors that serve nothing, removes those that were retired for long enough, and queries that found
    nothing whose time is over; builds ANN indexes, and indexes for filters, worth having; renews statistics, view and
    function.

    Args:
        change: what the declaration asks for that isn't served.
        observer: is told how far the building of ANN indexes is.
    """
    started = time.monotonic()
    with locks.held(target, Lock.SEARCH_INDEX, index.index_id):
        generations.drop_expired(target, index, timedelta(days=spec.generations.keep_days), change)
        retired = vectors.retire_unserved(target, index)
        kept_for = timedelta(days=spec.embedding.keep_vectors_days)
        removed = sum(
            vectors.remove_expired(target, space, kept_for) for space in store_generations.spaces(target, index)
        )
        quarantine.release_unneeded(target, index)
        unanswered_queries.remove_expired(target)
        fields = ann_index.refresh(target, index, spec.search, observer)
        text_index.refresh(target, index, spec.search)
        has_ann_index = any(field.method != ann_index.EXACT for field in fields)
        filters = filter_indexes.refresh(target, index, spec, worth_having=has_ann_index)
        unique_on = registry.accepted_unique_on(target, index)
        view.create_view(target, index, plan, unique_on)
        view.create_nearest_function(target, index, unique_on)
        target.execute(
            """
            UPDATE vector_pipeline.embedding_indexes
            SET search_refreshed_at = now(), vectors_at_refresh = %s, search_refreshed_for = %s
            WHERE index_id = %s
            """,
            (_vectors_ever_written(target, index), _indexes_declared(spec), index.index_id),
        )
    return SearchIndexReport(
        fields=tuple(fields),
        filters=tuple(filters),
        documents=count_contents(target, index).documents,
        vectors_retired=retired,
        vectors_removed=removed,
        view=f"public.{bounded(index.name)}",
        seconds=time.monotonic() - started,
        warning=_warning(look_at_pgvector(target)),
    )


def _warning(finding: Finding) -> str | None:
    if finding.verdict in {Verdict.OK, Verdict.NOTE}:
        return None
    return f"{finding.what} {finding.found}; {finding.remedy}"


def search_index_is_due(target: psycopg.Connection, index: RegisteredIndex, states: Sequence[RangeState]) -> bool:
    """There was no refresh for a day; or the ranges are in step, but for a few and for those that fail again and
    again, and there was none yet, or a tenth of the vectors came or went since the last."""
    row = target.execute(
        """
        SELECT coalesce(search_refreshed_at, created_at) < now() - interval '1 day',
               search_refreshed_at IS NULL, vectors_at_refresh
        FROM vector_pipeline.embedding_indexes WHERE index_id = %s
        """,
        (index.index_id,),
    ).fetchone()
    assert row is not None
    overdue, first, written_then = row
    if not states or overdue:
        return bool(states)
    awaited = sum(state.dirty and state.attempts <= _TRIES_AWAITED for state in states)
    if awaited > _DIRTY_SHARE * len(states) or all(state.dirty for state in states):
        return False
    if first:
        return True
    changed = abs(_vectors_ever_written(target, index) - written_then)
    vectors_now = statistics.estimate_rows(target, index.schema, index.vectors)
    return bool(changed > _CHANGED_SHARE * max(1, vectors_now))


def search_index_is_as_declared(target: psycopg.Connection, index: RegisteredIndex, spec: IndexSpec) -> bool:
    """Whether the last refresh, if there was one, was for the indexes that are declared now."""
    row = target.execute(
        """
        SELECT search_refreshed_at IS NULL OR search_refreshed_for IS NOT DISTINCT FROM %s
        FROM vector_pipeline.embedding_indexes WHERE index_id = %s
        """,
        (_indexes_declared(spec), index.index_id),
    ).fetchone()
    assert row is not None
    return bool(row[0])


def _indexes_declared(spec: IndexSpec) -> str:
    """What is declared of the indexes that a refresh builds or removes, as text that is compared."""
    search, words = spec.search, spec.search.by_words
    declared = {
        "ann": [search.ann_from_vectors, search.ann_prefix],
        "filters": filter_indexes.declared_columns(spec),
        "text": None if words is None else words.model_dump(mode="json"),
    }
    return json.dumps(declared, sort_keys=True)


def _vectors_ever_written(target: psycopg.Connection, index: RegisteredIndex) -> int:
    """Rows inserted into and deleted from the vectors table since it was made, as PostgreSQL counts them."""
    row = target.execute(
        "SELECT n_tup_ins + n_tup_del FROM pg_stat_user_tables WHERE schemaname = %s AND relname = %s",
        (index.schema, index.vectors),
    ).fetchone()
    return int(row[0]) if row else 0


def read_status(target: psycopg.Connection, index: RegisteredIndex | None, name: str) -> IndexStatus:
    """How an index stands; `index` None is one that was never synced."""
    if index is None:
        return IndexStatus.unknown(name)
    states = key_ranges.load_states(target, index)
    contents = count_contents(target, index)
    row = target.execute(
        """
        SELECT i.round_completed_at, min(r.source_checked_at), max(s.synced_at)
        FROM vector_pipeline.embedding_indexes i
        LEFT JOIN vector_pipeline.key_ranges r ON r.index_id = i.index_id
        LEFT JOIN vector_pipeline.range_states s ON s.range_id = r.range_id AND s.generation = i.active_generation
        WHERE i.index_id = %s
        GROUP BY i.index_id
        """,
        (index.index_id,),
    ).fetchone()
    assert row is not None
    space = index.generation.space
    return IndexStatus(
        index=name,
        ranges=len(states),
        ranges_dirty=sum(state.dirty for state in states),
        documents=contents.documents,
        passages=contents.passages,
        passages_served=contents.served,
        quarantined=contents.quarantined,
        lag=measure_lag(states, datetime.now(UTC)),
        last_round_at=row[0],
        oldest_check_at=row[1],
        last_synced_at=row[2],
        model=space.model,
        dimensions=space.stored_dimensions,
        native_dimensions=space.native_dimensions,
        spent_today=spending.spent(target, index, only_today=True),
        spent=spending.spent(target, index),
        texts_awaited=offline_batches.count_owed(target, index),
    )
