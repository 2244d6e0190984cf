"""The API keys as a process knows them: read anew every few seconds, so that no request has to ask PostgreSQL.

What is asked of PostgreSQL is all keys at once, some hundred bytes each: so a wrong key costs no query, and one answer
tells too whether there are any.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from vector_pipeline.core.errors import TargetUnavailableError, VectorPipelineError
from vector_pipeline.core.store.api_keys import ApiKey, KeysOnFile
from vector_pipeline.serving.threads import run_blocking

# Within this a revoked key stops.
FRESH_SECONDS = 5.0
# A key that isn't known may have just been made; no more than one look a second, whoever tries keys.
UNKNOWN_SECONDS = 1.0
# While PostgreSQL is away, what was known is good for so long.
OUTAGE_SECONDS = 300.0
_PATIENCE_SECONDS = 2.0
_NOTE_USE_SECONDS = 60.0

_log = logging.getLogger(__name__)

Reading = Callable[[Mapping[int, datetime]], KeysOnFile]
"""Gives the keys on file, and notes when keys were last used. Blocks."""


class KeyRing:
    """Belongs to one event loop.

    Args:
        read: raises a VectorPipelineError where PostgreSQL is away.
        clock: seconds that only ever grow.
    """

    def __init__(self, read: Reading, clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock = clock
        self._known: tuple[float, KeysOnFile] | None = None
        self._lock = asyncio.Lock()
        self._tried_at = float("-inf")
        self._failed = False
        self._used: dict[int, datetime] = {}
        self._noted_at = float("-inf")

    async def look(self) -> None:
        """Reads the keys if PostgreSQL is there, so that what is asked next can do without it."""
        try:
            await self._keys(FRESH_SECONDS)
        except TargetUnavailableError:
            return

    async def note_last_uses(self) -> None:
        """At the end of the service: has it written when keys were used, if that is done within moments."""
        if not self._used:
            return
        self._noted_at = float("-inf")
        try:
            await run_blocking("access", self._read_anew, _PATIENCE_SECONDS)
        except VectorPipelineError as error:
            _log.info("when keys were last used is not noted: %s", error)

    async def any_ever_made(self) -> bool:
        """Whether there ever was a key.

        Raises:
            TargetUnavailableError: PostgreSQL is away, and has been for too long.
        """
        return (await self._keys(FRESH_SECONDS)).ever_made

    async def find(self, secret: str) -> ApiKey | None:
        """The key, if it is valid; raises as `any_ever_made`."""
        now = datetime.now(UTC)
        key = (await self._keys(FRESH_SECONDS)).find(secret)
        if key is None:
            key = (await self._keys(UNKNOWN_SECONDS)).find(secret)
        if key is None or not key.valid_at(now):
            return None
        self._used[key.key_id] = now
        return key

    async def _keys(self, seconds: float) -> KeysOnFile:
        """What is known, not older than that."""
        known = self._not_older_than(seconds)
        if known is not None:
            return known
        async with self._lock:
            known = self._not_older_than(seconds)
            if known is not None:
                return known
            if not (self._failed and self._clock() < self._tried_at + UNKNOWN_SECONDS):
                await self._try_to_read()
        known = self._not_older_than(OUTAGE_SECONDS)
        if known is None:
            raise TargetUnavailableError("API keys can't be read from PostgreSQL, so nobody's access can be checked")
        return known

    def _not_older_than(self, seconds: float) -> KeysOnFile | None:
        if self._known is None or self._clock() >= self._known[0] + seconds:
            return None
        return self._known[1]

    async def _try_to_read(self) -> None:
        """One that takes too long goes on, and is of use to later requests."""
        self._tried_at = self._clock()
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await run_blocking("access", self._read_anew)
        except (VectorPipelineError, TimeoutError) as error:
            if not self._failed:
                _log.warning("API keys can't be read; those known are good for %g s: %s", OUTAGE_SECONDS, error)
            self._failed = True
        else:
            self._failed = False

    def _read_anew(self) -> None:
        begun = self._clock()
        used: dict[int, datetime] = {}
        if begun >= self._noted_at + _NOTE_USE_SECONDS:
            used, self._used = self._used, used
        try:
            found = self._read(used)
        except BaseException:
            self._used = used | self._used
            raise
        if used:
            self._noted_at = begun
        if self._known is None or self._known[0] < begun:
            self._known = begun, found
