"""How an index comes to be served by another generation: which one the declaration asks for, whether that one is good
enough to take the served one's place, and the way back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum

import psycopg

from vector_pipeline.core import verify
from vector_pipeline.core.counted import counted
from vector_pipeline.core.errors import DeclarationProblem, GenerationError, IndexSpecError
from vector_pipeline.core.lag import measure_lag
from vector_pipeline.core.reports import GenerationReport, GenerationsReport
from vector_pipeline.core.source.catalog import SourceTable
from vector_pipeline.core.source.plan import ReadingPlan
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.core.store import (
    ann_index,
    generations,
    key_ranges,
    locks,
    offline_batches,
    registry,
    schema,
    spending,
    text_index,
    view,
)
from vector_pipeline.core.store.ann_building import Observer
from vector_pipeline.core.store.contents import count_generation
from vector_pipeline.core.store.fingerprint import (
    KEY_FACT,
    WantedSpace,
    differences,
    generation_facts,
    space_facts,
)
from vector_pipeline.core.store.generations import GenerationRecord, Standing
from vector_pipeline.core.store.locks import Lock
from vector_pipeline.core.store.registry import RegisteredIndex

_log = logging.getLogger(__name__)

Reading = Callable[[], tuple[list[RegisteredIndex], ReadingPlan]]
"""Gives the index by each generation that follows the source, and how rows are read for them."""

Judge = Callable[[RegisteredIndex, RegisteredIndex], list[str]]
"""Says, of the served generation and of one that is complete, why the latter must not take the other's place."""


def declared_generation(
    records: Sequence[GenerationRecord], spec: IndexSpec, wanted: WantedSpace
) -> GenerationRecord | None:
    """The generation that the declaration asks for, None where there is none like that yet."""
    same = [r for r in records if not differences(r.facts, generation_facts(spec, wanted, r.native_dimensions))]
    return min(same, key=lambda record: record.standing is not Standing.SERVED, default=None)


def known_dimensions(records: Sequence[GenerationRecord], wanted: WantedSpace) -> int | None:
    """The length of the wanted model's vectors, where a generation has such; nobody has to be asked then."""
    for record in records:
        facts = wanted.facts(record.native_dimensions)
        if all(record.facts.get(name) == fact for name, fact in facts.items()):
            return record.native_dimensions
    return None


def in_the_space(records: Sequence[GenerationRecord], wanted: WantedSpace) -> GenerationRecord | None:
    """A generation in the wanted vector space, where there is one."""
    same = (r for r in records if space_facts(r.facts) == wanted.facts(r.native_dimensions))
    return next(same, None)


def refuse_another_key(
    index: RegisteredIndex, records: Sequence[GenerationRecord], spec: IndexSpec, origin: str
) -> None:
    """Raises:
    IndexSpecError: the declared key is not the one that documents are known by.
    """
    key = spec.source.key_columns
    declared = key[0] if len(key) == 1 else list(key)
    built = records[0].facts[KEY_FACT]
    if built != declared:
        raise IndexSpecError(
            origin,
            [
                DeclarationProblem(
                    "source.primary_key",
                    f"index {index.name!r} was built by the key {built}, and its ranges and documents are known by it",
                    "put it back, give the index another name, or remove it and let it be built anew: "
                    f"`vector-pipeline drop {index.name}`",
                )
            ],
        )


@dataclass(frozen=True)
class Change:
    """What the declaration asks for that isn't served. `facts` are `what was built → what is declared`, by fact.

    `record` is None where no such generation is there yet.
    """

    record: GenerationRecord | None
    facts: dict[str, str]

    @property
    def rolled_back(self) -> bool:
        """Whether somebody took that generation out of service: it is built and served only if somebody asks for it."""
        return self.record is not None and self.record.standing is Standing.ROLLED_BACK

    def __str__(self) -> str:
        return "; ".join(f"{name}: {fact}" for name, fact in self.facts.items())


