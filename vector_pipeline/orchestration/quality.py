"""How good an index's answers are, in Dagster: the checks `recall` and `golden_set`, and the jobs by which somebody
measures after a change, and compares two generations before a switch."""

from collections.abc import Iterable

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from pydantic import Field

from vector_pipeline.core.errors import NotYetSyncedError, ProviderError, SearchRequestError
from vector_pipeline.core.index import VectorIndex
from vector_pipeline.core.search.golden_run import describe_comparison
from vector_pipeline.core.search.golden_set import GoldenSetError
from vector_pipeline.core.search.request import read_mode
from vector_pipeline.core.spec import SearchMode
from vector_pipeline.orchestration.assets import SEARCH_INDEX
from vector_pipeline.orchestration.index_context import IndexContext
from vector_pipeline.orchestration.looking import check_by_looking
from vector_pipeline.orchestration.quality_metadata import golden_result, of_comparison, recall_result
from vector_pipeline.orchestration.resources import IndexesResource

RECALL, GOLDEN_SET = "recall", "golden_set"


def build_quality_checks(index: IndexContext) -> list[dg.AssetChecksDefinition]:
    """The checks that measure answers; the golden set's only where one is declared."""
    return [_recall(index), *([_golden_set(index)] if index.declaration.spec.search.golden_set is not None else [])]


def quality_check_keys(index: IndexContext) -> list[dg.AssetCheckKey]:
    """The keys of those checks."""
    return [key for checks in build_quality_checks(index) for key in checks.check_keys]


def _recall(index: IndexContext) -> dg.AssetChecksDefinition:
    floor = index.declaration.spec.search.recall_floor

    def look(opened: VectorIndex) -> dg.AssetCheckResult:
        try:
            return recall_result(opened.measure_recall())
        except NotYetSyncedError as error:
            return dg.AssetCheckResult(passed=False, description=str(error))

    return check_by_looking(
        index,
        SEARCH_INDEX,
        RECALL,
        f"The ANN index of each field finds at least {floor:.0%} of the ten nearest documents that exact search finds, "
        "measured on some fifty stored vectors.",
        look,
    )


class GoldenSetConfig(dg.Config):
    """How to ask the golden set."""

    modes: list[str] = Field(
        default_factory=list,
        description="`vector`, `text`, `hybrid`: how to ask it besides as declared, for which alone floors hold.",
    )


def _golden_set(index: IndexContext) -> dg.AssetChecksDefinition:
    floors = index.declaration.spec.search.golden_floor.model_dump(exclude_none=True)
    declared = ", ".join(f"{name} {floor:g}" for name, floor in floors.items()) or "none is declared (golden_floor)"

    @dg.asset_check(
        asset=index.key(SEARCH_INDEX),
        name=GOLDEN_SET,
        description=f"The questions of {index.declaration.spec.search.golden_set} are answered no worse than is "
        f"declared: {declared}.",
    )
    def golden_set(config: GoldenSetConfig, indexes: IndexesResource) -> dg.AssetCheckResult:
        with indexes.open(index.declaration) as opened:
            try:
                report = opened.ask_golden_set()
                others = [opened.ask_golden_set(mode) for mode in _modes(config.modes) if mode != report.mode]
            except (NotYetSyncedError, GoldenSetError, SearchRequestError) as error:
                return dg.AssetCheckResult(passed=False, description=str(error))
            except ProviderError as error:
                told = str(error) if index.declaration.spec.document.previews else type(error).__name__
                return dg.AssetCheckResult(
                    passed=False, severity=dg.AssetCheckSeverity.WARN, description=f"not asked: {told}"
                )
        return golden_result(report, others, quoting=index.declaration.spec.document.previews)

    return golden_set


def _modes(named: Iterable[str]) -> list[SearchMode]:
    """Each once.

    Raises:
        SearchRequestError: one is none.
    """
    return [read_mode(name) for name in dict.fromkeys(named)]


class CompareConfig(dg.Config):
    """Which generations to compare."""

    before: int | None = Field(
        default=None, description="Number of a generation; left out: the served one, or the one before it."
    )
    after: int | None = Field(
        default=None, description="Number of a generation; left out: the one being built, or the served one."
    )
    mode: str | None = Field(default=None, description="`vector`, `text` or `hybrid`; left out: as declared.")


def build_quality_job(index: IndexContext) -> UnresolvedAssetJobDefinition:
    """A job that measures alone, after a change of the model, of search, or of an ANN index."""
    return dg.define_asset_job(
        name=f"{index.prefix}_quality",
        selection=dg.AssetSelection.checks(*quality_check_keys(index)),
        description=f"Measures what the ANN indexes of {index.declaration.spec.name} miss, and asks its golden set.",
        tags=index.run_tags,
    )


def build_compare_job(index: IndexContext) -> dg.JobDefinition:
    """A job that asks the golden set of two generations."""
    name = index.declaration.spec.name

    @dg.op(name=f"{index.prefix}_compare", out=dg.Out(dg.Nothing))
    def compare(context: dg.OpExecutionContext, config: CompareConfig, indexes: IndexesResource) -> None:
        with indexes.open_for_run(index.declaration, context.run_id) as opened:
            comparison = opened.compare_generations(
                config.before, config.after, None if config.mode is None else read_mode(config.mode)
            )
        context.log.info("%s", describe_comparison(comparison))
        context.add_output_metadata(of_comparison(comparison, quoting=index.declaration.spec.document.previews))

    @dg.job(
        name=f"{index.prefix}_compare_generations",
        description=f"Asks the golden set of index {name} of the served generation and of the one being built (or of "
        "any two), and shows both side by side: what to look at before a switch is approved.",
        tags=index.run_tags,
        executor_def=dg.in_process_executor,
    )
    def compare_generations() -> None:
        compare()

    return compare_generations
