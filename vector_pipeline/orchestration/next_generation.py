"""The generation that is built beside the served one: an asset of its own, so that neither its runs nor its failures
keep changes from what is served, and the jobs by which somebody switches and goes back.
"""

import time
from collections.abc import Callable
from typing import Any

import dagster as dg

from vector_pipeline.core.generations import GenerationWork
from vector_pipeline.core.index import VectorIndex
from vector_pipeline.core.quality import GoldenStanding
from vector_pipeline.orchestration.build_progress import tell_of_build
from vector_pipeline.orchestration.index_context import IndexContext
from vector_pipeline.orchestration.metadata import Metadata, of_built_generation, of_generations
from vector_pipeline.orchestration.pools import next_generation_pool_of
from vector_pipeline.orchestration.quality_metadata import of_standing
from vector_pipeline.orchestration.resources import IndexesResource

NEXT_GENERATION = "next_generation"
GENERATION = "generation"
# An event costs some 15 ms, and a point in a plot tells enough.
_SECONDS_BETWEEN_OBSERVATIONS = 10.0
# Of the time of a build: tens of millions of passages take seconds to count.
_SHARE_OF_OBSERVATIONS = 0.05


def build_next_generation_asset(index: IndexContext, documents: dg.AssetKey, metadata: dict[str, Any]) -> Any:
    """The asset whose run builds the declared generation where another is served."""
    spec = index.declaration.spec

    @dg.asset(
        key=index.key(NEXT_GENERATION),
        deps=[dg.AssetDep(documents, partition_mapping=dg.AllPartitionMapping())],
        pool=next_generation_pool_of(spec),
        description=(
            "Texts and vectors of the generation that the declaration asks for, while another is served: search goes "
            f"on with that one. It is switched to {_SWITCHED[spec.generations.switch]}. "
            f"Back again: job `{index.prefix}_roll_back`."
        ),
        kinds={"pgvector", "python"},
        metadata=metadata,
        group_name=index.prefix,
    )
    def next_generation(context: dg.AssetExecutionContext, indexes: IndexesResource) -> dg.MaterializeResult[Any]:
        with indexes.open_for_run(index.declaration, context.run.run_id) as opened:
            built = opened.build_next_generation(_observe(context, index, opened), tell_of_build(context.log))
            report, standing = opened.generations(), opened.golden_standing()
        for obstacle in built.obstacles:
            context.log.warning("generation %s is not served yet: %s", built.generation, obstacle)
        compared = of_standing(standing) if built.generation is not None else {}
        return dg.MaterializeResult(metadata=of_built_generation(built) | of_generations(report) | compared)

    return next_generation


_SWITCHED = {
    "automatic": "when it is complete and its checks pass",
    "approval": "when it is complete and somebody approves it (job `…_switch_generation`)",
}


def _observe(context: dg.AssetExecutionContext, index: IndexContext, opened: VectorIndex) -> Callable[[], None]:
    """Tells Dagster of the progress now and then: a telling counts all passages."""
    next_at = 0.0

    def observe() -> None:
        nonlocal next_at
        started = time.monotonic()
        if started < next_at:
            return
        report = opened.generations()
        context.log_event(dg.AssetObservation(index.key(NEXT_GENERATION), metadata=of_generations(report)))
        told_at = time.monotonic()
        next_at = told_at + max(_SECONDS_BETWEEN_OBSERVATIONS, (told_at - started) / _SHARE_OF_OBSERVATIONS)

    return observe


def build_generation_check(index: IndexContext) -> dg.AssetChecksDefinition:
    """The check that tells whether what is declared is what is served."""

    @dg.asset_check(
        asset=index.key(NEXT_GENERATION), name=GENERATION, description="What is declared is what is served."
    )
    def generation(indexes: IndexesResource) -> dg.AssetCheckResult:
        with indexes.open(index.declaration) as opened:
            work = opened.next_generation_work()
            found = generation_result(index, opened, work)
            return found._replace(metadata=generation_metadata(opened, work))

    return generation


