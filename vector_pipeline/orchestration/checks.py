"""Checks of one index. They block nothing: search goes on, and the UI says what is wrong and where.

The cheap ones go with every run; parity and honesty read the whole index, so they go with `search_index`.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
)

from vector_pipeline.core.counted import counted
from vector_pipeline.core.deletion_guard import describe
from vector_pipeline.core.errors import NotYetSyncedError, ProviderError
from vector_pipeline.core.index import VectorIndex
from vector_pipeline.core.model_drift import describe as describe_drift
from vector_pipeline.core.money import describe_budget, in_usd
from vector_pipeline.core.reports import (
    DailyBudget,
    Detection,
    GuardedDeletions,
    ModelDrift,
    ParityReport,
    QuarantineEntry,
)
from vector_pipeline.orchestration import metadata
from vector_pipeline.orchestration.assets import DOCUMENTS, EMBEDDINGS, ROWS, SEARCH_INDEX
from vector_pipeline.orchestration.index_context import IndexContext
from vector_pipeline.orchestration.looking import check_by_looking
from vector_pipeline.orchestration.next_generation import GENERATION, NEXT_GENERATION
from vector_pipeline.orchestration.resources import IndexesResource

DECLARATION, FRESHNESS, NO_QUARANTINE = "declaration", "freshness", "no_quarantine"
PARITY, VECTOR_HONESTY = "parity", "vector_honesty"
DETECTORS, DELETION_GUARD = "detectors", "deletion_guard"
MODEL_DRIFT = "model_drift"
BUDGET = "budget"
# A proof of parity tells how far it is so many times.
_TIMES_TOLD = 20


def build_checks(index: IndexContext) -> list[dg.AssetChecksDefinition]:
    """All checks of an index."""
    return [
        _declaration(index),
        _detectors(index),
        _deletion_guard(index),
        _freshness(index),
        _no_quarantine(index),
        _model_drift(index),
        _budget(index),
        _parity(index),
        _honesty(index),
    ]


def _declaration(index: IndexContext) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=index.key(ROWS), name=DECLARATION, description="The declaration fits the table and the model."
    )
    def declaration(indexes: IndexesResource) -> dg.AssetCheckResult:
        problems: Sequence[object] = index.declaration.problems
        if not problems:
            with indexes.open(index.declaration) as opened:
                problems = opened.check_declaration()
        return _declaration_result(index, problems)

    return declaration


def note_declaration(instance: dg.DagsterInstance, index: IndexContext, problems: Sequence[object]) -> None:
    """Shows what a look at the declaration found as the check's result."""
    _note(instance, dg.AssetCheckKey(index.key(ROWS), DECLARATION), _declaration_result(index, problems))


def note_generation(
    instance: dg.DagsterInstance,
    index: IndexContext,
    found: dg.AssetCheckResult,
    numbers: Callable[[], metadata.Metadata],
) -> None:
    """Shows how the generations stand as the check's result; asks for the numbers only where it is to be shown."""
    key = dg.AssetCheckKey(index.key(NEXT_GENERATION), GENERATION)
    _note(instance, key, found, lambda: found._replace(metadata=numbers()))


def note_look(
    instance: dg.DagsterInstance, index: IndexContext, detection: Detection, guarded: GuardedDeletions
) -> None:
    """Shows what a look at the source found as the results of the checks that tell of it."""
    _note(instance, dg.AssetCheckKey(index.key(ROWS), DETECTORS), _detectors_result(detection.problems))
    _note(instance, dg.AssetCheckKey(index.key(DOCUMENTS), DELETION_GUARD), _deletion_guard_result(guarded))


def note_model(instance: dg.DagsterInstance, index: IndexContext, drift: ModelDrift) -> None:
    """Shows how the last look at the model went, whoever took it, as the check's result."""
    if drift.taken_at is not None:
        _note(instance, dg.AssetCheckKey(index.key(EMBEDDINGS), MODEL_DRIFT), _model_drift_result(drift))


