"""The offline batches of one index, from submission to ingestion: asking after them, taking in what is over, ending
early."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from vector_pipeline.core import batch_ingestion, batch_submission
from vector_pipeline.core.embedding.offline import BatchApi, OffersBatches, RemoteBatch
from vector_pipeline.core.embedding.provider import EmbeddingProvider
from vector_pipeline.core.errors import ConfigurationError, ProviderUnavailableError, VectorPipelineError
from vector_pipeline.core.store import generations, locks, offline_batches, registry
from vector_pipeline.core.store.locks import Lock
from vector_pipeline.core.store.offline_batches import UNDER_WAY, OfflineBatch
from vector_pipeline.core.store.registry import RegisteredIndex

_GONE = "its generation is gone"


def batch_api(provider: EmbeddingProvider) -> BatchApi:
    """The provider's offline Batch API.

    Raises:
        ConfigurationError: it has none.
    """
    if not isinstance(provider, OffersBatches):
        raise ConfigurationError(
            f"provider {provider.name} has no offline Batch API: embedding.provider.type has to be openai, and the "
            "server one that has /v1/batches"
        )
    return provider.batches()


@contextmanager
def alone(connection: psycopg.Connection, index: RegisteredIndex) -> Iterator[None]:
    """Lets nobody else submit or end batches of the index meanwhile.

    Raises:
        VectorPipelineError: somebody else is at it.
    """
    if not locks.try_hold(connection, Lock.OFFLINE_BATCHES, index.index_id):
        raise VectorPipelineError(
            f"another process is at work on the offline batches of index {index.name!r}; try again when it has ended"
        )
    try:
        yield
    finally:
        locks.release(connection, Lock.OFFLINE_BATCHES, index.index_id)


class _Problems:
    """What goes wrong with one batch keeps the others from nothing."""

    def __init__(self) -> None:
        self.first: VectorPipelineError | None = None

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keeps what the block raises, unless no other batch would fare better."""
        try:
            yield
        except ProviderUnavailableError:
            raise
        except VectorPipelineError as error:
            self.first = self.first or error

    def forget(self) -> None:
        """Lets nothing be raised."""
        self.first = None


@contextmanager
def _problems_at_the_end() -> Iterator[_Problems]:
    """Raises the first of the problems that are kept meanwhile."""
    problems = _Problems()
    yield problems
    if problems.first is not None:
        raise problems.first


@dataclass(frozen=True)
class Batches:
    """The batches of an index that have not ended, whichever generation they are for.

    Args:
        provider_of: the provider of a generation's model.
        look_at_model: raises an error where the model of a generation is not the one that it was.
    """

    connection: psycopg.Connection
    index: RegisteredIndex
    provider_of: Callable[[RegisteredIndex], EmbeddingProvider]
    look_at_model: Callable[[RegisteredIndex], None]

    def need_work(self) -> bool:
        """Asks the provider whether a batch is over. Also true of one whose submission broke off.

        Raises:
            ProviderError: it can't be asked.
        """
        living = offline_batches.living(self.connection, self.index)
        if not living or locks.is_held(self.connection, Lock.OFFLINE_BATCHES, self.index.index_id):
            return False
        if any(batch.standing != UNDER_WAY for batch in living):
            return True
        with _problems_at_the_end() as problems:
            for batch in living:
                with problems.kept():
                    _, remote = self._look_at(batch)
                    if remote is None or remote.over:
                        problems.forget()
                        return True
        return False

    def recover(self) -> None:
        """Settles what submissions that broke off have left. To be called `alone`."""
        for batch in offline_batches.living(self.connection, self.index):
            if batch.standing == UNDER_WAY:
                continue
            generation = self._generation(batch)
            if generation is None:
                offline_batches.end(self.connection, self.index, batch, None, _GONE)
            else:
                batch_submission.recover(self.connection, generation, self._api(generation), batch)

    def ingest(self) -> int:
        """Takes in what is over. Returns how many batches that ended.

        Raises:
            ModelDriftedError: the model has changed under its name; what has come stays with the provider.
            ProviderError: it can't be asked, or breaks off; what came before is stored. Or one of the batches can't be
                taken in; the others are.
        """
        with alone(self.connection, self.index):
            self.recover()
            living = [b for b in offline_batches.living(self.connection, self.index) if b.standing == UNDER_WAY]
            with _problems_at_the_end() as problems:
                ended = 0
                for batch in living:
                    with problems.kept():
                        ended += self._take_in(batch)
            return ended

    def _take_in(self, batch: OfflineBatch) -> bool:
        """Returns whether the batch has ended by that."""
        generation, remote = self._look_at(batch)
        if generation is None:
            offline_batches.end(self.connection, self.index, batch, None, _GONE)
        elif remote is not None and remote.over:
            if remote.output_file is not None:
                self.look_at_model(generation)
            batch_ingestion.ingest(self.connection, generation, self._api(generation), batch, remote)
        else:
            return False
        return True

    def cancel(self) -> int:
        """Has the provider end what is under way; what it has done by then is paid for, and taken in once it is over.
        Returns how many batches that are."""
        with alone(self.connection, self.index):
            self.recover()
            with _problems_at_the_end() as problems:
                cancelled = 0
                for batch in offline_batches.living(self.connection, self.index):
                    with problems.kept():
                        generation, remote = self._look_at(batch)
                        # What is over can't be cancelled: OpenAI answers with an error.
                        if generation is not None and remote is not None and not remote.over:
                            remote = self._api(generation).cancel(remote.batch_id)
                            offline_batches.note_remote(self.connection, batch.batch, remote)
                            cancelled += 1
            return cancelled

    def forget(self) -> int:
        """Gives back the texts of all batches without asking the provider. Returns how many texts."""
        with alone(self.connection, self.index):
            return sum(
                offline_batches.end(self.connection, self.index, batch, None, "forgotten on demand")
                for batch in offline_batches.living(self.connection, self.index)
            )

    def _look_at(self, batch: OfflineBatch) -> tuple[RegisteredIndex | None, RemoteBatch | None]:
        """Its generation and how the provider says that it stands, None where there is no such generation or batch."""
        generation = self._generation(batch)
        if generation is None or batch.batch_id is None:
            return generation, None
        remote = self._api(generation).retrieve(batch.batch_id)
        offline_batches.note_remote(self.connection, batch.batch, remote)
        return generation, remote

    def _generation(self, batch: OfflineBatch) -> RegisteredIndex | None:
        """That of the batch, or another one that its vectors are of use for."""
        found = registry.load_generation(self.connection, self.index, batch.generation)
        if found is not None:
            return found
        spaces = generations.spaces(self.connection, self.index)
        return next((one for one in spaces if one.generation.space.number == batch.space), None)

    def _api(self, generation: RegisteredIndex) -> BatchApi:
        return batch_api(self.provider_of(generation))