def generation_result(index: IndexContext, opened: VectorIndex, work: GenerationWork) -> dg.AssetCheckResult:
    """Passes while nobody has anything to do. Costs next to nothing: `generation_metadata` has the numbers."""
    name = index.declaration.spec.name
    if work is GenerationWork.NONE:
        return dg.AssetCheckResult(passed=True, description=work.value)
    served, asked_for = opened.served_generation(), opened.asked_for()
    standing = _golden_standing(opened, work)
    below = standing is not None and bool(standing.below)
    wanted = f" ({asked_for})" if asked_for else ""
    said = {
        GenerationWork.APPROVE: f"search goes on with generation {served}; to switch: job "
        f"{index.prefix}_switch_generation or `vector-pipeline generations {name} --switch`",
        GenerationWork.ROLLED_BACK: f"search goes on with generation {served}; put the declaration back, "
        f"or have it served again: job {index.prefix}_switch_generation or "
        f"`vector-pipeline generations {name} --switch`",
    }.get(work, f"search goes on with generation {served} until the switch")
    if work is GenerationWork.SWITCH and below:
        said += f", which somebody has to approve: job {index.prefix}_switch_generation"
    waits = work in {GenerationWork.APPROVE, GenerationWork.ROLLED_BACK} or (work is GenerationWork.SWITCH and below)
    return dg.AssetCheckResult(
        passed=not waits,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{work.value}{wanted}: {said}" + (f"\n- {standing}" if standing is not None else ""),
    )


def generation_metadata(opened: VectorIndex, work: GenerationWork) -> Metadata:
    """How the generations stand where there is anything to do. Counts all their passages."""
    if work is GenerationWork.NONE:
        return {}
    return of_generations(opened.generations()) | of_standing(_golden_standing(opened, work))


def _golden_standing(opened: VectorIndex, work: GenerationWork) -> GoldenStanding | None:
    """How the generation that is being built compares with the served one, where there is one and both were asked."""
    is_there = work in {GenerationWork.BUILD, GenerationWork.SWITCH, GenerationWork.APPROVE}
    return opened.golden_standing() if is_there else None


def build_generation_jobs(index: IndexContext) -> list[dg.JobDefinition]:
    """The two jobs by which somebody decides which generation is served."""
    name = index.declaration.spec.name

    @dg.op(name=f"{index.prefix}_switch", out=dg.Out(dg.Nothing))
    def switch(context: dg.OpExecutionContext, indexes: IndexesResource) -> None:
        with indexes.open_for_run(index.declaration, context.run_id) as opened:
            served = opened.approve_generation()
            report = opened.generations()
        context.add_output_metadata(of_generations(report))
        if served:
            context.log.info("generation %d is served from now on", report.served.number)
        else:
            context.log.info("approved: it is served as soon as it is complete")

    @dg.op(name=f"{index.prefix}_go_back", out=dg.Out(dg.Nothing))
    def go_back(context: dg.OpExecutionContext, indexes: IndexesResource) -> None:
        with indexes.open_for_run(index.declaration, context.run_id) as opened:
            served = opened.roll_back()
            report = opened.generations()
        context.add_output_metadata(of_generations(report))
        context.log.info(
            "generation %d is served from now on; it is behind in %d key ranges (%d rows at least), which are synced "
            "by the next runs",
            served.number,
            served.lag.ranges,
            served.lag.rows,
        )

    @dg.job(
        name=f"{index.prefix}_switch_generation",
        description=f"Approves the generation of index {name} that is declared: it is served once it is complete, also "
        "if it was rolled back before or its model refuses texts.",
        tags=index.decision_tags,
        executor_def=dg.in_process_executor,
    )
    def switch_generation() -> None:
        switch()

    @dg.job(
        name=f"{index.prefix}_roll_back",
        description=f"Serves the generation of index {name} that was served before this one, with the next search.",
        tags=index.decision_tags,
        executor_def=dg.in_process_executor,
    )
    def roll_back() -> None:
        go_back()

    return [switch_generation, roll_back]
