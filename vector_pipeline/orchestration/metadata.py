"""Reports of the core as metadata: numbers that the UI plots, and small tables for people."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import dagster as dg
from tabulate import tabulate

from vector_pipeline.core.counted import counted
from vector_pipeline.core.money import in_short
from vector_pipeline.core.reports import (
    BatchReport,
    BuiltGeneration,
    EmbeddingReport,
    Estimate,
    GenerationsReport,
    ParityReport,
    Preview,
    QuarantineEntry,
    RangeDifference,
    RangeDocuments,
    RangeEmbeddings,
    SearchIndexReport,
    Spent,
    SubmittedBatches,
)
from vector_pipeline.core.store.quarantine import NOT_HONEST

Metadata = dict[str, Any]
NOT_SERVED_YET = "not_served_yet_because"
_MOST_ROWS = 50


def of_range_documents(facts: RangeDocuments) -> Metadata:
    return {
        "rows_read": facts.rows_read,
        "inserted": facts.inserted,
        "updated": facts.updated,
        "deleted": facts.deleted,
        "seconds": _rounded(facts.seconds),
        "rows_per_second": _rate(facts.rows_read, facts.seconds),
        "digest": facts.digest,
        "dagster/partition_row_count": facts.rows_read,
    }


def of_documents(facts: Sequence[RangeDocuments], preview: Preview | None) -> Metadata:
    rows, seconds = sum(f.rows_read for f in facts), sum(f.seconds for f in facts)
    return {
        "run_ranges": len(facts),
        "run_rows_read": rows,
        "run_inserted": sum(f.inserted for f in facts),
        "run_updated": sum(f.updated for f in facts),
        "run_deleted": sum(f.deleted for f in facts),
        "run_seconds": _rounded(seconds),
        "run_rows_per_second": _rate(rows, seconds),
    } | _previewed(preview)


def _previewed(preview: Preview | None) -> Metadata:
    """None for an index whose texts are not shown."""
    return {} if preview is None else {"preview": table(preview.columns, preview.rows)}


def of_sync(
    documents: Sequence[RangeDocuments], embedded: Sequence[EmbeddingReport], rounds: int, seconds: float
) -> Metadata:
    """What one run that finds and syncs has done in all; the service reads these numbers."""
    inserted, updated = sum(f.inserted for f in documents), sum(f.updated for f in documents)
    costs = [report.cost for report in embedded]
    paused = next((report.paused for report in embedded if report.paused), None)
    return {
        "documents_written": inserted + updated,
        "inserted": inserted,
        "updated": updated,
        "deleted": sum(f.deleted for f in documents),
        "ranges_synced": len({f.partition for f in documents}),
        "rows_read": sum(f.rows_read for f in documents),
        "texts_needed": sum(report.texts_needed for report in embedded),
        "texts_reused": sum(report.texts_reused for report in embedded),
        "texts_embedded": sum(report.texts_embedded for report in embedded),
        "texts_quarantined": sum(report.texts_quarantined for report in embedded),
        "requests": sum(report.requests for report in embedded),
        **_of_cost(
            sum(report.tokens for report in embedded),
            sum(report.tokens_estimated for report in embedded),
            None if None in costs else float(sum(cost for cost in costs if cost is not None)),
        ),
        **({} if paused is None else {"paused": paused}),
        "rounds": rounds,
        "seconds": _rounded(seconds),
    }


def of_range_embeddings(facts: RangeEmbeddings) -> Metadata:
    return {"passages": facts.needed, "passages_missing": facts.missing, "passages_quarantined": facts.quarantined}


def of_embeddings(report: EmbeddingReport, preview: Preview | None) -> Metadata:
    return {
        "run_ranges": len(report.ranges),
        "texts_needed": report.texts_needed,
        "texts_reused": report.texts_reused,
        "texts_embedded": report.texts_embedded,
        "texts_quarantined": report.texts_quarantined,
        "requests": report.requests,
        "seconds": _rounded(report.seconds),
        "texts_per_second": _rounded(report.texts_per_second),
        **_of_cost(report.tokens, report.tokens_estimated, report.cost),
        **({"paused": report.paused} if report.paused else {}),
    } | _previewed(preview)


def _of_cost(tokens: int, estimated: int, cost: float | None) -> Metadata:
    """No cost where the price isn't known: a plot of zeros would say that it is free."""
    return {"tokens": tokens, "tokens_estimated": estimated} | ({} if cost is None else {"cost_usd": cost})


