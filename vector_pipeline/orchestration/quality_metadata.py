"""Measurements of answers as metadata and results of checks."""

from collections.abc import Sequence

import dagster as dg

from vector_pipeline.core.quality import GoldenStanding
from vector_pipeline.core.search.ann_recall import RecallReport, describe_recall
from vector_pipeline.core.search.golden_run import (
    GoldenComparison,
    GoldenReport,
    JudgedQuery,
    describe_comparison,
    describe_golden,
)
from vector_pipeline.core.search.relevance import Relevance
from vector_pipeline.orchestration.metadata import Metadata, table

_MOST_QUERIES = 20


def recall_result(report: RecallReport) -> dg.AssetCheckResult:
    """Numbers are those of the worst field; a field that is searched exactly passes, and gives none to plot."""
    shown: Metadata = {
        "fields": table(
            ("field", "searched by", "samples", "recall@10", "ANN median ms", "95 %", "exact median ms", "95 %"),
            [
                (
                    one.field,
                    one.method,
                    one.samples,
                    "–" if one.recall is None else f"{one.recall:.3f}",
                    *(
                        f"{number:.2f}" if number is not None else "–"
                        for latency in (one.ann, one.exact)
                        for number in ((latency.median, latency.p95) if latency is not None else (None, None))
                    ),
                )
                for one in report.fields
            ],
        ),
        "floor": report.floor,
        "seconds": round(report.seconds, 3),
    }
    recalls = [one.recall for one in report.measured if one.recall is not None]
    ann, exact = [one.ann for one in report.measured if one.ann], [one.exact for one in report.measured if one.exact]
    if recalls:
        shown |= {"recall_at_10": min(recalls), "samples": sum(one.samples for one in report.measured)}
    for name, latencies in (("ann", ann), ("exact", exact)):
        if latencies:
            shown[f"{name}_median_ms"] = round(max(one.median for one in latencies), 3)
            shown[f"{name}_p95_ms"] = round(max(one.p95 for one in latencies), 3)
    told = "\n".join(f"- {line}" for line in describe_recall(report).splitlines())
    return dg.AssetCheckResult(passed=not report.below, description=told, metadata=shown)


def golden_result(
    report: GoldenReport, others: Sequence[GoldenReport] = (), *, quoting: bool = True
) -> dg.AssetCheckResult:
    """Passes above the declared floors; keys that have left the index are a warning in the words alone.

    Args:
        others: of other modes, whose numbers have the mode in their names, so that each is plotted for itself.
        quoting: whether questions may be shown; else their places in the file are.
    """
    shown: Metadata = {
        **dict(report.relevance.items()),
        "queries": len(report.queries),
        "keys_not_in_index": len(report.missing_keys),
        "mode": report.mode,
        "generation": report.generation,
        "seconds": round(report.seconds, 3),
        **{f"{other.mode}_{name}": value for other in others for name, value in other.relevance.items()},
    }
    if report.missed:
        shown["found_nothing_relevant"] = table(
            ("query", "relevant", "found first"),
            [
                (_name(report.queries, one, quoting), ", ".join(one.relevant), one.problem or ", ".join(one.found[:3]))
                for one in report.missed[:_MOST_QUERIES]
            ],
        )
    told = "\n".join(f"- {describe_golden(one)}" for one in (report, *others)) if others else describe_golden(report)
    return dg.AssetCheckResult(passed=not report.below, description=told, metadata=shown)


def _name(queries: Sequence[JudgedQuery], one: JudgedQuery, quoting: bool) -> str:
    return one.query[:200] if quoting else f"no. {queries.index(one) + 1}"


def of_standing(standing: GoldenStanding | None) -> Metadata:
    """How two generations answered the golden set, for whoever decides on the switch; {} where nobody asked it."""
    if standing is None:
        return {}
    before, after = standing.before, standing.after
    return {
        "compared": str(standing),
        "golden_set": _measures(before.relevance, after.relevance, (before.generation, after.generation)),
        "ndcg_at_10_before": before.relevance.ndcg_at_10,
        "ndcg_at_10_after": after.relevance.ndcg_at_10,
    }


def of_comparison(comparison: GoldenComparison, *, quoting: bool = True) -> Metadata:
    """Both generations side by side, and the questions that are answered otherwise."""
    before, after = comparison.before, comparison.after
    found: Metadata = {
        "compared": describe_comparison(comparison),
        "golden_set": _measures(before.relevance, after.relevance, (before.generation, after.generation)),
        "mode": before.mode,
        "queries": len(before.queries),
        "better": len(comparison.better),
        "worse": len(comparison.worse),
        **{f"{name}_before": value for name, value in before.relevance.items()},
        **{f"{name}_after": value for name, value in after.relevance.items()},
    }
    for name, changed in (("answered_worse", comparison.worse), ("answered_better", comparison.better)):
        if changed:
            found[name] = table(
                ("query", "relevant", "nDCG@10", "first found before", "first found after"),
                [
                    (
                        _name(before.queries, then, quoting),
                        ", ".join(then.relevant),
                        f"{then.relevance.ndcg_at_10:.2f} → {now.relevance.ndcg_at_10:.2f}",
                        ", ".join(then.found[:3]),
                        ", ".join(now.found[:3]),
                    )
                    for then, now in changed[:_MOST_QUERIES]
                ],
            )
    return found


def _measures(before: Relevance, after: Relevance, numbers: tuple[int, int]) -> dg.MarkdownMetadataValue:
    return table(
        ("measure", *(f"generation {number}" for number in numbers), "change"),
        [
            (name, f"{then:.3f}", f"{now:.3f}", f"{now - then:+.3f}")
            for (name, then), (_, now) in zip(before.items(), after.items(), strict=True)
        ],
    )
