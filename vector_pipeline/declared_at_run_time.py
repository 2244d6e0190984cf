"""The indexes that were declared at run time, as every process of the deployment learns of them.

Their declarations are in PostgreSQL. The last that was read of them is kept in a file as well, so that the code
location loads, with all its assets, while PostgreSQL is down.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from vector_pipeline.core.errors import VectorPipelineError
from vector_pipeline.core.settings import TargetSettings, read_target
from vector_pipeline.core.store import connection as store_connection
from vector_pipeline.core.store import declared_indexes
from vector_pipeline.core.store.declared_indexes import StoredDeclaration
from vector_pipeline.project_folder import working_folder

CACHE_VARIABLE = "VECTOR_PIPELINE_REGISTRY_CACHE"
_FILE_NAME = "declared_indexes.json"
# Of a server that is there; the code location, and every run, must not wait long for one that isn't.
_CONNECT_SECONDS = 3

_log = logging.getLogger(__name__)


def read_stored_declarations() -> Sequence[StoredDeclaration]:
    """Those of the environment's PostgreSQL, by name; while it is down, those that were last read of it.

    There are none where the environment names no PostgreSQL.
    """
    target = read_target()
    if target is None:
        return []
    cache = RegistryCache(cache_path(), target)
    try:
        stored = _read(target)
    except VectorPipelineError as error:
        return cache.read_instead(error)
    cache.keep(stored)
    return stored


def _read(target: TargetSettings) -> list[StoredDeclaration]:
    try:
        with store_connection.connect_without_vectors(
            target, "vector-pipeline declarations", _CONNECT_SECONDS
        ) as connection:
            return declared_indexes.read_all(connection)
    except psycopg.Error as error:
        raise store_connection.target_error(target, error) from None


def cache_path() -> Path:
    """VECTOR_PIPELINE_REGISTRY_CACHE, else a file in the folder of Dagster's instance."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).expanduser()
    home = os.environ.get("DAGSTER_HOME")
    folder = Path(home) if home else working_folder() / ".dagster"
    return folder / _FILE_NAME


class RegistryCache:
    """The file with what was last read of one PostgreSQL database."""

    def __init__(self, path: Path, target: TargetSettings) -> None:
        self._path = path
        self._of = f"{target.host}:{target.port}/{target.database}"

    def keep(self, stored: Sequence[StoredDeclaration]) -> None:
        """Writes the file where it says something else; nothing is lost but the cache where that can't be done."""
        content = json.dumps({"of": self._of, "declared": declared_indexes.to_json(stored)}).encode()
        try:
            found = self._path.read_bytes() if self._path.exists() else None
            if found == content:
                os.utime(self._path)
            elif found is not None or stored:
                self._write(content)
        except OSError as error:
            _log.warning("indexes declared at run time can't be kept in %s: %s", self._path, error)

    def _write(self, content: bytes) -> None:
        """At once: whoever reads meanwhile finds the old file or the new one."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            Path(name).replace(self._path)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise

    def read_instead(self, why: VectorPipelineError) -> list[StoredDeclaration]:
        """What the file holds of this database, none where there is no such file; either is told in the log."""
        try:
            held = json.loads(self._path.read_bytes())
            stored = declared_indexes.from_json(held["declared"]) if held["of"] == self._of else None
            read_at = datetime.fromtimestamp(self._path.stat().st_mtime, UTC)
        except (OSError, ValueError, KeyError, TypeError):
            stored = None
        if stored is None:
            _log.warning("indexes declared at run time can't be read, and no file has them: %s", why)
            return []
        _log.warning(
            "the %d indexes declared at run time are taken from %s, as they were at %s: %s",
            len(stored),
            self._path,
            f"{read_at:%Y-%m-%d %H:%M:%S %Z}",
            why,
        )
        return stored
