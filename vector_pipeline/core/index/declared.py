"""The declaration of an index, held against MySQL, PostgreSQL and the provider; and the end of an index."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from vector_pipeline.core import (
    erasure,
    generations,
    preparation,
    schema_changes,
)
from vector_pipeline.core.batches import alone
from vector_pipeline.core.declaration import key_content_problems, static_problems
from vector_pipeline.core.embedding.prices import budget_problems
from vector_pipeline.core.errors import (
    ConfigurationError,
    DeclarationProblem,
    DishonestAnswerError,
    IndexSpecError,
    NameTakenError,
    ProviderRefusedError,
    ProviderRejectsUsError,
    VectorPipelineError,
)
from vector_pipeline.core.index.opened import in_our_words
from vector_pipeline.core.index.paid import PaidIndex
from vector_pipeline.core.reports import (
    ErasureReport,
)
from vector_pipeline.core.schema_changes import SchemaChange
from vector_pipeline.core.source.catalog import SourceTable
from vector_pipeline.core.store import generations as store_generations
from vector_pipeline.core.store import (
    registry,
    view,
)


class DeclaredIndex(PaidIndex):
    """Whether it is declared as it can be, and what follows where its source has changed."""

    @in_our_words
    def check_declaration(self) -> list[DeclarationProblem]:
        """All that is wrong with the declaration, against MySQL's catalogue and the provider; [] if it is right.

        Raises:
            SourceUnavailableError, TargetUnavailableError, ProviderUnavailableError: a server is down, so that the
                rest can't be told.
        """
        problems = static_problems(self.spec)
        if problems:
            return problems
        table, problems = preparation.look_at_table(self._source, self.spec, self._database)
        if table is not None and not problems:
            problems = key_content_problems(self._source, self.spec, table)
        try:
            self._check_against_target(table)
        except IndexSpecError as error:
            problems += error.problems
        except NameTakenError as error:
            problems.append(DeclarationProblem("name", error.problem, error.remedy))
        except ConfigurationError as error:
            problems.append(DeclarationProblem("embedding", str(error), "see .env.example"))
        except (ProviderRejectsUsError, ProviderRefusedError, DishonestAnswerError) as error:
            problems.append(DeclarationProblem("embedding", str(error), "correct embedding, or see .env.example"))
        return problems

    def _check_against_target(self, table: SourceTable | None) -> None:
        preparation.refuse_unknown_languages(self._target, self.spec, self._origin)
        index = registry.load(self._target, self.spec.name)
        if index is not None:
            without_a_price = list(budget_problems(self.spec.embedding, self._wanted.provider, self._wanted.model))
            if without_a_price:
                raise IndexSpecError(self._origin, without_a_price)
            records = store_generations.load_records(self._target, index)
            generations.refuse_another_key(index, records, self.spec, self._origin)
            if table is not None:
                schema_changes.refuse_schema_changes(self._target, index, self.spec, table, self._origin)
            change = generations.declared_change(self._target, index, self.spec, self._wanted)
            if change is not None and change.record is None:
                preparation.measure_dimensions(self.spec, self._wanted, self._provider, self._origin)
            return
        view.refuse_a_stranger(self._target, self.spec.name)
        registry.refuse_a_strangers_schema(self._target, self.spec.name)
        preparation.measure_dimensions(self.spec, self._wanted, self._provider, self._origin)

    @in_our_words
    def accept_schema(self) -> list[SchemaChange]:
        """Takes the source's columns as they are now for those of the index. Returns what had changed.

        Rows that read differently by it are dirty, and synced as others are.

        Raises:
            IndexSpecError: a column of the key has changed: the index has to be built anew.
        """
        return schema_changes.accept_schema(self._target, self._registered, self.spec, self._table, self._origin)

    @in_our_words
    def erase(self, keys: Sequence[str]) -> ErasureReport:
        """Removes rows that MySQL no longer has from PostgreSQL at once, with every vector that no row needs any more.

        Raises:
            ErasureError: a row is still in MySQL, or what is given is no key; nothing is erased.
        """
        return erasure.erase(self._source, self._target, self._registered, self._plan, keys)

    @in_our_words
    def drop(self) -> None:
        """Removes the index, its vectors included, from PostgreSQL. What is under way at an offline Batch API is
        cancelled if it can be.

        Raises:
            VectorPipelineError: somebody is submitting a batch or taking one in.
        """
        index = self._registered
        # Or a batch could be made, and paid for, of which nobody knows any more.
        with alone(self._target, index):
            with suppress(VectorPipelineError):
                self._batches.cancel()
            registry.drop(self._target, index, view.view_name(index))
        self._is_prepared = False
