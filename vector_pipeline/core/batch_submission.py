"""Sending what an index lacks to the provider's offline Batch API.

The texts are claimed as a run claims them, and entered with their batch before anything is sent: from then on no run
sends them. Where it is not known whether a batch was made, since somebody died or the answer was lost, it is looked for
by its mark before its texts are given back.
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator, Sequence, Set
from datetime import date
from decimal import Decimal

import psycopg

from vector_pipeline.core.documents.rendering import ContentHash
from vector_pipeline.core.embedding.batch_file import request_line
from vector_pipeline.core.embedding.offline import BatchApi, BatchLimits
from vector_pipeline.core.embedding.prices import cost_of
from vector_pipeline.core.embedding.tokens import TokenCounter
from vector_pipeline.core.errors import (
    BudgetSpentError,
    DishonestAnswerError,
    ProviderError,
    ProviderUnavailableError,
)
from vector_pipeline.core.money import in_usd
from vector_pipeline.core.reports import SubmittedBatches
from vector_pipeline.core.source.key_ranges import KeyRange
from vector_pipeline.core.store import offline_batches, quarantine, spending, vectors
from vector_pipeline.core.store.claims import Claims, release
from vector_pipeline.core.store.locks import Lock, in_transaction
from vector_pipeline.core.store.offline_batches import BatchText, OfflineBatch
from vector_pipeline.core.store.registry import RegisteredIndex
from vector_pipeline.core.store.vectors import NeededText

_TEXTS_CLAIMED_AT_ONCE = 500
# A request to make a batch is answered or given up long before.
_SECONDS_UNTIL_A_BATCH_WOULD_BE_LISTED = 600.0


class _File:
    """The requests of one batch, on their way to the provider."""

    def __init__(self, limits: BatchLimits) -> None:
        self.lines = tempfile.TemporaryFile()  # noqa: SIM115 - `close` ends it
        self.texts: list[BatchText] = []
        self._limits = limits
        self._bytes = 0

    @property
    def tokens(self) -> int:
        return sum(text.tokens for text in self.texts)

    def takes(self, line: bytes) -> bool:
        """Whether the line is within the limits, beside those before."""
        return len(self.texts) < self._limits.requests and self._bytes + len(line) <= self._limits.file_bytes

    def add(self, line: bytes, text: BatchText) -> None:
        self.lines.write(line)
        self._bytes += len(line)
        self.texts.append(text)

    def keep(self, hashes: Set[ContentHash]) -> None:
        """Leaves only the requests for these texts."""
        if len(hashes) < len(self.texts):
            with self.lines as before:
                before.seek(0)
                kept = [line for text, line in zip(self.texts, before, strict=True) if text.content_hash in hashes]
            self.lines = tempfile.TemporaryFile()  # noqa: SIM115 - as above
            self.lines.writelines(kept)
            self.texts = [text for text in self.texts if text.content_hash in hashes]

    def close(self) -> None:
        self.lines.close()


class Submission:
    """One submission of what some ranges of a generation lack; `run` does it once. Nobody else may submit, nor end
    batches of the index, meanwhile.

    Args:
        price: USD per million tokens, offline; None if unknown.
        budget: USD a day, None for none; only together with a price.
    """

    def __init__(
        self,
        connection: psycopg.Connection,
        index: RegisteredIndex,
        api: BatchApi,
        count_tokens: TokenCounter,
        price: Decimal | None,
        budget: Decimal | None,
        limits: BatchLimits,
    ) -> None:
        self._connection = connection
        self._index = index
        self._api = api
        self._count_tokens = count_tokens
        self._price = price
        self._budget = budget if price is not None else None
        self._limits = limits
        self._prefix = index.generation.space.document_prefix
        self._batches = self._texts = self._tokens = 0

    def run(self, ranges: Sequence[KeyRange]) -> SubmittedBatches:
        """Submits what the ranges lack, or as much of it as the budget covers, in as many batches as it takes.

        Raises:
            ProviderError: a batch could not be submitted. Those before are under way, and its own texts free again,
                unless the provider may have made it.
        """
        claims = Claims(self._connection, self._index)
        file = _File(self._limits)
        left = None if self._budget is None else spending.left(self._connection, self._index, self._budget)
        paused = None
        try:
            for needed in self._lacking(claims, ranges):
                text = BatchText(needed.content_hash, needed.fields, self._count_tokens(self._prefix + needed.text))
                if left is not None and (left := left - self._cost(text.tokens)) < 0:
                    paused = f"today's budget of {self._told_budget} (embedding.budget_per_day) covers no more"
                    break
                line = request_line(needed.content_hash, self._prefix + needed.text, self._api.body)
                if not file.takes(line):
                    self._send(claims, file)
                    file.close()
                    file = _File(self._limits)
                file.add(line, text)
            if file.texts:
                self._send(claims, file)
        finally:
            file.close()
            claims.end()
        cost = None if self._price is None else float(self._cost(self._tokens))
        return SubmittedBatches(self._index.generation.number, self._batches, self._texts, self._tokens, cost, paused)

    def _lacking(self, claims: Claims, ranges: Sequence[KeyRange]) -> Iterator[NeededText]:
        """The texts that nobody else sends, each once, claimed."""
        for key_range in ranges:
            needed = vectors.needed_texts(self._connection, self._index, key_range.range_id)
            for start in range(0, len(needed), _TEXTS_CLAIMED_AT_ONCE):
                part = needed[start : start + _TEXTS_CLAIMED_AT_ONCE]
                claimed = claims.claim([text.content_hash for text in part]).mine
                # Looked up after the claim: whoever had it before has stored what became of it.
                stored = vectors.with_a_vector(self._connection, self._index, list(claimed))
                vectors.take_over(self._connection, self._index, [t for t in part if t.content_hash in stored])
                needless = stored | quarantine.paused(self._connection, self._index, list(claimed))
                needless |= offline_batches.awaited(self._connection, self._index, list(claimed))
                claims.release(list(needless))
                yield from (t for t in part if t.content_hash in claimed - needless)

    def _send(self, claims: Claims, file: _File) -> None:
        mark = uuid.uuid4().hex
        space = self._index.generation.space.number
        with self._connection.transaction():
            # Before the claims, as an erasure takes them.
            in_transaction(self._connection, Lock.VECTORS, self._index.index_id, shared=True)
            hashes = [text.content_hash for text in file.texts]
            # Entered, and so left alone by runs, when they are claimed no more.
            claimed = release(self._connection, self._index.index_id, space, claims.holder, hashes)
            # What is claimed no more was erased meanwhile: it is not to be sent any more.
            file.keep(claimed)
            if not file.texts:
                return
            day, reserved = self._set_aside(file.tokens)
            number = offline_batches.add(self._connection, self._index, mark, file.texts, self._price, day, reserved)
        [batch] = [one for one in offline_batches.living(self._connection, self._index) if one.batch == number]
        file.lines.seek(0)
        try:
            file_id = self._api.upload(file.lines, f"{self._index.name}-{mark}.jsonl")
        except ProviderError as error:
            offline_batches.end(self._connection, self._index, batch, None, f"not uploaded: {error}")
            raise
        offline_batches.note_upload(self._connection, number, file_id)
        try:
            remote = self._api.create(file_id, mark)
        except ProviderError as error:
            unknown = isinstance(error, ProviderUnavailableError | DishonestAnswerError)
            if unknown and getattr(error, "status", None) != 429:
                raise  # it may have been made: `recover` looks for it
            offline_batches.end(self._connection, self._index, batch, None, f"not accepted: {error}")
            self._api.delete_file(file_id)
            raise
        offline_batches.note_remote(self._connection, number, remote)
        self._batches += 1
        self._texts += len(file.texts)
        self._tokens += file.tokens

    def _set_aside(self, tokens: int) -> tuple[date, Decimal]:
        """The day on which a batch counts, and what is set aside of its budget."""
        if self._budget is None:
            return spending.today(self._connection), Decimal(0)
        cost = self._cost(tokens)
        day = spending.reserve(self._connection, self._index, cost, self._budget, note_refusal=False)
        if day is None:
            raise BudgetSpentError(
                f"other runs have spent what was left of today's budget of {self._told_budget} "
                f"(embedding.budget_per_day) of index {self._index.name!r}; submit again"
            )
        return day, cost

    @property
    def _told_budget(self) -> str:
        return in_usd(float(self._budget or 0))

    def _cost(self, tokens: int) -> Decimal:
        return cost_of(tokens, self._price or Decimal(0))


def recover(connection: psycopg.Connection, index: RegisteredIndex, api: BatchApi, batch: OfflineBatch) -> None:
    """Settles a batch of which nobody knows whether the provider has it. Nobody may be submitting it.

    Raises:
        ProviderError: it can't be asked.
    """
    if batch.file_id is None:
        offline_batches.end(connection, index, batch, None, "broken off before it was sent")
        return
    remote = api.find(batch.mark, batch.created_at)
    if remote is not None:
        offline_batches.note_remote(connection, batch.batch, remote)
    elif (batch.seconds_since_upload or 0.0) > _SECONDS_UNTIL_A_BATCH_WOULD_BE_LISTED:
        offline_batches.end(connection, index, batch, None, "broken off before the provider made a batch of it")
        api.delete_file(batch.file_id)
