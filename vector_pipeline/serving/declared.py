"""The declared indexes as they are now: read again when a file of theirs has changed."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

from vector_pipeline.declarations import DEFS_FOLDER, FILE_NAMES, Declaration, well_formed_declarations

_LOOK_SECONDS = 1.0

_State = tuple[tuple[str, int, int], ...]


class DeclaredIndexes:
    """Called, it gives them by name. Looks at the files once a second at most.

    A file that can't be read leaves out its own indexes; `dg check yaml` and Dagster's UI tell of it.
    """

    def __init__(self, folder: Path = DEFS_FOLDER) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._looked = float("-inf")
        self._state: _State | None = None
        self._found: Sequence[Declaration] = ()

    def __call__(self) -> Sequence[Declaration]:
        with self._lock:
            if time.monotonic() - self._looked >= _LOOK_SECONDS:
                state = self._look()
                if state != self._state:
                    found = well_formed_declarations(self._folder)
                    self._found = tuple(sorted(found, key=lambda declaration: declaration.spec.name))
                    self._state = state
                self._looked = time.monotonic()
            return self._found

    def _look(self) -> _State:
        """Name, time and size of each file."""
        files = sorted(path for name in FILE_NAMES for path in self._folder.rglob(name))
        return tuple((str(path), (found := path.stat()).st_mtime_ns, found.st_size) for path in files)