def of_spending(today: Spent, total: Spent) -> Metadata:
    """What an index has cost, as numbers that the UI plots."""
    return {
        "tokens_today": today.tokens,
        "cost_usd_today": today.cost,
        "tokens_total": total.tokens,
        "cost_usd_total": total.cost,
        "tokens_of_unknown_price": total.tokens_unpriced,
    }


def of_estimate(estimate: Estimate) -> Metadata:
    known = {"cost_usd": estimate.cost, "seconds": estimate.seconds, "days_of_budget": estimate.days}
    return {
        "about": estimate.about,
        "model": estimate.model,
        "rows": estimate.rows,
        "texts_not_stored": estimate.texts,
        "tokens": estimate.tokens,
        "one_row_in": estimate.sampled,
    } | {name: value for name, value in known.items() if value is not None}


def of_submission(submitted: SubmittedBatches) -> Metadata:
    """Tokens and cost are estimates."""
    return {
        "generation": submitted.generation,
        "batches": submitted.batches,
        "texts": submitted.texts,
        "tokens": submitted.tokens,
        **({} if submitted.cost is None else {"cost_usd": submitted.cost}),
        **({"left_over_because": submitted.paused} if submitted.paused else {}),
    }


def of_batches(batches: Sequence[BatchReport], *, quoting: bool) -> Metadata:
    """The latest batches, as a table, and what those have done together that are not under way any more.

    Args:
        quoting: whether the provider's words are shown, which may quote a text.
    """
    ended = [batch for batch in batches if batch.ended_at is not None]
    return {
        "batches_under_way": len(batches) - len(ended),
        "texts_embedded": sum(batch.embedded for batch in ended),
        "texts_quarantined": sum(batch.quarantined for batch in ended),
        "texts_given_back": sum(batch.given_back for batch in ended),
        "tokens": sum(batch.tokens for batch in ended),
        "cost_usd": sum(batch.cost or 0.0 for batch in ended),
        "batches": table(
            ("batch", "generation", "status", "texts", "embedded", "quarantined", "given back", "tokens", "message"),
            [
                (
                    one.number,
                    one.generation,
                    one.status or one.standing,
                    one.texts,
                    one.embedded,
                    one.quarantined,
                    one.given_back,
                    one.tokens,
                    (one.message or "") if quoting or not one.message else "(not shown: see vector-pipeline batch)",
                )
                for one in batches
            ],
        ),
    }


def of_built_generation(built: BuiltGeneration) -> Metadata:
    return {
        "switched": built.switched,
        "texts_embedded": built.texts_embedded,
        "texts_reused": built.texts_reused,
        "texts_quarantined": built.texts_quarantined,
        "requests": built.requests,
        "seconds": _rounded(built.seconds),
        **_of_cost(built.tokens, built.tokens_estimated, built.cost),
    } | ({NOT_SERVED_YET: "; ".join(built.obstacles)} if built.obstacles else {})