def declared_change(
    target: psycopg.Connection, index: RegisteredIndex, spec: IndexSpec, wanted: WantedSpace
) -> Change | None:
    """What the declaration asks for that isn't served; None where it is."""
    records = generations.load_records(target, index)
    declared = declared_generation(records, spec, wanted)
    [served] = [record for record in records if record.standing is Standing.SERVED]
    if declared is served:
        return None
    return Change(declared, differences(served.facts, generation_facts(spec, wanted, served.native_dimensions)))


def following(records: Sequence[GenerationRecord], table: SourceTable) -> list[GenerationRecord]:
    """The generations that follow the source: the served one and the one being built.

    One whose texts the table no longer has can't; search goes on with what it has until the switch.
    """
    return [
        record
        for record in records
        if record.standing in {Standing.SERVED, Standing.BUILDING}
        and all(table.column(source) is not None for source in record.sources.values())
    ]


class GenerationWork(Enum):
    """What there is to do for the declaration to be what is served."""

    NONE = "what is declared is served"
    BEGIN = "what is declared is not built yet"
    BUILD = "what is declared is being built"
    SWITCH = "what is declared is complete, and may be served"
    APPROVE = "what is declared is complete, and waits for somebody's approval"
    ROLLED_BACK = "what is declared was taken out of service by somebody"


TO_BE_BUILT = frozenset({GenerationWork.BEGIN, GenerationWork.BUILD, GenerationWork.SWITCH})
"""Where `build_next_generation` has something to do."""


def work(target: psycopg.Connection, index: RegisteredIndex, spec: IndexSpec, wanted: WantedSpace) -> GenerationWork:
    """What there is to do for the declaration to be what is served."""
    change = declared_change(target, index, spec, wanted)
    if change is None:
        abandoned = registry.load_building(target, index.name) is not None
        return GenerationWork.BEGIN if abandoned else GenerationWork.NONE
    if change.rolled_back:
        return GenerationWork.ROLLED_BACK
    building = registry.load_building(target, index.name)
    if change.record is None or building is None or building.generation.number != change.record.number:
        return GenerationWork.BEGIN
    if any(not state.built for state in key_ranges.load_states(target, building)):
        return GenerationWork.BUILD
    waits = spec.generations.switch == "approval" and change.record.approved_at is None
    return GenerationWork.APPROVE if waits else GenerationWork.SWITCH


INCOMPLETE = "it is not complete"
UNWANTED = "another generation is asked for by now"
UNAPPROVED = "nobody has approved it yet"


def switch_if_ready(
    target: psycopg.Connection,
    building: RegisteredIndex,
    reading: Reading,
    spec: IndexSpec,
    observer: Observer | None = None,
    judge: Judge | None = None,
) -> list[str]:
    """Serves the generation that was built, unless something is in the way: returns what.

    Args:
        judge: says why answers of a complete generation are not good enough; somebody who approves the switch accepts
            them.
    """
    served = registry.load(target, building.name)
    assert served is not None, f"index {building.name} is gone"
    if served.generation.number == building.generation.number:
        return []  # by another run meanwhile
    if not is_wanted(target, building):
        return [UNWANTED]
    found = obstacles(target, served, building)
    if found:
        return found
    generations.note_complete(target, building)
    make_ready(target, building, spec, observer)
    if not _is_approved(target, building):
        found = [] if judge is None else judge(served, building)
        if spec.generations.switch == "approval":
            found.append(UNAPPROVED)
        if found:
            return found
    return [] if switch(target, served, building, reading()[1]) else [INCOMPLETE]


def is_wanted(target: psycopg.Connection, building: RegisteredIndex) -> bool:
    """Whether this is still the generation to be built: somebody may have put the declaration back, or gone back."""
    now = registry.load_building(target, building.name)
    return now is not None and now.generation.number == building.generation.number


