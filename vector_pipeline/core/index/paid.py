"""What embedding costs: estimates, the day's budget, and batches at half the price."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from vector_pipeline.core import (
    estimating,
    legacy_import,
    money,
)
from vector_pipeline.core.batch_submission import Submission
from vector_pipeline.core.batches import Batches, alone, batch_api
from vector_pipeline.core.embedding.canaries import embed_canaries
from vector_pipeline.core.embedding.offline import OFFLINE_SHARE_OF_PRICE, BatchLimits
from vector_pipeline.core.embedding.tokens import counter_for
from vector_pipeline.core.index.generations import IndexOfGenerations
from vector_pipeline.core.index.opened import in_our_words
from vector_pipeline.core.legacy_import import LegacyImport
from vector_pipeline.core.reports import (
    BatchReport,
    DailyBudget,
    Estimate,
    SubmittedBatches,
)
from vector_pipeline.core.store import (
    key_ranges,
    offline_batches,
    registry,
)
from vector_pipeline.core.store.legacy_table import LegacyTable
from vector_pipeline.core.store.view import renamed_stranger


class PaidIndex(IndexOfGenerations):
    """Its money."""

    @in_our_words
    def import_legacy(
        self,
        table: str | None = None,
        texts: Mapping[str, str] | None = None,
        vectors: Mapping[str, str] | None = None,
        samples: int = legacy_import.SAMPLES,
    ) -> LegacyImport:
        """Takes over vectors that an earlier service kept beside its texts, so that these are not paid for again.

        Args:
            table: as `table` or `schema.table`; the index's name with `_old` in `public`, if left out.
            texts: column by served name; columns of those names, if left out.
            vectors: column by embedded field; `question_embedding` for `question`, if left out.
            samples: vectors of each field that are compared with what the model gives now, which is paid; 0 trusts the
                table.

        Raises:
            LegacyImportError: the table is not as it is said to be, or its vectors are another model's. Nothing is
                taken over.
            ProviderError: the provider is down.
        """
        index = self._ready()
        schema, _, name = (table or renamed_stranger(self.spec.name)).rpartition(".")
        usual_texts, usual_vectors = legacy_import.default_columns(index.generation.rendering)
        return legacy_import.import_vectors(
            self._open_target,
            index,
            LegacyTable(schema or "public", name, usual_texts | dict(texts or {}), dict(vectors or usual_vectors)),
            lambda asked: embed_canaries(self._provider_as_built(index), self._attempts, asked),
            self.spec.embedding.canary_similarity,
            samples,
        )

    @in_our_words
    def budget(self, *, counting: bool = True) -> DailyBudget:
        """How today's budget stands.

        Args:
            counting: counts the texts that wait while it pauses embedding.
        """
        return money.budget(self._target, self._registered, self.spec.embedding.budget_per_day, counting=counting)

    @in_our_words
    def estimate(self, most_rows: int = estimating.MOST_ROWS) -> Estimate:
        """What it would take to embed what the declared index lacks. Asks no provider.

        Args:
            most_rows: of more rows than this that have to be read, only a share is.
        """
        served = registry.load(self._target, self.spec.name)
        if served is not None:
            self.detect()
        return estimating.estimate(
            self._source, self._target, self.spec, self._table, self._wanted, served, self._throttle, most_rows
        )

    @in_our_words
    def submit_batches(self, limits: BatchLimits | None = None) -> SubmittedBatches:
        """Makes documents equal to the rows, and sends what the declared generation lacks to the provider's offline
        Batch API, at half the price. Runs leave those texts alone until their batch has ended.

        Raises:
            ConfigurationError: the provider has no such API.
            ProviderError: it refuses the batch or can't be reached.
            SourceKeyError, SourceValueError: a row can't be taken over; nothing is submitted.
        """
        served = self._ready()
        self.detect()
        building = registry.load_building(self._target, served.name) if self._begin_next_generation(served) else None
        index = building or served
        api = batch_api(self._provider_as_built(index))
        with alone(self._target, index):
            self._batches.recover()
            self._refuse_a_changed_model(index)
            states = key_ranges.load_states(self._target, index)
            differing = [state.partition for state in states if state.documents_differ]
            for _ in self.sync_documents(differing, index.generation.number) if differing else ():
                pass
            price = money.price_as_built(self._target, index, self.spec, self._wanted.model)
            budget = self.spec.embedding.budget_per_day
            submission = Submission(
                self._target,
                index,
                api,
                counter_for(index.generation.space.model),
                None if price is None else price * OFFLINE_SHARE_OF_PRICE,
                None if budget is None else Decimal(str(budget)),
                limits or BatchLimits(),
            )
            return submission.run(key_ranges.load_ranges(self._target, index))

    @in_our_words
    def batches(self) -> list[BatchReport]:
        """The index's latest offline batches, as they stood when the provider was last asked."""
        return offline_batches.reports(self._target, self._registered)

    @in_our_words
    def batches_need_work(self) -> bool:
        """Asks the provider whether there is something for `ingest_batches`."""
        return self._batches.need_work()

    @in_our_words
    def ingest_batches(self) -> int:
        """Stores what offline batches that are over have brought. Returns how many batches that ended.

        Raises:
            ModelDriftedError: the model has changed under its name.
            ProviderError: it can't be asked; what came before is stored.
        """
        return self._batches.ingest()

    @in_our_words
    def cancel_batches(self) -> int:
        """Has the provider end the batches under way. Returns how many they are."""
        return self._batches.cancel()

    @in_our_words
    def forget_batches(self) -> int:
        """Gives back what batches owe without asking the provider, whatever becomes of them. Returns how many texts."""
        return self._batches.forget()

    @in_our_words
    def texts_awaited(self) -> int:
        """How many texts offline batches owe the served generation."""
        return offline_batches.count_owed(self._target, self._registered)

    @in_our_words
    def build_awaits_batches(self) -> bool:
        """Whether an offline batch owes vectors to the generation that is being built."""
        building = registry.load_building(self._target, self.spec.name)
        return building is not None and offline_batches.count_owed(self._target, building) > 0

    @property
    def _batches(self) -> Batches:
        return Batches(self._target, self._registered, self._provider_as_built, self._refuse_a_changed_model)
