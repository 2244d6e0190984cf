"""The errors of the core, as one tree.

Every message is written for the person at the console: what happened, to which thing, what to do. No message
carries a secret: what comes from a driver or a provider passes through `without_secrets` first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vector_pipeline.core.embedding.allowance import Allowance


class VectorPipelineError(Exception):
    """Anything that vector-pipeline itself reports."""


@dataclass(frozen=True)
class DeclarationProblem:
    """One thing wrong in a declaration: `field` is the dotted path within the file's attributes."""

    field: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}; {self.remedy}"


class IndexSpecError(VectorPipelineError):
    """A declaration that can be read but is wrong. Names the file, each field and the remedy."""

    def __init__(self, origin: str, problems: Iterable[DeclarationProblem]) -> None:
        self.origin = origin
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{origin}, {problem}" for problem in self.problems))


class WhereClauseError(VectorPipelineError):
    """A condition over a table that came from outside is none that is taken over; the message says what to change."""


class SearchRequestError(VectorPipelineError):
    """The request itself can't be answered; the message says what to change."""


class ConfigurationError(VectorPipelineError):
    """An environment variable is missing or unusable."""


class SourceKeyError(VectorPipelineError):
    """A row of the source has no usable key, though all had one when the index was made."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"source.primary_key: {problem}; correct the rows, or declare a unique key or a view with one")


class SourceValueError(VectorPipelineError):
    """A value of the source can't be read as it is. Names the table, the row and the column."""


class SourceUnavailableError(VectorPipelineError):
    """MySQL cannot be reached or refuses us."""


class SourceRefusedError(VectorPipelineError):
    """MySQL is there and does not do what was asked of it: no right to, no such column, no such table."""


class MassDeletionHeldError(VectorPipelineError):
    """So many rows are gone from the source that somebody has to approve it before the index follows."""


class ErasureError(VectorPipelineError):
    """Rows can't be erased: they are still in the source, or what was given is no key. Nothing was erased."""


class TargetUnavailableError(VectorPipelineError):
    """PostgreSQL cannot be reached, refuses us, or lacks pgvector."""


class TargetFullError(TargetUnavailableError):
    """PostgreSQL's disk is full. What was being written was undone."""


class NameTakenError(TargetUnavailableError):
    """PostgreSQL has something of the index's name already that this project did not make."""

    def __init__(self, problem: str, remedy: str) -> None:
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{problem}; {remedy}")


class TargetRefusedError(VectorPipelineError):
    """PostgreSQL is there and does not do what was asked of it. Carries its sentence and SQLSTATE, never a row."""


class UnreadableIndexError(VectorPipelineError):
    """What the registry holds of an index was not written by this version."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"PostgreSQL holds index {name!r} as another version of vector-pipeline wrote it, and this one can't read "
            f"how it was built; remove it and let it be built anew: `vector-pipeline drop {name}`"
        )


class IndexExistsError(VectorPipelineError):
    """What is to be declared exists already. Names the index, and how it is built again."""


class DeclaredInAFileError(VectorPipelineError):
    """An index can't be removed at run time, since a file declares it. Names the file."""


class NotDeclaredHereError(VectorPipelineError):
    """No index of that name was declared at run time, or not any more."""


class NotQuarantinedError(VectorPipelineError):
    """A row has no text in quarantine, or only ignored ones."""


class LegacyImportError(VectorPipelineError):
    """What an earlier service has left can't be taken over."""


class GenerationError(VectorPipelineError):
    """What was asked of an index's generations can't be done. Says why, and what can."""


class ApiKeyError(VectorPipelineError):
    """What was asked of an API key can't be done. Says why, and what can."""


class NotYetSyncedError(VectorPipelineError):
    """The index has nothing to search or verify yet."""

    @classmethod
    def of(cls, name: str) -> NotYetSyncedError:
        """For an index that nobody has synced into this database."""
        return cls(f"index {name!r} is not in PostgreSQL yet; run: vector-pipeline sync {name}")


class ProviderError(VectorPipelineError):
    """The embedding provider did not give what was asked."""


class ProviderUnavailableError(ProviderError):
    """The provider is down, slow or overloaded: the same request may succeed later.

    `retry_after_seconds` is what the provider itself asked for, where it did; `status` is that of its answer, if any;
    `too_slow` says that there was none in time; `allowance` is what it says is left of its rate limit.
    """

    def __init__(
        self,
        message: str,
        retry_after_seconds: float | None = None,
        *,
        status: int | None = None,
        too_slow: bool = False,
        allowance: Allowance | None = None,
    ) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.status = status
        self.too_slow = too_slow
        self.allowance = allowance

    @property
    def may_be_due_to_a_text(self) -> bool:
        """Whether the server stumbled, which llama.cpp and Ollama do over a text that is too long; 503 is overload.

        424 is how text-embeddings-inference says that its model stumbled (router/src/http/server.rs).
        """
        return self.status is not None and (self.status == 424 or (self.status >= 500 and self.status != 503))


class ProviderDownError(ProviderUnavailableError):
    """The provider was waited for as long as patience goes, and did not come back."""


class SyncAbandonedError(ProviderError):
    """The provider was not asked any more, since the sync that wanted it has failed or was interrupted."""


class ProviderRefusedError(ProviderError):
    """The provider refuses this very request (HTTP 4xx other than 429): repeating it is useless."""


class ProviderRejectsUsError(ProviderError):
    """The key, the model or the address is wrong: no text can succeed until a person puts it right."""


class ModelDriftedError(ProviderRejectsUsError):
    """The model gives other vectors than it gave: no text is embedded until somebody settles it."""


class DishonestAnswerError(ProviderError):
    """The provider's answer as a whole is unusable: wrong count, broken encoding, repeated indexes.

    `tokens` is what it says that it has used all the same, None where it doesn't say.
    """

    def __init__(self, message: str, tokens: int | None = None) -> None:
        super().__init__(message)
        self.tokens = tokens


class BudgetSpentError(VectorPipelineError):
    """The day's budget does not cover a request, so it was not sent. Not the provider's fault, and no text's."""


class BudgetInUseError(VectorPipelineError):
    """The day's budget does not cover a request as long as others are under way, so it was not sent.

    `wait` waits for one of them to end, so many seconds at most; after it the request may be tried again.
    """

    def __init__(self, message: str, wait: Callable[[float], None]) -> None:
        super().__init__(message)
        self.wait = wait


class DimensionMismatchError(ProviderError):
    """Every vector has another length than the index was made for: the model is not the declared one."""


def without_secrets(text: str, secrets: Iterable[str | None]) -> str:
    """`text` with each non-empty secret replaced by ***."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return text


_WORDS = re.compile(r"(HTTP \d{3}|the answer (?:is no JSON|has no embeddings|has no vectors)).*", re.DOTALL)


def without_words(message: str) -> str:
    """A message about a provider's answer without the answer's own words, which may quote what was sent to it."""
    return _WORDS.sub(r"\1", message)