def obstacles(target: psycopg.Connection, served: RegisteredIndex, building: RegisteredIndex) -> list[str]:
    """Why the generation being built must not take the served one's place; [] if it may.

    Quarantined texts are no obstacle as long as the served generation lacks as many; somebody who approves the switch
    accepts more.
    """
    found = []
    if not generations.is_complete(target, served, building):
        return [INCOMPLETE]
    wrong = verify.wrong_generation(target, building)
    if wrong:
        key_ranges.have_looked_at_again(target, building, wrong)
        found.append(
            f"{counted(len(wrong), 'row is', 'rows are')} not as they should be: "
            f"{', '.join(map(repr, wrong[:5]))}; the next run builds their key ranges again"
        )
    if not _is_approved(target, building):
        lacking, lacked = (count_generation(target, generation).unserved for generation in (building, served))
        found += _refusals(served.name, lacking, lacked)
    return found


def _refusals(name: str, lacking: int, lacked: int) -> list[str]:
    """An obstacle where more texts have no vector in the generation being built than in the served one."""
    if lacking <= lacked:
        return []
    return [
        f"its model refuses texts: {lacking:,} have no vector, {lacked:,} in the served generation; see "
        f"`vector-pipeline quarantine {name} --building`, and accept it by approving the switch"
    ]


def _is_approved(target: psycopg.Connection, index: RegisteredIndex) -> bool:
    records = generations.load_records(target, index)
    return any(r.number == index.generation.number and r.approved_at is not None for r in records)


def make_ready(
    target: psycopg.Connection, building: RegisteredIndex, spec: IndexSpec, observer: Observer | None = None
) -> None:
    """Builds the indexes of a complete generation, so that its first search is as fast as any."""
    with locks.held(target, Lock.SEARCH_INDEX, building.index_id):
        ann_index.refresh(target, building, spec.search, observer)
        text_index.refresh(target, building, spec.search)
        unique_on = building.generation.column_of(spec.document.unique_on)
        if unique_on is not None:
            schema.ensure_unique_on(target, building.index_id, building.schema, unique_on)


def switch(
    target: psycopg.Connection,
    served: RegisteredIndex,
    building: RegisteredIndex,
    plan: ReadingPlan,
) -> bool:
    """Serves the generation that was built, with the next search; in one transaction, and only if it is complete in
    it. Returns whether it did."""
    with target.transaction():
        if not generations.is_complete(target, served, building):
            return False
        if not generations.serve(target, served, building, only_if_being_built=True):
            return False
        generations.note_caught_up(target, building)
        _show(target, building, plan)
        return True


def roll_back(
    target: psycopg.Connection,
    served: RegisteredIndex,
    plan: ReadingPlan,
    number: int | None = None,
) -> RegisteredIndex:
    """Serves an earlier generation again, with the next search. The one that was served isn't built again by itself.

    Args:
        number: of the generation; the one that was served before this one, if left out.

    Raises:
        GenerationError: there is none to go back to.
    """
    records = generations.load_records(target, served)
    earlier = [
        r
        for r in records
        if r.activated_at is not None and r.standing is not Standing.SERVED and number in (None, r.number)
    ]
    if not earlier:
        raise GenerationError(
            f"index {served.name!r} keeps no {'earlier generation' if number is None else f'generation {number}'} "
            "that was served before: there is nothing to go back to"
        )
    chosen = max(earlier, key=lambda record: record.activated_at or datetime.min.replace(tzinfo=UTC))
    with target.transaction():
        previous = registry.load_generation(target, served, chosen.number)
        if previous is None or not generations.serve(target, served, previous, only_if_being_built=False):
            raise GenerationError(f"index {served.name!r} was switched by somebody else at this moment; look again")
        generations.note_rolled_back(target, served)
        generations.abandon_building(target, served)
        key_ranges.take_up(target, previous)
        _show(target, previous, plan)
    return previous


