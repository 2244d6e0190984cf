"""The declared indexes as they are now: read again when a file of theirs has changed, or the registry of those that
were declared at run time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from vector_pipeline.core.store.declared_indexes import StoredDeclaration
from vector_pipeline.declarations import (
    FILE_NAMES,
    Declaration,
    declarations_made_at_run_time,
    well_formed_declarations,
)
from vector_pipeline.project_folder import defs_folder

_LOOK_SECONDS = 1.0

_Files = tuple[tuple[str, int, int], ...]


class DeclaredInFiles:
    """Called, it gives what the files of a folder declare.

    A file that can't be read leaves out its own indexes; `dg check yaml` and Dagster's UI tell of it.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or defs_folder()
        self._state: _Files | None = None
        self._found: Sequence[Declaration] = ()

    def __call__(self) -> Sequence[Declaration]:
        state = self._look()
        if state != self._state:
            self._found = well_formed_declarations(self._folder)
            self._state = state
        return self._found

    def _look(self) -> _Files:
        """Name, time and size of each file."""
        files = sorted(path for name in FILE_NAMES for path in self._folder.rglob(name))
        return tuple((str(path), (found := path.stat()).st_mtime_ns, found.st_size) for path in files)


class DeclaredIndexes:
    """Called, it gives them by name; of two of one name that of a file comes first. Looks once a second at most.

    While one thread looks, the others go on with what was known before: with PostgreSQL down a look takes its time.

    Args:
        in_files: gives what files declare.
        registry: reads what was declared at run time; it raises nothing.
    """

    def __init__(
        self,
        in_files: Callable[[], Sequence[Declaration]],
        registry: Callable[[], Sequence[StoredDeclaration]],
    ) -> None:
        self._in_files = in_files
        self._registry = registry
        self._lock = threading.Lock()
        self._looked = float("-inf")
        self._state: tuple[tuple[Declaration, ...], tuple[StoredDeclaration, ...]] | None = None
        self._found: Sequence[Declaration] = ()

    def __call__(self) -> Sequence[Declaration]:
        if time.monotonic() - self._looked >= _LOOK_SECONDS and self._lock.acquire(blocking=self._state is None):
            try:
                self._look()
            finally:
                self._lock.release()
        return self._found

    @property
    def known(self) -> Sequence[Declaration]:
        """As they were when somebody looked last; none where nobody has. Does not look."""
        return self._found

    def look_again(self) -> None:
        """Looks at once: somebody has just declared or removed an index."""
        with self._lock:
            self._looked = float("-inf")
            self._look()

    def _look(self) -> None:
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return  # another thread has, while this one waited
        state = tuple(self._in_files()), tuple(self._registry())
        if state != self._state:
            in_files, stored = state
            taken = {declaration.spec.name: declaration.origin for declaration in reversed(in_files)}
            found = [*in_files, *declarations_made_at_run_time(stored, taken)]
            self._found = sorted(found, key=lambda declaration: (declaration.spec.name, declaration.at_run_time))
            self._state = state
        self._looked = time.monotonic()