def of_generations(report: GenerationsReport) -> Metadata:
    """Numbers of the generation that is being built, and a table of all."""
    listed = table(
        (
            "generation",
            "standing",
            "model",
            "dimensions",
            "strategy",
            "built",
            "texts",
            "quarantined",
            "behind",
            "cost",
        ),
        [
            (
                one.number,
                one.standing,
                one.model,
                one.dimensions,
                one.strategy,
                f"{one.coverage:.1%}",
                one.passages,
                one.quarantined,
                counted(one.lag.ranges, "range", "ranges"),
                in_short(one.spent),
            )
            for one in report.generations
        ],
    )
    found: Metadata = {"served_generation": report.served.number, "generations": listed}
    if report.asked_for is not None:
        found["declared"] = report.asked_for
    if (building := report.building) is not None:
        found |= {
            "built_percent": round(100 * building.coverage, 1),
            "ranges_built": building.ranges_done,
            "ranges": building.ranges,
            "texts": building.passages,
            "texts_with_vector": building.passages_served,
            "generation_tokens": building.spent.tokens,
        }
        if not building.spent.tokens_unpriced:
            found["generation_cost_usd"] = building.spent.cost
    return found


def of_search_index(report: SearchIndexReport) -> Metadata:
    fields = table(
        ("field", "vectors", "searched by", "index bytes"),
        [(f.field, f.vectors, f.method, f.index_bytes) for f in report.fields],
    )
    return {
        "dagster/row_count": report.documents,
        "dagster/table_name": report.view,
        "vectors": sum(f.vectors for f in report.fields),
        "vectors_retired": report.vectors_retired,
        "vectors_removed": report.vectors_removed,
        "index_bytes": sum(f.index_bytes for f in report.fields),
        "seconds": _rounded(report.seconds),
        "fields": fields,
        "indexed_for_filters": ", ".join(report.filters) or "none",
    } | ({"warning": report.warning} if report.warning is not None else {})


def of_parity(report: ParityReport) -> Metadata:
    differing = table(
        ("range", "rows", "missing", "stale", "orphaned", "texts differ", "vectors"),
        [
            (d.partition, d.rows, *(", ".join(keys[:10]) for keys in _differing_keys(d)))
            for d in report.differences[:_MOST_ROWS]
        ],
    )
    found: Metadata = {
        "ranges": report.ranges,
        "ranges_differing": len(report.differences),
        "rows_differing": sum(d.rows for d in report.differences),
        "rows_in_mysql": report.source_rows,
        "documents": report.target_rows,
        "passages": report.passages,
        "vectors": report.vectors,
        "quarantined": report.quarantined,
        "seconds": _rounded(report.seconds),
    }
    return found | ({"differences": differing} if report.differences else {})


def _differing_keys(difference: RangeDifference) -> tuple[tuple[str, ...], ...]:
    d = difference
    return d.missing, d.stale, d.orphaned, d.passages, (*d.vectors, *d.dishonest)


def of_quarantine(entries: Sequence[QuarantineEntry], *, quoting: bool = True) -> Metadata:
    """What was refused and why; the provider's words, which may quote the text, only with `quoting`."""
    listed = table(
        ("key", "field", "reason", "message", "attempts", "next try"),
        [
            (e.key, e.field, e.reason, _said(e, quoting), e.attempts, "ignored" if e.ignored_at else e.next_attempt_at)
            for e in entries[:_MOST_ROWS]
        ],
    )
    ignored = sum(entry.ignored_at is not None for entry in entries)
    return {"quarantined": len(entries), "ignored": ignored} | ({"entries": listed} if entries else {})


def _said(entry: QuarantineEntry, quoting: bool) -> str:
    if quoting or entry.reason == NOT_HONEST:
        return entry.message
    status = re.match(r"HTTP \d{3}", entry.message)
    return status.group() if status else "(not shown: see vector-pipeline quarantine)"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> dg.MarkdownMetadataValue:
    """A small table; a cell's line breaks and bars would break it."""
    cells = [[cell(value) for value in row] for row in rows]
    return dg.MetadataValue.md(tabulate(cells, columns, "pipe", disable_numparse=True) if cells else "(none)")


def cell(value: object) -> str:
    """A value as a table shows it, in one line."""
    return " ".join(str(value).splitlines()).replace("|", "\\|").strip()


def _rate(count: int, seconds: float) -> float:
    return _rounded(count / seconds) if seconds > 0 else 0.0


def _rounded(number: float) -> float:
    """Milliseconds are as much as anybody reads."""
    return round(number, 3)
