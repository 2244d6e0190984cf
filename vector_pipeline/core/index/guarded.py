"""What an operator decides: deletions that are held, and texts that were refused."""

from __future__ import annotations

from collections.abc import Sequence

from vector_pipeline.core import (
    deletion_guard,
)
from vector_pipeline.core.index.opened import OpenedIndex, in_our_words
from vector_pipeline.core.reports import (
    GuardedDeletions,
    QuarantineEntry,
)
from vector_pipeline.core.store import (
    deletion_guards,
    quarantine,
)


class GuardedIndex(OpenedIndex):
    """Its guard against mass deletion, and its quarantine."""

    @in_our_words
    def quarantine(self, *, building: bool = False, limit: int | None = None, offset: int = 0) -> list[QuarantineEntry]:
        """What the provider refused, in key order; all of it, or a part."""
        return quarantine.entries(self._target, self._served_or_building(building), limit, offset)

    @in_our_words
    def retry_quarantine(self, keys: Sequence[str] | None = None, *, building: bool = False) -> int:
        """Lets the next sync try the quarantined texts of these rows again, or all but the ignored. Returns how many.

        Raises:
            NotQuarantinedError: one of the rows has no text in quarantine, or only ignored ones.
        """
        return quarantine.retry(self._target, self._served_or_building(building), keys)

    @in_our_words
    def ignore_quarantined(self, keys: Sequence[str], *, building: bool = False) -> int:
        """Leaves the quarantined texts of these rows alone until they change. Returns how many that alters.

        Raises:
            NotQuarantinedError: one of the rows has no text in quarantine.
        """
        return quarantine.ignore(self._target, self._served_or_building(building), keys)

    @in_our_words
    def unignore_quarantined(self, keys: Sequence[str], *, building: bool = False) -> int:
        """Lets the next sync try the ignored texts of these rows again. Returns how many.

        Raises:
            NotQuarantinedError: one of the rows has no text in quarantine.
        """
        return quarantine.unignore(self._target, self._served_or_building(building), keys)

    @in_our_words
    def guarded_deletions(self) -> GuardedDeletions:
        """How the guard against mass deletion stands."""
        index = self._registered
        state = deletion_guards.load(self._target, index)
        return deletion_guard.report(index, self.spec.deletion_guard, state)

    @in_our_words
    def refuse_if_deletions_are_held(self) -> None:
        """Raises:
        MassDeletionHeldError: nothing is synced until somebody decides.
        """
        deletion_guard.refuse_if_held(self._target, self._registered, self.spec.deletion_guard)

    @in_our_words
    def approve_deletions(self) -> int:
        """Lets documents of the ranges that differ now be deleted. Returns how many at most."""
        return deletion_guards.approve(self._target, self._registered)

    @in_our_words
    def reject_deletions(self) -> None:
        """Keeps the documents that the source lacks: syncing goes on once the source has them again."""
        deletion_guards.reject(self._target, self._registered)