def note_budget(
    instance: dg.DagsterInstance, index: IndexContext, found: DailyBudget, counted: Callable[[], DailyBudget]
) -> None:
    """Shows whether today's budget pauses embedding as the check's result: when it begins, and when it is over."""
    key = dg.AssetCheckKey(index.key(EMBEDDINGS), BUDGET)
    _note(instance, key, _budget_result(found), lambda: _budget_result(counted()), only_if_turned=True)


def _note(
    instance: dg.DagsterInstance,
    key: dg.AssetCheckKey,
    found: dg.AssetCheckResult,
    in_full: Callable[[], dg.AssetCheckResult] | None = None,
    *,
    only_if_turned: bool = False,
) -> None:
    """Shows a result without a run, unless it is what the check shows already. A check whose run is under way is left
    to it: a result noted meanwhile would be newer than the run's, and about what was before it.

    Args:
        in_full: the result with what is dear to find out; called only where it is shown.
        only_if_turned: not where it says the same in other words.
    """
    shown = instance.event_log_storage.get_latest_asset_check_execution_by_key([key]).get(key)
    if shown is not None and _is_under_way(instance, shown):
        return
    latest = next(iter(instance.fetch_materializations(key.asset_key, limit=1).records), None)
    # A planned result whose run has ended without it shows nothing.
    last = shown.evaluation if shown is not None else None
    if (
        shown is not None
        and isinstance(last, dg.AssetCheckEvaluation)
        and last.passed == found.passed
        and (only_if_turned or last.description == found.description)
        and _is_of(shown, last, latest)
    ):
        return
    if in_full is not None:
        found = in_full()
    evaluation = dg.AssetCheckEvaluation(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=found.passed,
        metadata=found.metadata,
        description=found.description,
        severity=found.severity,
        target_materialization_data=_target(latest),
    )
    instance.report_runless_asset_event(evaluation)


def _is_under_way(instance: dg.DagsterInstance, shown: AssetCheckExecutionRecord) -> bool:
    if shown.status is not AssetCheckExecutionRecordStatus.PLANNED:
        return False
    run = instance.get_run_by_id(shown.run_id)
    return run is not None and not run.is_finished


def _is_of(
    shown: AssetCheckExecutionRecord, evaluation: dg.AssetCheckEvaluation, latest: dg.EventLogRecord | None
) -> bool:
    """Whether Dagster takes a result for one of the latest materialization, and does not show "Not evaluated": as
    `AssetCheckExecutionRecord.targets_latest_materialization`, which wants the context of a web request.

    Each materialization makes a result be noted once more, at the next look: an event costs some 15 ms.
    """
    if latest is None or latest.run_id == shown.run_id:
        return True
    target = evaluation.target_materialization_data
    return latest.timestamp < shown.create_timestamp if target is None else target.storage_id == latest.storage_id


def _target(latest: dg.EventLogRecord | None) -> AssetCheckEvaluationTargetMaterializationData | None:
    """What the result is about. Without it Dagster compares times, and where SQLite keeps its events, in whole seconds:
    a result would be taken for older than a materialization of the same second, and shown as "Not evaluated"."""
    if latest is None:
        return None
    return AssetCheckEvaluationTargetMaterializationData(
        storage_id=latest.storage_id, run_id=latest.run_id, timestamp=latest.timestamp
    )


def _declaration_result(index: IndexContext, problems: Sequence[object]) -> dg.AssetCheckResult:
    listed = "\n".join(f"- {index.declaration.origin}, {problem}" for problem in problems)
    return dg.AssetCheckResult(
        passed=not problems,
        description=listed or "the declaration is right",
        metadata={"problems": len(problems)} | ({"what": dg.MetadataValue.md(listed)} if problems else {}),
    )


def _detectors(index: IndexContext) -> dg.AssetChecksDefinition:
    return check_by_looking(
        index,
        ROWS,
        DETECTORS,
        "No detector has missed changes that the scrub has still to catch up with.",
        lambda opened: _detectors_result(opened.detector_problems()),
    )


def _detectors_result(problems: Mapping[str, str]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=not problems,
        severity=dg.AssetCheckSeverity.WARN,
        description="\n".join(f"- {detector}: {problem}" for detector, problem in problems.items())
        or "no detector has missed anything, as far as it knows",
    )