def _show(target: psycopg.Connection, index: RegisteredIndex, plan: ReadingPlan) -> None:
    unique_on = registry.accepted_unique_on(target, index)
    view.create_view(target, index, plan, unique_on)
    view.create_nearest_function(target, index, unique_on)


def drop_expired(
    target: psycopg.Connection, index: RegisteredIndex, kept_for: timedelta, change: Change | None
) -> list[int]:
    """Removes the generations that have been out of service for longer. Returns their numbers.

    One that somebody took out of service stays as long as the declaration asks for it (`change`): without it, nobody
    would know that it must not be built and served again.
    """
    removed = []
    refused = change.record.number if change is not None and change.record is not None and change.rolled_back else None
    for number in generations.expired(target, index, kept_for):
        if number == refused:
            continue
        try:
            if generations.remove(target, index, number):
                removed.append(number)
        except psycopg.errors.LockNotAvailable:
            _log.warning(
                "generation %d of index %s is kept until the next refresh, since somebody has been reading its tables "
                "for long",
                number,
                index.name,
            )
        except psycopg.errors.DependentObjectsStillExist as error:
            _log.warning(
                "generation %d of index %s is kept, since others build on it (%s)",
                number,
                index.name,
                "; ".join((error.diag.message_detail or "").splitlines()),
            )
    return removed


def report(
    target: psycopg.Connection,
    index: RegisteredIndex,
    spec: IndexSpec,
    wanted: WantedSpace,
    judgement: Sequence[str] = (),
) -> GenerationsReport:
    """How the generations of an index stand, and what the declaration asks for beside the served one.

    Args:
        judgement: why answers of the generation being built are not good enough, by the last figures.
    """
    change = declared_change(target, index, spec, wanted)
    found = []
    for record in generations.load_records(target, index):
        generation = registry.load_generation(target, index, record.number)
        if generation is not None:
            found.append(_report(target, generation, record))
    told = GenerationsReport(
        index=index.name,
        generations=tuple(found),
        asked_for=None if change is None else str(change),
        rolled_back=change is not None and change.rolled_back,
    )
    return replace(told, obstacles=tuple(_known_obstacles(target, index, spec, told, judgement)))


def _known_obstacles(
    target: psycopg.Connection,
    served: RegisteredIndex,
    spec: IndexSpec,
    told: GenerationsReport,
    judgement: Sequence[str],
) -> list[str]:
    """Why the generation being built isn't served yet, as far as it is known without reading its rows or asking its
    golden set."""
    building = registry.load_building(target, served.name)
    if building is None or told.building is None:
        return []
    if not generations.is_complete(target, served, building):
        owed = offline_batches.count_owed(target, building)
        return [f"{owed:,} of its texts wait for an offline batch" if owed else INCOMPLETE]
    if _is_approved(target, building):
        return []
    lacking, lacked = (one.passages - one.passages_served for one in (told.building, told.served))
    unapproved = [UNAPPROVED] if spec.generations.switch == "approval" else []
    return [*_refusals(served.name, lacking, lacked), *judgement, *unapproved]


def _report(target: psycopg.Connection, index: RegisteredIndex, record: GenerationRecord) -> GenerationReport:
    counts = count_generation(target, index)
    states = key_ranges.load_states(target, index)
    return GenerationReport(
        number=record.number,
        standing=record.standing.value,
        model=record.model,
        dimensions=index.generation.space.stored_dimensions,
        strategy=index.generation.rendering.strategy,
        passages=counts.passages,
        passages_served=counts.served,
        quarantined=counts.quarantined,
        ranges=len(states),
        ranges_done=sum(state.built for state in states),
        lag=measure_lag(states, datetime.now(UTC)),
        created_at=record.created_at,
        completed_at=record.completed_at,
        activated_at=record.activated_at,
        retired_at=record.retired_at,
        spent=spending.spent(target, index, only_this_generation=True),
    )
