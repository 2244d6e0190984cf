"""Taking in what came of an offline batch.

Its files are read line by line and stored part by part, each part in one transaction with what it has cost and with
the end of the batch's debt. So an ingestion that breaks off goes on with what is still owed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import psycopg

from vector_pipeline.core.documents.rendering import ContentHash
from vector_pipeline.core.embedding.answers import stack_vectors
from vector_pipeline.core.embedding.batch_file import Outcome, read_outcome
from vector_pipeline.core.embedding.honesty import Judgement, VectorSpaceLength, judge
from vector_pipeline.core.embedding.offline import BatchApi, RemoteBatch
from vector_pipeline.core.embedding.prices import cost_of
from vector_pipeline.core.embedding.provider import EmbeddedBatch, Vectors
from vector_pipeline.core.errors import DimensionMismatchError, DishonestAnswerError
from vector_pipeline.core.store import offline_batches, quarantine, vectors
from vector_pipeline.core.store.locks import Lock, in_transaction
from vector_pipeline.core.store.offline_batches import OfflineBatch, OwedText
from vector_pipeline.core.store.quarantine import NOT_HONEST, REFUSED, Refusal
from vector_pipeline.core.store.registry import RegisteredIndex
from vector_pipeline.core.store.spending import Usage
from vector_pipeline.core.store.vectors import NeededText

_OUTCOMES_AT_ONCE = 500


def ingest(
    connection: psycopg.Connection, index: RegisteredIndex, api: BatchApi, batch: OfflineBatch, remote: RemoteBatch
) -> None:
    """Stores what a batch that is over has brought, and gives back the texts that it has not tried.

    Args:
        index: by the batch's generation.

    Raises:
        ProviderUnavailableError: a file breaks off; what came before is stored.
        DishonestAnswerError: lines can't be read that texts may be waiting for; all others are stored. The files stay
            at the provider: what lies there is paid for.
    """
    reasons: Counter[str] = Counter()
    unreadable = 0
    for outcomes in _parts(api, remote):
        readable = [outcome for outcome in outcomes if outcome is not None]
        unreadable += len(outcomes) - len(readable)
        not_tried = {outcome.content_hash: outcome.not_tried for outcome in readable if outcome.not_tried}
        # What is owed no more may be erased: not even what was said of it is kept.
        reasons.update(not_tried[one] for one in offline_batches.owed(connection, batch.batch, sorted(not_tried)))
        _store(connection, index, batch, [outcome for outcome in readable if not outcome.not_tried])
    if unreadable and (owed := offline_batches.count_owed_by(connection, batch.batch)):
        raise DishonestAnswerError(
            f"{unreadable:,} lines of the files of batch {batch.batch} ({remote.batch_id}) can't be read, and {owed:,} "
            "texts have no other; they are read again with the next run, or `vector-pipeline batch "
            f"{index.name} forget` gives the texts back"
        )
    [(usual, _)] = reasons.most_common(1) or [("", 0)]
    offline_batches.end(connection, index, batch, remote.status, api.without_secrets(remote.problems or usual))
    for file_id in (remote.input_file, remote.output_file, remote.error_file):
        api.delete_file(file_id)


def _parts(api: BatchApi, remote: RemoteBatch) -> Iterator[list[Outcome | None]]:
    """What the lines say, some at a time; None for one that can't be read."""
    part: list[Outcome | None] = []
    for file_id in filter(None, (remote.output_file, remote.error_file)):
        for line in api.read_lines(file_id):
            try:
                outcome = read_outcome(line, api.explain)
            except DishonestAnswerError:
                part.append(None)
            else:
                part += [outcome] if outcome is not None else []
            if len(part) >= _OUTCOMES_AT_ONCE:
                yield part
                part = []
    if part:
        yield part


def _store(
    connection: psycopg.Connection, index: RegisteredIndex, batch: OfflineBatch, outcomes: Sequence[Outcome]
) -> None:
    by_hash = {outcome.content_hash: outcome for outcome in outcomes}
    with connection.transaction():
        # Before what is owed, as an erasure takes them.
        in_transaction(connection, Lock.VECTORS, index.index_id, shared=True)
        # What is owed no more was erased, or stored by an ingestion that broke off.
        owed = offline_batches.owed(connection, batch.batch, sorted(by_hash))
        if not owed:
            return
        taken = [by_hash[content_hash] for content_hash in owed]
        embedded = _store_vectors(connection, index, owed, taken)
        offline_batches.settle(connection, index, batch, list(owed), embedded, _usage(batch, owed, taken))


def _store_vectors(
    connection: psycopg.Connection,
    index: RegisteredIndex,
    owed: dict[ContentHash, OwedText],
    outcomes: Sequence[Outcome],
) -> int:
    """Stores honest vectors and puts the other texts in quarantine. Returns how many are stored."""
    answered = [(outcome.content_hash, outcome.vector) for outcome in outcomes if outcome.vector is not None]
    refusals = [
        Refusal(o.content_hash, REFUSED if o.refused else NOT_HONEST, o.refused or o.dishonest)
        for o in outcomes
        if o.vector is None
    ]
    hashes = [content_hash for content_hash, _ in answered]
    judgement, reasons = _judged(index, [vector for _, vector in answered])
    refusals += [Refusal(hashes[row], NOT_HONEST, f"the vector {reason}") for row, reason in reasons.items()]
    honest = [content_hash for row, content_hash in enumerate(hashes) if row not in reasons]
    if judgement is not None and honest:
        texts = [NeededText(content_hash, "", owed[content_hash].fields) for content_hash in honest]
        vectors.store_vectors(connection, index, texts, [judgement.vectors])
    if refusals:
        quarantine.put(connection, index, refusals)
    return len(honest)


def _judged(index: RegisteredIndex, answered: list[Vectors]) -> tuple[Judgement | None, dict[int, str]]:
    """The honest vectors, and for each other, by its position, what is wrong with it."""
    if not answered:
        return None, {}
    space = index.generation.space
    lengths = np.fromiter(map(len, answered), np.int32, len(answered))
    batch = EmbeddedBatch(stack_vectors(answered, lengths, space.native_dimensions), lengths, None)
    try:
        judgement = judge(batch, VectorSpaceLength.of(space))
    except DimensionMismatchError:
        # Nobody is there to be asked whether it is these texts or the model: the canary texts were, before.
        reason = f"has {lengths[0]} numbers instead of {space.native_dimensions}"
        return None, dict.fromkeys(range(len(answered)), reason)
    return judgement, dict(judgement.reasons)


def _usage(batch: OfflineBatch, owed: dict[ContentHash, OwedText], outcomes: Sequence[Outcome]) -> Usage:
    """What the outcomes cost: a refused text nothing."""
    charged = [outcome for outcome in outcomes if not outcome.refused]
    estimated = sum(owed[outcome.content_hash].tokens for outcome in charged if outcome.tokens is None)
    tokens = estimated + sum(outcome.tokens or 0 for outcome in charged)
    return Usage(
        requests=len(outcomes),
        texts=len(charged),
        tokens=tokens,
        tokens_estimated=estimated,
        cost=None if batch.price is None else cost_of(tokens, batch.price),
    )