def _deletion_guard(index: IndexContext) -> dg.AssetChecksDefinition:
    guard = index.declaration.spec.deletion_guard
    return check_by_looking(
        index,
        DOCUMENTS,
        DELETION_GUARD,
        f"No mass deletion (more than {guard.share:.0%} and at least {guard.rows:,} rows) waits for somebody to "
        "approve or reject it.",
        lambda opened: _deletion_guard_result(opened.guarded_deletions()),
    )


def _deletion_guard_result(guarded: GuardedDeletions) -> dg.AssetCheckResult:
    held = {"held_deletions": guarded.deletions, "documents": guarded.documents}
    return dg.AssetCheckResult(
        passed=not guarded.held,
        # A sentence a line: whoever is woken by this has to see at once where to look, and the two ways out.
        description="\n".join(f"- {sentence}" for sentence in describe(guarded).split(". "))
        if guarded.held
        else "no mass deletion is held",
        metadata=held if guarded.held else {},
    )


def _freshness(index: IndexContext) -> dg.AssetChecksDefinition:
    minutes = index.declaration.spec.automation.fresh_within_minutes
    limit = timedelta(minutes=minutes)

    def look(opened: VectorIndex) -> dg.AssetCheckResult:
        status = opened.status()
        oldest = status.oldest_check_at
        age = datetime.now(UTC) - oldest if oldest else None
        return dg.AssetCheckResult(
            passed=age is not None and age <= limit,
            description=f"the oldest comparison is {age.total_seconds():.1f} seconds old"
            if age
            else "nothing has been compared yet",
            metadata={
                "oldest_comparison_seconds": age.total_seconds() if age else -1.0,
                "ranges": status.ranges,
                "ranges_dirty": status.ranges_dirty,
                "lag_rows": status.lag.rows,
                "lag_seconds": status.lag.seconds,
                "documents": status.documents,
                "coverage": status.coverage,
            },
        )

    return check_by_looking(
        index,
        DOCUMENTS,
        FRESHNESS,
        f"Every key range was compared with the source in the last {minutes:g} minutes.",
        look,
    )


def _no_quarantine(index: IndexContext) -> dg.AssetChecksDefinition:
    def look(opened: VectorIndex) -> dg.AssetCheckResult:
        entries = opened.quarantine()
        return dg.AssetCheckResult(
            passed=all(entry.ignored_at for entry in entries),
            severity=dg.AssetCheckSeverity.WARN,
            description=_without_a_vector(entries),
            metadata=metadata.of_quarantine(entries, quoting=index.declaration.spec.document.previews),
        )

    return check_by_looking(
        index, EMBEDDINGS, NO_QUARANTINE, "The provider gave a vector for every text that is not ignored.", look
    )


def _without_a_vector(entries: Sequence[QuarantineEntry]) -> str:
    tried = [entry for entry in entries if entry.ignored_at is None]
    ignored = len(entries) - len(tried)
    still = counted(ignored, "that is ignored", "that are ignored")
    if not tried:
        return "every text has its vector" + (f", but for {still}" if ignored else "")
    rows = ", ".join(f"{entry.key} ({entry.field})" for entry in tried[:20])
    beside = f", beside {still}" if ignored else ""
    return f"{counted(len(tried), 'text', 'texts')} without a vector{beside}; rows: {rows}"


def _model_drift(index: IndexContext) -> dg.AssetChecksDefinition:
    def look(opened: VectorIndex) -> dg.AssetCheckResult:
        try:
            return _model_drift_result(opened.look_at_model())
        except (NotYetSyncedError, ProviderError) as error:
            return dg.AssetCheckResult(
                passed=False, severity=dg.AssetCheckSeverity.WARN, description=f"not looked at: {error}"
            )

    return check_by_looking(
        index,
        EMBEDDINGS,
        MODEL_DRIFT,
        "The model gives a few canary texts the vectors that it gave them at first: it has not become another one "
        "under its name. Costs some forty tokens.",
        look,
    )


