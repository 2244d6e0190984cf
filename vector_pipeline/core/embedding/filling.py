"""Filling the vectors that the passages of some key ranges need.

Three things overlap: this thread reads texts and packs batches, a pool of threads waits for the provider, and a
writing thread stores the finished batches. So the provider is what the work waits for. A batch is in flight until it is
stored, and there are never more of them than requests in flight and one: that is all a killed run can have paid for in
vain, and the next one goes on by set difference. Texts are claimed before they are sent, so that of several runs which
need the same text one pays for it, and the others wait for its vector.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for_all
from dataclasses import dataclass, field, replace

import psycopg

from vector_pipeline.core.documents.rendering import ContentHash
from vector_pipeline.core.embedding.honesty import Judgement, VectorSpaceLength, judge
from vector_pipeline.core.embedding.packing import Packer
from vector_pipeline.core.embedding.provider import EmbeddedBatch, EmbeddingProvider, limits_of
from vector_pipeline.core.embedding.requesting import (
    HARMLESS_TEXT,
    Embedded,
    Refused,
    request_halving,
    request_with_patience,
)
from vector_pipeline.core.embedding.tokens import counter_for
from vector_pipeline.core.embedding.traffic import DEFAULT_PATIENCE_SECONDS, PacedProvider
from vector_pipeline.core.embedding.writing import BatchDone, Finished, OpenConnection, Writer
from vector_pipeline.core.errors import BudgetSpentError, DimensionMismatchError
from vector_pipeline.core.reports import EmbeddingReport, RangeEmbeddings
from vector_pipeline.core.source.key_ranges import KeyRange
from vector_pipeline.core.store import locks, offline_batches, quarantine, statistics, vectors
from vector_pipeline.core.store.claims import Claims
from vector_pipeline.core.store.documents import PassageCounts, serve_current_vectors, settle_vectors_complete
from vector_pipeline.core.store.locks import Lock
from vector_pipeline.core.store.means import make_means
from vector_pipeline.core.store.quarantine import NOT_HONEST, REFUSED, Refusal
from vector_pipeline.core.store.registry import RegisteredIndex
from vector_pipeline.core.store.vectors import NeededText

OnProgress = Callable[[int, int], None]
"""Called with texts done and texts known to be needed so far."""

# How often texts are looked at that another run has claimed, and for how long: what it pays for is worth a wait, but it
# may be stopped and never end.
_FIRST_LOOK_SECONDS = 0.02
_LONGEST_LOOK_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 900.0


@dataclass
class _Tally:
    """Counted by several threads under one lock."""

    needed: int = 0
    embedded: int = 0
    quarantined: int = 0
    requests: int = 0
    tokens: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def request(self, tokens: int | None) -> None:
        with self.lock:
            self.requests += 1
            self.tokens += tokens or 0


_Batch = list[NeededText]


class Filling:
    """One filling of the vectors of some ranges; `run` does it once."""

    def __init__(
        self,
        open_connection: OpenConnection,
        index: RegisteredIndex,
        provider: EmbeddingProvider,
        attempts: int,
        on_progress: OnProgress | None = None,
        *,
        patience_seconds: float = DEFAULT_PATIENCE_SECONDS,
    ) -> None:
        self._open_connection = open_connection
        self._index = index
        self._limits = limits_of(provider)
        self._count_tokens = counter_for(provider.model)
        self._attempts = attempts
        self._on_progress = on_progress
        space = index.generation.space
        self._length = VectorSpaceLength.of(space)
        self._prefix = space.document_prefix
        self._tally = _Tally()
        self._texts_needed = 0
        self._texts_reused = 0
        self._failed = threading.Event()
        self._provider = PacedProvider(provider, patience_seconds, self._failed.is_set, self._tally.request)
        self._error: BaseException | None = None
        self._paused: BudgetSpentError | None = None
        self._in_flight: set[ContentHash] = set()
        self._asked: set[Future[None]] = set()
        self._aside: list[NeededText] = []
        self._counts: dict[int, PassageCounts] = {}
        # Given back when a batch is stored, not when it is answered: what is paid for and could be lost stays bounded.
        # One beyond the requests, so that a batch being written keeps no request from being made.
        self._slots = threading.Semaphore(self._limits.requests_in_flight + 1)

    def run(self, ranges: Sequence[KeyRange]) -> EmbeddingReport:
        """Embeds what the ranges lack, or as much of it as the budget covers.

        Raises:
            ProviderError: the provider is down or not the declared model; what it gave before is stored.
        """
        started = time.monotonic()
        with self._open_connection() as connection:
            statistics.renew_outgrown(connection, self._index)
            claims = Claims(connection, self._index)
            try:
                busy = self._pass(connection, claims, ranges, wait=False)
                if busy and self._paused is None:
                    # Only now, holding nothing, and in an order that all share: of runs that wait for each other's
                    # ranges none may hold one that another waits for in turn.
                    in_order = sorted(busy, key=lambda key_range: key_range.range_id)
                    self._pass(connection, claims, in_order, wait=True)
            finally:
                claims.end()
            states = tuple(self._state(connection, key_range) for key_range in ranges)
        tally = self._tally
        return EmbeddingReport(
            ranges=states,
            texts_needed=self._texts_needed,
            texts_reused=self._texts_reused,
            texts_embedded=tally.embedded,
            texts_quarantined=tally.quarantined,
            requests=tally.requests,
            tokens=tally.tokens,
            seconds=time.monotonic() - started,
            paused=None if self._paused is None else str(self._paused),
        )

    @property
    def _over(self) -> bool:
        """Whether nothing more is to be sent: something has failed, or the budget is spent."""
        return self._failed.is_set() or self._paused is not None

    def _pass(
        self, connection: psycopg.Connection, claims: Claims, ranges: Sequence[KeyRange], *, wait: bool
    ) -> list[KeyRange]:
        """Works on the ranges whose lock it gets; returns those that another run works on."""
        taken: list[KeyRange] = []
        busy: list[KeyRange] = []
        self._writer = Writer(
            self._open_connection, self._index, self._note_stored, self._slots.release, self._note_error
        )
        writing = threading.Thread(target=self._writer.run, args=(claims.holder,), name="vectors-writer")
        writing.start()
        try:
            with ThreadPoolExecutor(self._limits.requests_in_flight, "embedding-request") as pool:
                try:
                    for batch in self._batches(connection, claims, self._take(connection, ranges, taken, busy, wait)):
                        self._slots.acquire()
                        if self._over:
                            self._slots.release()
                            break
                        request = pool.submit(self._request, batch)
                        self._asked.add(request)
                        request.add_done_callback(self._request_done)
                except BaseException as error:
                    # Before the pool is waited for, so that nothing more is asked and paid for.
                    self._note_error(error)
                try:
                    pool.shutdown()
                except BaseException as error:
                    # What is paid for is stored all the same. Not by `shutdown`: an interrupted `join` takes its thread
                    # for ended (python/cpython#89437).
                    self._note_error(error)
                    wait_for_all(list(self._asked))
        finally:
            self._writer.end()
            writing.join()
        if self._error is not None:
            # Nothing is asked of the connection, which may be what failed: its locks go when `run` closes it.
            raise self._error
        for key_range in taken:
            self._settle(connection, key_range)
        for key_range in taken:
            locks.release(connection, Lock.RANGE_EMBEDDING, self._index.embedding_lock(key_range.range_id))
        return busy

    def _take(
        self,
        connection: psycopg.Connection,
        ranges: Sequence[KeyRange],
        taken: list[KeyRange],
        busy: list[KeyRange],
        wait: bool,
    ) -> Iterator[KeyRange]:
        for key_range in ranges:
            which = self._index.embedding_lock(key_range.range_id)
            if wait:
                if not locks.wait_for(connection, Lock.RANGE_EMBEDDING, which, lambda: self._over):
                    return
            elif not locks.try_hold(connection, Lock.RANGE_EMBEDDING, which):
                busy.append(key_range)
                continue
            taken.append(key_range)
            yield key_range

    def _batches(self, connection: psycopg.Connection, claims: Claims, ranges: Iterator[KeyRange]) -> Iterator[_Batch]:
        """Packs the texts that the ranges lack into batches, across the borders of ranges; at the end those that
        another run had claimed."""
        packer = self._packer()
        for key_range in ranges:
            if self._over:
                return
            lacking = vectors.needed_texts(connection, self._index, key_range.range_id)
            distinct = vectors.count_texts(connection, self._index, key_range.range_id)
            self._texts_needed += distinct
            self._texts_reused += distinct - len(lacking)
            for text in lacking:
                if full := packer.add(text):
                    yield from self._still_lacking(connection, claims, full)
        if rest := packer.rest():
            yield from self._still_lacking(connection, claims, rest)
        yield from self._put_aside(connection, claims)

    def _packer(self) -> Packer[NeededText]:
        return Packer(self._limits, lambda needed: self._prefix + needed.text, self._count_tokens)

    def _put_aside(self, connection: psycopg.Connection, claims: Claims) -> Iterator[_Batch]:
        """What other runs had claimed: stored by now, or free, or waited for while they live.

        Nobody waits for this run meanwhile: what it has claimed itself is under way and stored by other threads.
        """
        pause = _FIRST_LOOK_SECONDS
        deadline = time.monotonic() + _LONGEST_WAIT_SECONDS
        while self._aside and not self._over and time.monotonic() < deadline:
            aside, self._aside = self._aside, []
            packer = self._packer()
            for text in aside:
                if full := packer.add(text):
                    yield from self._still_lacking(connection, claims, full)
            if rest := packer.rest():
                yield from self._still_lacking(connection, claims, rest)
            if len(self._aside) == len(aside):
                self._failed.wait(pause)
                pause = min(2 * pause, _LONGEST_LOOK_SECONDS)

    def _still_lacking(self, connection: psycopg.Connection, claims: Claims, batch: _Batch) -> Iterator[_Batch]:
        """The batch less what is in flight, here or in another run, or has been stored or refused since it was read."""
        # In flight first, claimed and stored after it: a text that is stored between the two is seen by both.
        with self._tally.lock:
            in_flight = self._in_flight.intersection(text.content_hash for text in batch)
        free = [text.content_hash for text in batch if text.content_hash not in in_flight]
        found = claims.claim(free)
        claimed = found.mine
        # Looked up after the claim: whoever had it before has stored what became of it.
        stored = vectors.with_a_vector(connection, self._index, list(claimed))
        vectors.take_over(connection, self._index, [t for t in batch if t.content_hash in stored])
        needless = stored | quarantine.paused(connection, self._index, list(claimed))
        needless |= offline_batches.awaited(connection, self._index, list(claimed))
        claims.release(list(needless))
        self._aside += [text for text in batch if text.content_hash in found.others]
        lacking = _distinct(t for t in batch if t.content_hash in claimed and t.content_hash not in needless)
        with self._tally.lock:
            self._in_flight.update(text.content_hash for text in lacking)
            self._tally.needed += len(lacking)
        self._texts_reused += len(in_flight) + len(stored)
        if lacking:
            yield lacking

    def _request(self, batch: _Batch) -> None:
        if self._over:
            return
        texts = [self._prefix + text.text for text in batch]
        for outcome in request_halving(self._provider, texts, self._attempts, self._tally.request, self._sleep):
            finished = self._judged(batch, outcome)
            self._writer.put(finished)
            if finished.again:
                self._request(finished.again)

    def _sleep(self, seconds: float) -> None:
        self._failed.wait(seconds)

    def _request_done(self, future: Future[None]) -> None:
        self._asked.discard(future)
        self._note_error(future.exception())
        self._writer.put(BatchDone())

    def _judged(self, batch: _Batch, outcome: Embedded | Refused) -> Finished:
        if isinstance(outcome, Refused):
            refused = batch[outcome.position]
            return Finished([], None, [Refusal(refused.content_hash, REFUSED, outcome.message)])
        texts = [batch[position] for position in outcome.positions]
        judgement = self._judge(outcome.batch)
        if judgement is None:
            reason = f"has {outcome.batch.lengths[0]} numbers instead of {self._length.native}"
            return Finished([], None, [Refusal(t.content_hash, NOT_HONEST, f"the vector {reason}") for t in texts])
        native = self._length.native
        overshadowed = outcome.batch.vectors.shape[1] != native
        again = [text for text, n in zip(texts, outcome.batch.lengths, strict=True) if overshadowed and n == native]
        refusals = [
            Refusal(texts[row].content_hash, NOT_HONEST, f"the vector {reason}")
            for row, reason in judgement.reasons.items()
            if not (overshadowed and outcome.batch.lengths[row] == native)
        ]
        honest = [text for text, good in zip(texts, judgement.honest, strict=True) if good]
        return Finished(honest, judgement, refusals, again)

    def _judge(self, batch: EmbeddedBatch) -> Judgement | None:
        """None where these texts alone get vectors of another length, and the model is the declared one."""
        try:
            return judge(batch, self._length)
        except DimensionMismatchError:
            probe = request_with_patience(
                self._provider, [HARMLESS_TEXT], self._attempts, self._sleep, self._tally.request
            )
            if probe.lengths[0] != self._length.native:
                raise
            return None

    def _note_stored(self, stored: Sequence[Finished]) -> None:
        embedded = [text.content_hash for part in stored for text in part.texts]
        refused = [refusal.content_hash for part in stored for refusal in part.refusals]
        with self._tally.lock:
            self._in_flight.difference_update(embedded, refused)
            self._tally.embedded += len(embedded)
            self._tally.quarantined += len(refused)
            progress = self._tally.embedded + self._tally.quarantined, self._tally.needed
        if self._on_progress is not None:
            self._on_progress(*progress)

    def _note_error(self, error: BaseException | None) -> None:
        if isinstance(error, BudgetSpentError):
            # What is under way is within the budget, and goes on.
            self._paused = error
        elif error is not None:
            self._error = self._error or error
            self._failed.set()

    def _settle(self, connection: psycopg.Connection, key_range: KeyRange) -> None:
        counts = self._settled(connection, key_range)
        if counts.missing:
            # Texts that were in flight for another field or another range when this one was read.
            lacking = vectors.needed_texts(connection, self._index, key_range.range_id)
            vectors.take_over(connection, self._index, lacking)
            counts = self._settled(connection, key_range)
        self._counts[key_range.range_id] = counts

    def _settled(self, connection: psycopg.Connection, key_range: KeyRange) -> PassageCounts:
        with connection.transaction():
            # Of two transactions on the passages of one range, one waits here and not in the middle.
            locks.in_transaction(connection, Lock.RANGE_DOCUMENTS, key_range.range_id)
            locks.in_transaction(connection, Lock.VECTORS, self._index.index_id, shared=True)
            make_means(connection, self._index, key_range.range_id)
            serve_current_vectors(connection, self._index, key_range.range_id)
            return settle_vectors_complete(connection, self._index, key_range.range_id)

    def _state(self, connection: psycopg.Connection, key_range: KeyRange) -> RangeEmbeddings:
        counts = self._counts.get(key_range.range_id)
        if counts is None:  # it was not come to before the budget was spent
            with connection.transaction():
                counts = settle_vectors_complete(connection, self._index, key_range.range_id)
        return RangeEmbeddings(key_range.partition, counts.passages, counts.missing, counts.quarantined)


def _distinct(texts: Iterable[NeededText]) -> _Batch:
    """Each text once, with the fields of all ranges that need it."""
    found: dict[ContentHash, NeededText] = {}
    for text in texts:
        known = found.get(text.content_hash)
        fields = text.fields if known is None else tuple(dict.fromkeys((*known.fields, *text.fields)))
        found[text.content_hash] = replace(text, fields=fields)
    return list(found.values())
