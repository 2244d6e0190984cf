"""Another model, or other texts: built beside what is served, switched to, and gone back from."""

from __future__ import annotations

from collections.abc import Callable

from vector_pipeline.core import (
    generations,
    preparation,
)
from vector_pipeline.core.building import build
from vector_pipeline.core.errors import (
    GenerationError,
)
from vector_pipeline.core.generations import GenerationWork
from vector_pipeline.core.index.opened import in_our_words
from vector_pipeline.core.index.searched import SearchedIndex
from vector_pipeline.core.reports import (
    BuiltGeneration,
    GenerationReport,
    GenerationsReport,
)
from vector_pipeline.core.store import generations as store_generations
from vector_pipeline.core.store import (
    registry,
)
from vector_pipeline.core.store.ann_building import BuildProgress
from vector_pipeline.core.store.registry import RegisteredIndex


class IndexOfGenerations(SearchedIndex):
    """Its generations."""

    @in_our_words
    def generations(self) -> GenerationsReport:
        """How the generations of the index stand."""
        judgement = self._quality.known_obstacles(self.golden_standing())
        return generations.report(self._target, self._registered, self.spec, self._wanted, judgement)

    @in_our_words
    def asked_for(self) -> str | None:
        """What the declaration asks for that isn't served, None where it is. Counts nothing."""
        change = generations.declared_change(self._target, self._registered, self.spec, self._wanted)
        return None if change is None else str(change)

    @in_our_words
    def served_generation(self) -> int:
        """The number of the generation that is served."""
        return self._registered.generation.number

    @in_our_words
    def next_generation_work(self) -> GenerationWork:
        """What there is to do for the declaration to be what is served."""
        return generations.work(self._target, self._registered, self.spec, self._wanted)

    @in_our_words
    def build_next_generation(
        self,
        on_progress: Callable[[], None] | None = None,
        on_build_progress: Callable[[BuildProgress], None] | None = None,
    ) -> BuiltGeneration:
        """Builds the generation that the declaration asks for beside the served one, and serves it once it is complete,
        its checks pass, and nobody has to approve it. Goes on where an earlier call stopped.

        Args:
            on_progress: called between windows of ranges.
            on_build_progress: called while its ANN indexes are built.

        Raises:
            IndexSpecError, ProviderError: the declared model can't be used; what is served stays.
            SourceKeyError, SourceValueError: a row can't be taken over; all other ranges are built.
        """
        served = self._ready()
        building = registry.load_building(self._target, served.name) if self._begin_next_generation(served) else None
        if building is None:
            return BuiltGeneration(None)
        return build(
            self._target,
            building,
            self.spec,
            self._reading,
            self.sync_documents,
            self._fill,
            on_progress or (lambda: None),
            self._observer(on_build_progress),
            self._quality.obstacles,
        )

    def _begin_next_generation(self, served: RegisteredIndex) -> bool:
        """Whether a generation is to be built; begins it where it isn't there yet."""
        change = generations.declared_change(self._target, served, self.spec, self._wanted)
        if change is None or change.rolled_back:
            store_generations.abandon_building(self._target, served)
            return False
        if change.record is None:
            records = store_generations.load_records(self._target, served)
            native = generations.known_dimensions(records, self._wanted)
            if native is None:
                native = preparation.measure_dimensions(self.spec, self._wanted, self._provider, self._origin)
            spec = preparation.with_provider(self.spec, self._settings.embedding)
            store_generations.begin(self._target, served, spec, self._wanted, native, records)
        else:
            store_generations.resume(self._target, served, change.record.number)
        return True

    @in_our_words
    def approve_generation(self) -> bool:
        """Lets the generation that the declaration asks for be served once it is complete, also if somebody rolled it
        back before or its model refuses texts. Returns whether it is served from now on.

        Raises:
            GenerationError: the declared generation is served, or nobody has begun to build it.
        """
        served = self._ready()
        change = generations.declared_change(self._target, served, self.spec, self._wanted)
        if change is None or change.record is None:
            raise GenerationError(
                f"index {self.spec.name!r} has no generation to be switched to: "
                + ("what is declared is served" if change is None else "the declared one is not begun yet; sync first")
            )
        store_generations.resume(self._target, served, change.record.number)
        store_generations.approve(self._target, served, change.record.number)
        building = registry.load_building(self._target, served.name)
        return (
            building is not None and generations.switch_if_ready(self._target, building, self._reading, self.spec) == []
        )

    @in_our_words
    def roll_back(self, number: int | None = None) -> GenerationReport:
        """Serves the generation that was served before (or that of the number) with the next search.

        Raises:
            GenerationError: none is kept.
        """
        generations.roll_back(self._target, self._ready(), self._reading()[1], number)
        return self.generations().served