def _model_drift_result(drift: ModelDrift) -> dg.AssetCheckResult:
    facts: dict[str, str | float] = {"model": drift.model, "threshold": drift.threshold}
    if drift.similarity is not None:
        facts["similarity"] = drift.similarity
    for name, moment in (("since", drift.drifted_since), ("last_well", drift.alike_at)):
        if drift.drifted and moment is not None:
            facts[name] = moment.isoformat(timespec="seconds")
    told = describe_drift(drift)
    return dg.AssetCheckResult(
        passed=not drift.drifted,
        description="\n".join(f"- {sentence}" for sentence in told.split(". ")) if drift.drifted else told,
        metadata=facts,
    )


def _budget(index: IndexContext) -> dg.AssetChecksDefinition:
    limit = index.declaration.spec.embedding.budget_per_day

    def look(opened: VectorIndex) -> dg.AssetCheckResult:
        found, status = opened.budget(), opened.status()
        result = _budget_result(found)
        return result._replace(metadata={**result.metadata, **metadata.of_spending(status.spent_today, status.spent)})

    return check_by_looking(
        index,
        EMBEDDINGS,
        BUDGET,
        "No text waits because today's budget is spent"
        + (f" ({in_usd(limit)})." if limit is not None else "; none is declared (embedding.budget_per_day)."),
        look,
    )


def _budget_result(found: DailyBudget) -> dg.AssetCheckResult:
    told = describe_budget(found)
    return dg.AssetCheckResult(
        passed=not found.pauses,
        severity=dg.AssetCheckSeverity.WARN,
        description="\n".join(f"- {sentence}" for sentence in told.split(". ")) if found.pauses else told,
        metadata={"texts_waiting": found.texts_waiting, "cost_usd_today": found.paid},
    )


def _parity(index: IndexContext) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=index.key(SEARCH_INDEX),
        name=PARITY,
        description="What PostgreSQL stores equals MySQL's rows, every text and vector included. "
        "What differs is marked, and synced by the next run.",
    )
    def parity(context: dg.AssetCheckExecutionContext, indexes: IndexesResource) -> dg.AssetCheckResult:
        with indexes.open(index.declaration) as opened:
            return check_parity(opened, context.log)

    return parity


def check_parity(opened: VectorIndex, log: logging.Logger) -> dg.AssetCheckResult:
    """The proof of parity as a check's result, its progress in the log; what differs is marked dirty."""
    try:
        report = opened.verify(mark_dirty=True, on_progress=tell_progress(log))
    except NotYetSyncedError as error:
        return dg.AssetCheckResult(passed=False, description=str(error))
    return parity_result(report)


def tell_progress(log: logging.Logger) -> Callable[[int, int], None]:
    """Logs now and then how many ranges are done."""

    def tell(done: int, total: int) -> None:
        if done == total or done * _TIMES_TOLD // total > (done - 1) * _TIMES_TOLD // total:
            log.info("%d of %d ranges compared", done, total)

    return tell


def parity_result(report: ParityReport) -> dg.AssetCheckResult:
    """What a proof of parity found, as a check's result."""
    differ = counted(sum(difference.rows for difference in report.differences), "row differs", "rows differ")
    ranges = counted(len(report.differences), "range", "ranges")
    where = ", ".join(difference.partition for difference in report.differences[:20])
    return dg.AssetCheckResult(
        passed=report.equal,
        description="equal" if report.equal else f"{differ} in {ranges}: {where}",
        metadata=metadata.of_parity(report),
    )


def _honesty(index: IndexContext) -> dg.AssetChecksDefinition:
    def look(opened: VectorIndex) -> dg.AssetCheckResult:
        keys, status = opened.check_honesty(), opened.status()
        return dg.AssetCheckResult(
            passed=not keys,
            description=f"rows with a dishonest vector: {', '.join(keys[:20])}" if keys else "all are honest",
            metadata={
                "dishonest": len(keys),
                "dimensions": status.dimensions or 0,
                "native_dimensions": status.native_dimensions or 0,
                "zero_padded": status.dimensions != status.native_dimensions,
            },
        )

    return check_by_looking(
        index,
        SEARCH_INDEX,
        VECTOR_HONESTY,
        "Every stored vector has the model's length, is finite and not zero.",
        look,
    )
