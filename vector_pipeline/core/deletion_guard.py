"""The guard against mass deletion: a source that is suddenly empty, truncated, restored from an old backup or simply
the wrong server must not wipe an index.

Deletions are judged twice: after each look, by the digests, so that nothing is deleted of what is already known to be
too much; and in the transaction that deletes, where they are counted one by one.
"""

from __future__ import annotations

import psycopg

from vector_pipeline.core.errors import MassDeletionHeldError
from vector_pipeline.core.reports import GuardedDeletions
from vector_pipeline.core.source.connection import Connection as SourceConnection
from vector_pipeline.core.source.digest import EMPTY, Digest
from vector_pipeline.core.source.plan import ReadingPlan
from vector_pipeline.core.source.rows import read_row_hashes
from vector_pipeline.core.spec import DeletionGuardSpec
from vector_pipeline.core.store import deletion_guards, key_ranges
from vector_pipeline.core.store.deletion_guards import GuardState
from vector_pipeline.core.store.registry import RegisteredIndex
from vector_pipeline.core.store.stored_digest import stored_row_hashes


class TooManyDeletions(Exception):
    """A range's deletions are more than the guard admits; its transaction has to be rolled back."""


def exceeds(spec: DeletionGuardSpec, deletions: int, documents: int) -> bool:
    """Whether so many deletions of so many documents are a mass deletion."""
    return spec.share < 1 and deletions >= spec.rows and deletions > spec.share * documents


def judge(
    source: SourceConnection,
    target: psycopg.Connection,
    index: RegisteredIndex,
    plan: ReadingPlan,
    spec: DeletionGuardSpec,
    round_complete: bool,
) -> None:
    """Holds deletions if the last digests tell of too many, and lets them go where a whole round tells otherwise.

    Digests tell how many rows a range has, not which: where deletions were refused, its keys are counted again.
    """
    recounted = {
        range_id: _count_deletions(source, target, index, plan, range_id)
        for range_id in deletion_guards.refused_ranges(target, index)
    }
    with target.transaction():
        deletion_guards.lock(target, index)
        for range_id, (digest, deletions) in recounted.items():
            deletion_guards.note_refused(target, index, range_id, str(digest), deletions)
        if round_complete:
            deletion_guards.begin_period(target, index)
        state = deletion_guards.load(target, index)
        deletions = state.deletions + state.pending
        if exceeds(spec, deletions, state.documents):
            deletion_guards.hold(target, index, deletions)
        elif state.held_since is not None and round_complete:
            deletion_guards.release(target, index)


def _count_deletions(
    source: SourceConnection, target: psycopg.Connection, index: RegisteredIndex, plan: ReadingPlan, range_id: int
) -> tuple[Digest, int]:
    """The source's digest of a range, and how many documents of the range it lacks."""
    key_range = key_ranges.load_range(target, range_id)
    lacking = set(stored_row_hashes(target, index, plan, range_id))
    digest = EMPTY
    for key, row_hash in read_row_hashes(source, plan, key_range):
        digest = digest.with_row(row_hash)
        lacking.discard(key)
    return digest, len(lacking)


def admit(target: psycopg.Connection, index: RegisteredIndex, spec: DeletionGuardSpec, deletions: int) -> None:
    """Counts the deletions of one range. Call it in the transaction that makes them, before anything is written.

    Raises:
        TooManyDeletions: they are held, or would be too many.
    """
    if not deletions or spec.share >= 1:
        return
    state = deletion_guards.lock(target, index)
    unapproved = state.deletions + max(0, deletions - state.approved)
    if state.held_since is not None or exceeds(spec, unapproved, state.documents):
        raise TooManyDeletions
    deletion_guards.count(target, index, deletions)


def hold_range(
    target: psycopg.Connection,
    index: RegisteredIndex,
    spec: DeletionGuardSpec,
    range_id: int,
    digest: Digest,
    deletions: int,
) -> MassDeletionHeldError:
    """Holds all deletions of the index because of those of one range. Returns the error that says so."""
    with target.transaction():
        deletion_guards.lock(target, index)
        deletion_guards.note_refused(target, index, range_id, str(digest), deletions)
        state = deletion_guards.load(target, index)
        deletion_guards.hold(target, index, state.deletions + max(state.pending, deletions))
        return MassDeletionHeldError(describe(report(index, spec, deletion_guards.load(target, index))))


def refuse_if_held(target: psycopg.Connection, index: RegisteredIndex, spec: DeletionGuardSpec) -> None:
    """Raises:
    MassDeletionHeldError: with all that somebody needs who has to decide.
    """
    guarded = report(index, spec, deletion_guards.load(target, index))
    if guarded.held:
        raise MassDeletionHeldError(describe(guarded))


def report(index: RegisteredIndex, spec: DeletionGuardSpec, state: GuardState) -> GuardedDeletions:
    """The guard's state for people."""
    return GuardedDeletions(
        index=index.name,
        documents=state.documents,
        deletions=state.held_deletions if state.held_since else state.deletions + state.pending,
        approved=state.approved,
        held_since=state.held_since,
        rejected_at=state.rejected_at,
        share=spec.share,
        rows=spec.rows,
    )


def describe(guarded: GuardedDeletions) -> str:
    """What is held, and what to do."""
    name, count, documents = guarded.index, guarded.deletions, guarded.documents
    share = f" ({count / documents:.0%})" if documents else ""
    held = (
        f"index {name!r} is paused: the source lacks {count:,} of its {documents:,} documents{share}, more than "
        f"deletion_guard admits (share {guarded.share:g} and at least {guarded.rows:,} rows). The documents "
        "are kept, and search goes on. Look whether DB_HOST and DB_NAME name the right server and whether the table is "
        "complete"
    )
    approve = f"`vector-pipeline deletions {name} --approve` or job {name}_approve_deletions"
    if guarded.rejected_at is not None:
        return (
            f"{held}. The deletions were rejected at {guarded.rejected_at:%Y-%m-%d %H:%M:%S %Z}: syncing goes on by "
            f"itself once the rows are back; if they are to go after all: {approve}"
        )
    return (
        f"{held}. If the rows are to go: {approve}. If not: `vector-pipeline deletions {name} --reject` or job "
        f"{name}_reject_deletions, and put the source right: syncing goes on by itself once the rows are back"
    )
