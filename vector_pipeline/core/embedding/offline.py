"""What the pipeline asks of a provider that answers offline: a file of requests, within a day, at half the price."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import BinaryIO, Protocol, runtime_checkable

from vector_pipeline.core.errors import ProviderError

OFFLINE_SHARE_OF_PRICE = Decimal("0.5")
"""https://platform.openai.com/docs/guides/batch: 50 % off."""

_OVER = frozenset({"completed", "failed", "expired", "cancelled"})


@dataclass(frozen=True)
class BatchLimits:
    """What one batch takes: openai's `BatchCreateParams` names 50,000 requests, as many inputs of embeddings in all of
    them together, and 200 MB."""

    requests: int = 50_000
    file_bytes: int = 200_000_000


@dataclass(frozen=True)
class RemoteBatch:
    """A batch as the provider tells of it. `problems` is why it was refused as a whole, empty if it wasn't."""

    batch_id: str
    status: str
    input_file: str | None
    output_file: str | None
    error_file: str | None
    completed: int
    problems: str

    @property
    def over(self) -> bool:
        """Whether nothing more comes of it."""
        return self.status in _OVER


class BatchApi(Protocol):
    """The offline Batch API of one server, for one model. All methods but `explain` raise `ProviderError`s."""

    @property
    def body(self) -> Mapping[str, object]:
        """What each request has beside its text."""

    def upload(self, lines: BinaryIO, name: str) -> str:
        """Uploads a file of requests. Returns its id."""

    def create(self, file_id: str, mark: str) -> RemoteBatch:
        """Makes a batch of an uploaded file; `find` finds it by the mark."""

    def find(self, mark: str, since: datetime) -> RemoteBatch | None:
        """The batch with this mark, if it was made after that moment."""

    def retrieve(self, batch_id: str) -> RemoteBatch:
        """How a batch stands."""

    def cancel(self, batch_id: str) -> RemoteBatch:
        """Has a batch end early; what it has done by then is paid for and answered."""

    def read_lines(self, file_id: str) -> Iterator[bytes]:
        """The lines of a file, as they come; where it breaks off, those before were whole."""

    def delete_file(self, file_id: str | None) -> None:
        """Removes a file at the provider, if that can be done."""

    def explain(self, status: int, body: object) -> ProviderError:
        """What the answer to a single request of a batch means, if it is no success."""

    def without_secrets(self, text: str) -> str:
        """Words of the provider's, without the key."""


@runtime_checkable
class OffersBatches(Protocol):
    """A provider that has an offline Batch API."""

    def batches(self) -> BatchApi:
        """The API for the provider's model."""
