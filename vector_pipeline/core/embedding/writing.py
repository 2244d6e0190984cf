"""The thread that stores what the provider has answered, while others wait for its next answers.

Batches that have queued up while one was written are stored together, in one transaction, so that a provider that is
faster than PostgreSQL's commits does not wait for each of them.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import psycopg

from vector_pipeline.core.documents.rendering import ContentHash
from vector_pipeline.core.embedding.honesty import Judgement
from vector_pipeline.core.store import claims, quarantine, vectors
from vector_pipeline.core.store.locks import Lock, in_transaction
from vector_pipeline.core.store.quarantine import Refusal
from vector_pipeline.core.store.registry import RegisteredIndex
from vector_pipeline.core.store.vectors import NeededText

OpenConnection = Callable[[], AbstractContextManager[psycopg.Connection]]

# So much waits at most while one transaction is written, and the slots of the first batch with it.
_BATCHES_AT_ONCE = 4
_NUMBERS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Finished:
    """A part of a batch as the provider answered it: honest vectors of some texts, refusals of others, and texts to be
    sent again since their vectors were lost among more of another length (fewer than were sent, so it comes to an end).
    """

    texts: list[NeededText]
    judgement: Judgement | None
    refusals: list[Refusal]
    again: list[NeededText] = field(default_factory=list)

    @property
    def numbers(self) -> int:
        """How many numbers its vectors have."""
        return 0 if self.judgement is None else self.judgement.vectors.size


@dataclass(frozen=True)
class BatchDone:
    """All parts of one batch came before this."""


class Writer:
    """Stores what is put; `run` is the body of a thread, which `end` lets come to its end.

    Args:
        on_stored: called with what one transaction has stored.
        on_batch_done: called for each `BatchDone`, after what came before it is stored.
        on_error: called with what went wrong; from then on nothing is stored and `on_batch_done` still called.
    """

    def __init__(
        self,
        open_connection: OpenConnection,
        index: RegisteredIndex,
        on_stored: Callable[[Sequence[Finished]], None],
        on_batch_done: Callable[[], None],
        on_error: Callable[[BaseException], None],
    ) -> None:
        self._open_connection = open_connection
        self._index = index
        self._on_stored = on_stored
        self._on_batch_done = on_batch_done
        self._on_error = on_error
        self._waiting: queue.Queue[Finished | BatchDone | None] = queue.Queue()
        self._at_end = False

    def put(self, item: Finished | BatchDone) -> None:
        """Hands over what is to be stored, or that a batch has come to its end."""
        self._waiting.put(item)

    def end(self) -> None:
        """Nothing is put any more."""
        self._waiting.put(None)

    def run(self, holder: int) -> None:
        """Stores what comes until the end is announced; after an error it only empties the queue.

        Args:
            holder: whose claims on the texts end with what is stored.
        """
        done = 0
        try:
            with self._open_connection() as connection:
                while not self._at_end:
                    finished, done = self._next()
                    if finished:
                        self._store(connection, holder, finished)
                        self._on_stored(finished)
                    self._give_back(done)
                    done = 0
        except BaseException as error:
            self._on_error(error)
            # Only now, so that whoever waits for it sends no more.
            self._give_back(done)
        while not self._at_end:
            self._give_back(self._next()[1])

    def _next(self) -> tuple[list[Finished], int]:
        """What is to be stored next, together, and how many batches have come to their end with it."""
        finished: list[Finished] = []
        done = numbers = 0
        item = self._waiting.get()
        while True:
            if item is None:
                self._at_end = True
                return finished, done
            if isinstance(item, Finished):
                finished.append(item)
                numbers += item.numbers
            else:
                done += 1
            if done >= _BATCHES_AT_ONCE or numbers >= _NUMBERS_AT_ONCE:
                return finished, done
            try:
                item = self._waiting.get_nowait()
            except queue.Empty:
                return finished, done

    def _store(self, connection: psycopg.Connection, holder: int, finished: Iterable[Finished]) -> None:
        honest = [part for part in finished if part.judgement is not None and part.texts]
        refusals = [refusal for part in finished for refusal in part.refusals]
        done = [text.content_hash for part in honest for text in part.texts]
        done += [refusal.content_hash for refusal in refusals]
        with connection.transaction():
            # Before the claims, as an erasure takes them.
            in_transaction(connection, Lock.VECTORS, self._index.index_id, shared=True)
            space = self._index.generation.space.number
            claimed = claims.release(connection, self._index.index_id, space, holder, done)
            # Only an erasure takes a living run's claims away.
            erased = self._erased(connection, [content_hash for content_hash in done if content_hash not in claimed])
            if honest:
                vectors.store_vectors(
                    connection,
                    self._index,
                    [text for part in honest for text in part.texts],
                    [part.judgement.vectors for part in honest if part.judgement is not None],
                    erased,
                )
            refusals = [refusal for refusal in refusals if refusal.content_hash not in erased]
            if refusals:
                quarantine.put(connection, self._index, refusals)

    def _erased(self, connection: psycopg.Connection, unclaimed: Sequence[ContentHash]) -> set[ContentHash]:
        """Those of the texts that no row has any more. Without a claim a text may still be needed: that of a run whose
        own connection is gone."""
        return set(unclaimed) - vectors.still_needed(connection, self._index, unclaimed) if unclaimed else set()

    def _give_back(self, batches: int) -> None:
        for _ in range(batches):
            self._on_batch_done()
