"""Reports as people read them in a terminal."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from vector_pipeline.core.counted import counted
from vector_pipeline.core.deletion_guard import describe
from vector_pipeline.core.doctor import Diagnosis
from vector_pipeline.core.embedding.doctor import ProviderFindings
from vector_pipeline.core.findings import Finding, Verdict
from vector_pipeline.core.legacy_import import LegacyImport
from vector_pipeline.core.model_drift import describe as describe_drift
from vector_pipeline.core.money import describe_budget, in_short, in_usd
from vector_pipeline.core.reports import (
    BatchReport,
    DailyBudget,
    ErasureReport,
    Estimate,
    GenerationsReport,
    GuardedDeletions,
    IndexStatus,
    ModelDrift,
    ParityReport,
    QuarantineEntry,
    RangeDifference,
    Spent,
    SubmittedBatches,
    SyncReport,
)
from vector_pipeline.core.search import Hit, SearchAnswer, Snippet
from vector_pipeline.core.search.ann_recall import RecallReport, describe_recall
from vector_pipeline.core.search.golden_run import (
    GoldenComparison,
    GoldenReport,
    describe_comparison,
    describe_golden,
)
from vector_pipeline.core.search.many import ManyAnswer
from vector_pipeline.core.store.api_keys import ApiKey
from vector_pipeline.core.store.unanswered_queries import UnansweredQuery

if TYPE_CHECKING:
    from vector_pipeline.embedded.stack import StackStatus

_LONGEST_TEXT = 400
_MOST_KEYS = 20
# The sensor looks every few seconds, and has come round some ten million rows by then.
_AN_OLD_LOOK = timedelta(minutes=5)


def sync_report(report: SyncReport) -> RenderableType:
    told: list[RenderableType] = []
    if report.switched_to is not None:
        told.append(Text(f"generation {report.switched_to} was built and is served", "green"))
    if report.building is not None:
        told.append(_not_served_yet(report.building, report.obstacles))
    if not report.ranges_synced and not report.texts_needed:
        what = "no key range was dirty" if told else "nothing to sync, every range is in step"
        return Group(Text(f"{report.index}: {what} ({report.seconds:.1f} s)", "green"), *told)
    return Group(_sync_facts(report), *told)


def _not_served_yet(number: int, obstacles: Sequence[str]) -> Text:
    why = "; ".join(obstacles) or "the next sync serves it"
    return Text(f"generation {number} is not served yet: {why}", "yellow")


def _sync_facts(report: SyncReport) -> Table:
    return _facts(
        f"{report.index} synced",
        [
            ("key ranges", report.ranges_synced),
            ("rows read", report.rows_read),
            ("inserted / updated / deleted", f"{report.inserted} / {report.updated} / {report.deleted}"),
            ("texts needed", report.texts_needed),
            ("reused / embedded", f"{report.texts_reused} / {report.texts_embedded}"),
            ("quarantined", report.texts_quarantined),
            ("requests / tokens", f"{report.requests} / {report.tokens}"),
            *([("cost", in_usd(report.cost))] if report.cost is not None else []),
            *([("paused", Text(report.paused, "yellow"))] if report.paused else []),
            ("seconds", f"{report.seconds:.1f}"),
        ],
    )


def search_answer(answer: SearchAnswer) -> RenderableType:
    notes = [Text(note, style="yellow") for note in answer.notes]
    if not answer.hits:
        return Group(*notes, Text(_nothing(answer), style="yellow"))
    return Group(*notes, *(_hit(rank, hit) for rank, hit in enumerate(answer.hits, start=1)))


def _nothing(answer: SearchAnswer) -> str:
    """Why there may be no hit, and what to try."""
    nothing = "nothing that passes the filter" if answer.filtered else "nothing"
    filters = " another filter," if answer.filtered else ""
    lower = f"scores above {answer.threshold:g}; try other words,{filters} or a lower --threshold"
    if answer.mode == "vector":
        return f"{nothing} {lower}"
    words = f"{nothing} has these words"
    if answer.mode == "text":
        return words + ("; try other words, or another filter" if answer.filtered else "")
    return f"{words}, and {nothing} {lower}"


def place_and_score(rank: int | None, score: float | None) -> str:
    """One of the two rankings of a hit, in short."""
    return "–" if rank is None or score is None else f"{rank}. ({score:.3f})"


def _marked(snippet: Snippet) -> Text:
    """The snippet for a terminal."""
    text = Text()
    for part in re.split("(<mark>.*?</mark>)", snippet.html, flags=re.DOTALL):
        marked = part.startswith("<mark>")
        plain = html.unescape(part.removeprefix("<mark>").removesuffix("</mark>") if marked else part)
        text.append(plain, style="bold yellow" if marked else "")
    return text


def many_answer(answer: ManyAnswer) -> RenderableType:
    """Hits of several indexes; what has failed comes last, where it is seen."""
    shown: list[RenderableType] = [
        _hit(rank, found.hit, of=f" of {found.index}") for rank, found in enumerate(answer.hits, start=1)
    ]
    if not answer.hits:
        shown.append(Text(_nothing_anywhere(answer), "yellow"))
    elif answer.merged_by == "rank":
        shown.append(Text("merged by rank, since scores of different models or modes can't be compared", "dim"))
    shown += [Text(note, "yellow") for note in answer.notes]
    shown += [Text(f"{failure.index} gave no answer: {failure.reason}", "red") for failure in answer.failures]
    return Group(*shown)


def _nothing_anywhere(answer: ManyAnswer) -> str:
    if answer.filtered:
        return "no index has a document that passes the filter above its threshold; try other words, or another filter"
    return "no index has a document above its threshold; try other words"


def _hit(rank: int, hit: Hit, of: str = "") -> Panel:
    body = Text()
    passage = hit.passage if hit.passage is not None and hit.passage.is_a_part else None
    for name, text in hit.texts.items():
        if passage is None or name != hit.field:
            body.append(f"{name}: ", style="bold")
            body.append(f"{_shortened(text)}\n")
    if passage is not None:
        body.append(f"{hit.field}, characters {passage.start} to {passage.end} of {passage.length}: ", style="bold")
        body.append(f"{_shortened(passage.text)}\n")
    if hit.snippet is not None:
        body.append(f"{hit.snippet.field}, with the words: ", style="bold")
        body.append_text(_marked(hit.snippet))
        body.append("\n")
    for name, value in hit.metadata.items():
        if value is not None:
            body.append(f"{name}: {value}\n", style="dim")
    behind = "  its vector is of an earlier text" if hit.vector_behind else ""
    if hit.without_vector:
        behind = "  a text of it has no vector"
    title = f"{rank}. score {hit.score:.3f} by {hit.field}, key {hit.key}{of}{behind}"
    if hit.text_rank is not None and hit.vector_rank is not None:
        title += f" (by vectors {hit.vector_rank}., by words {hit.text_rank}.)"
    return Panel(body, title=Text(title), title_align="left")


def _shortened(text: str | None) -> str:
    text = text or ""
    return text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + " …"


def parity_report(report: ParityReport) -> RenderableType:
    verdict = Text(
        "parity: equal" if report.equal else "parity: DIFFERENT", style="bold green" if report.equal else "bold red"
    )
    counted = _facts(
        f"{report.index} against its table",
        [
            ("key ranges", report.ranges),
            ("rows in MySQL / documents", f"{report.source_rows} / {report.target_rows}"),
            ("passages / vectors", f"{report.passages} / {report.vectors}"),
            ("quarantined texts", report.quarantined),
            ("seconds", f"{report.seconds:.1f}"),
        ],
    )
    if report.equal:
        return Group(counted, verdict)
    return Group(counted, _differences(report.differences), verdict)


def _differences(differences: Iterable[RangeDifference]) -> Table:
    table = Table("range", "what", "rows", "keys")
    for difference in differences:
        for what in ("missing", "stale", "orphaned", "passages", "vectors", "dishonest"):
            keys: Sequence[str] = getattr(difference, what)
            if keys:
                more = f" … and {len(keys) - _MOST_KEYS} more" if len(keys) > _MOST_KEYS else ""
                table.add_row(difference.partition, what, str(len(keys)), ", ".join(keys[:_MOST_KEYS]) + more)
    return table


def guarded_deletions(guarded: GuardedDeletions) -> RenderableType:
    if guarded.held:
        return Text(describe(guarded), "bold red")
    approved = f"; {guarded.approved} approved ones are still to come" if guarded.approved else ""
    return Text(
        f"{guarded.index}: no mass deletion is held; of {guarded.documents} documents {guarded.deletions} were lately "
        f"deleted{approved}",
        "green",
    )


def generations(report: GenerationsReport) -> RenderableType:
    listed = Table(
        "generation", "standing", "model", "dimensions", "strategy", "built", "texts", "quarantined", "behind", "cost"
    )
    for one in report.generations:
        listed.add_row(
            str(one.number),
            Text(one.standing, "green" if one.standing == "served" else ""),
            one.model,
            str(one.dimensions),
            one.strategy,
            f"{one.coverage:.1%}",
            str(one.passages),
            str(one.quarantined),
            counted(one.lag.ranges, "range", "ranges"),
            in_short(one.spent),
        )
    if report.asked_for is None:
        return Group(listed, Text("what is declared is served", "green"))
    rolled_back = ", which somebody rolled back" if report.rolled_back else ""
    told = [Text(f"declared is another one{rolled_back}: {report.asked_for}", "yellow")]
    building = report.building
    if building is not None:
        told.append(_not_served_yet(building.number, report.obstacles))
    if report.rolled_back or (building is not None and building.ranges_done == building.ranges and report.obstacles):
        told.append(Text(f"to approve it: vector-pipeline generations {report.index} --switch", "dim"))
    return Group(listed, *told)


def erasure(report: ErasureReport, events: int, dagster_home: Path) -> RenderableType:
    told = _facts(
        f"erased from {report.index}",
        [
            ("rows", len(report.erased)),
            ("passages, of all generations", report.passages),
            ("vectors that no row needs any more", report.vectors),
            ("quarantined texts", report.quarantined),
            (f"events of Dagster in {dagster_home}", events),
            ("seconds", f"{report.seconds:.1f}"),
        ],
    )
    if not report.absent:
        return told
    absent = ", ".join(report.absent[:_MOST_KEYS])
    more = f" and {len(report.absent) - _MOST_KEYS} more" if len(report.absent) > _MOST_KEYS else ""
    return Group(told, Text(f"already absent from the index: {absent}{more}", "yellow"))


def legacy_import(report: LegacyImport) -> RenderableType:
    similarity = "not compared" if report.similarity is None else f"{report.similarity:.3f}"
    return _facts(
        f"taken over into {report.index}",
        [
            (f"rows of {report.table}", report.rows),
            ("texts with a vector", report.texts),
            ("vectors taken over", report.imported),
            ("left out: zeros, NaN, another length", report.dishonest),
            ("left out: no vector", report.without_vector),
            ("left out: texts that are split", report.in_parts),
            ("least similarity of the samples", similarity),
        ],
    )


def statuses(found: Iterable[IndexStatus]) -> RenderableType:
    return Group(*(_status(status) for status in found))


def _status(status: IndexStatus) -> Table:
    model = f"{status.model}, {status.dimensions} dimensions" if status.model else "–"
    if status.dimensions != status.native_dimensions:
        model += f" ({status.native_dimensions} of the model, zero-padded)"
    return _facts(
        status.index,
        [
            ("model", model),
            ("key ranges", status.ranges),
            ("dirty", Text(str(status.ranges_dirty), style="yellow" if status.ranges_dirty else "green")),
            ("behind the source", _behind(status)),
            ("documents", status.documents),
            ("found by their current vector", f"{status.coverage:.1%} of {counted(status.passages, 'text', 'texts')}"),
            ("quarantined texts", Text(str(status.quarantined), style="red" if status.quarantined else "green")),
            *(
                [("wait for an offline batch", counted(status.texts_awaited, "text", "texts"))]
                if status.texts_awaited
                else []
            ),
            ("last complete look at the source", _ago(status.last_round_at)),
            ("oldest look at a range", _ago(status.oldest_check_at)),
            ("last sync", _ago(status.last_synced_at)),
            ("cost today", _spent(status.spent_today)),
            ("cost so far", _spent(status.spent)),
            *([("budget", _budget(status.budget))] if status.budget is not None else []),
        ],
    )


def _behind(status: IndexStatus) -> str:
    lag, looked_at = status.lag, status.oldest_check_at
    if not lag.ranges:
        is_old = looked_at is not None and datetime.now(UTC) - looked_at > _AN_OLD_LOOK
        return f"nothing, as it was {_ago(looked_at)}" if is_old else "nothing"
    return f"at least {counted(lag.rows, 'row', 'rows')}, {lag.seconds:.0f} s"


def _budget(budget: DailyBudget) -> Text:
    return Text(describe_budget(budget), "yellow" if budget.pauses else "")


def _spent(spent: Spent) -> str:
    told = f"{in_usd(spent.cost)}, {spent.tokens:,} tokens"
    if spent.tokens_estimated:
        told += f" ({spent.tokens_estimated:,} of them estimated)"
    return told + (f"; {spent.tokens_unpriced:,} tokens of unknown price" if spent.tokens_unpriced else "")


def estimate(found: Estimate) -> RenderableType:
    about = "about " if found.sampled > 1 or not found.tokens_counted else ""
    seconds = found.seconds
    facts: list[tuple[str, object]] = [
        ("of", found.about),
        ("model", found.model),
        ("rows", f"{found.rows:,}"),
        ("texts without a vector", f"{'about ' if found.sampled > 1 else ''}{found.texts:,}"),
        ("tokens", f"{about}{found.tokens:,}"),
        (
            "cost",
            "unknown; declare embedding.price_per_million_tokens"
            if found.cost is None
            else f"{about}{in_usd(found.cost)} (at {found.price:g} USD per million tokens)",
        ),
        (
            "time",
            "unknown: no run was long enough to tell the pace"
            if seconds is None
            else f"{_duration(seconds)} (at {found.texts_per_second:,.0f} texts a second, as earlier runs)",
        ),
    ]
    if found.days is not None and found.budget_per_day is not None:
        facts.append(("days", f"{found.days} at {in_usd(found.budget_per_day)} a day"))
    notes = []
    if found.sampled > 1:
        notes.append(
            f"One row in {found.sampled} was read, and the rest inferred; where rows share texts it is less. --rows N "
            "reads more."
        )
    if not found.tokens_counted:
        notes.append("How this model counts tokens is not known here: they are estimated, rather too many.")
    return Group(_facts(found.index, facts), *(Text(note, style="dim") for note in notes))


def submitted_batches(submitted: SubmittedBatches) -> RenderableType:
    cost = "unknown" if submitted.cost is None else f"about {in_usd(submitted.cost)}"
    return _facts(
        f"generation {submitted.generation}",
        [
            ("batches submitted", submitted.batches),
            ("texts", f"{submitted.texts:,}"),
            ("tokens", f"about {submitted.tokens:,}"),
            ("cost", cost),
            *([("left over", Text(submitted.paused, "yellow"))] if submitted.paused else []),
        ],
    )


def batches(found: Sequence[BatchReport]) -> RenderableType:
    if not found:
        return Text("no offline batch was submitted", style="dim")
    listed = Table("batch", "status", "texts", "embedded", "refused", "given back", "cost")
    for one in found:
        listed.add_row(
            str(one.number),
            Text(one.status or one.standing, "yellow" if one.given_back else ""),
            f"{one.texts:,}",
            f"{one.embedded:,}",
            f"{one.quarantined:,}",
            f"{one.given_back:,}",
            "unknown" if one.cost is None else in_usd(one.cost),
        )
    notes = [
        f"batch {one.number} ({one.batch_id or one.standing}, generation {one.generation}): "
        + (one.message or f"{one.completed:,} of {one.texts:,} texts done")
        for one in found
        if one.message or one.ended_at is None
    ]
    return Group(listed, *(Text(note, style="dim") for note in notes))


def _duration(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def quarantine(entries: Sequence[QuarantineEntry]) -> RenderableType:
    if not entries:
        return Text("the quarantine is empty", style="green")
    table = Table("key", "field", "reason", "message", "attempts", "first", "last", "next try")
    for entry in entries:
        table.add_row(
            entry.key,
            entry.field,
            entry.reason,
            entry.message,
            str(entry.attempts),
            _ago(entry.first_failed_at),
            _ago(entry.last_failed_at),
            _next_try(entry),
        )
    return table


def _next_try(entry: QuarantineEntry) -> str:
    if entry.ignored_at is not None:
        return f"ignored since {entry.ignored_at.isoformat(timespec='minutes')}"
    return entry.next_attempt_at.isoformat(timespec="minutes") if entry.next_attempt_at else "–"


def quality(recall: RecallReport, golden: GoldenReport | None) -> RenderableType:
    """What ANN indexes miss, a line for each field, and how the golden set was answered, if there is one."""
    lines: list[RenderableType] = [Text(describe_recall(recall), "red" if recall.below else "green")]
    if golden is None:
        lines.append(Text("no golden set is declared (search.golden_set)", "dim"))
    else:
        lines.append(Text(describe_golden(golden), "red" if golden.below else "green"))
        if golden.missed:
            missed = Table("query of which nothing relevant was found", "relevant", "found first")
            for one in golden.missed[:_MOST_KEYS]:
                missed.add_row(one.query, ", ".join(one.relevant), one.problem or ", ".join(one.found[:3]))
            lines.append(missed)
    return Group(*lines)


def golden_comparison(comparison: GoldenComparison) -> RenderableType:
    before, after = comparison.before, comparison.after
    measures = Table("measure", f"generation {before.generation}", f"generation {after.generation}", "change")
    for (name, then), (_, now) in zip(before.relevance.items(), after.relevance.items(), strict=True):
        measures.add_row(name, f"{then:.3f}", f"{now:.3f}", f"{now - then:+.3f}")
    changed = Table("query that is answered otherwise", "relevant", "nDCG@10", "first found before", "after")
    for one, other in (*comparison.worse[:_MOST_KEYS], *comparison.better[:_MOST_KEYS]):
        change = f"{one.relevance.ndcg_at_10:.2f} → {other.relevance.ndcg_at_10:.2f}"
        changed.add_row(
            one.query, ", ".join(one.relevant), change, ", ".join(one.found[:3]), ", ".join(other.found[:3])
        )
    told = Text(describe_comparison(comparison), "bold")
    return Group(told, measures, changed) if changed.row_count else Group(told, measures)


def model_drift(drift: ModelDrift) -> RenderableType:
    return Text(describe_drift(drift), "bold red" if drift.drifted else "green")


_STYLES = {Verdict.OK: "green", Verdict.NOTE: "dim", Verdict.WARNING: "yellow", Verdict.WRONG: "bold red"}


def diagnosis(found: Diagnosis) -> RenderableType:
    return Group(_findings("servers", found.servers), *(_provider_findings(one) for one in found.providers))


def _provider_findings(found: ProviderFindings) -> Table:
    users = ", ".join(found.indexes) or "the environment"
    title = f"{found.provider} (for {users})"
    if found.dimensions is not None and found.latency_seconds is not None:
        title += f": {found.dimensions} dimensions, {1000 * found.latency_seconds:.0f} ms a request"
    return _findings(title, found.findings)


def _findings(title: str, findings: Iterable[Finding]) -> Table:
    table = Table(title=title, show_header=False, title_justify="left")
    for finding in findings:
        told = Text(finding.found)
        if finding.remedy:
            told.append(f"\n→ {finding.remedy}", style="bold")
        table.add_row(Text(finding.verdict, _STYLES[finding.verdict]), finding.what, told)
    return table


def stack_status(status: StackStatus) -> RenderableType:
    table = Table("server", "port", "pid", "restarts")
    for name, server in status.servers.items():
        table.add_row(name, str(server.port), str(server.pid or "–"), str(server.restarts))
    style = "green" if status.healthy else "yellow"
    return Group(Text(f"{status.phase} in {status.folder} {status.message}".strip(), style=style), table)


def key_rights(key: ApiKey) -> str:
    """What a key is good for, in words."""
    told = " and ".join(key.scopes)
    told += " on all indexes" if key.indexes is None else f" on {', '.join(key.indexes)}"
    return told + (f" until {key.expires_at:%Y-%m-%d}" if key.expires_at is not None else "")


def api_keys(keys: Sequence[ApiKey]) -> RenderableType:
    if not keys:
        return Text("no key was ever made", "yellow")
    now = datetime.now(UTC)
    table = Table("name", "begins with", "good for", "made", "last used", "standing")
    for key in keys:
        standing = "in use" if key.valid_at(now) else "expired" if key.revoked_at is None else "revoked"
        table.add_row(
            key.name,
            key.hint,
            key_rights(key),
            _ago(key.created_at),
            _ago(key.last_used_at),
            Text(standing, "green" if standing == "in use" else "dim"),
        )
    return table


def unanswered(found: Sequence[UnansweredQuery]) -> RenderableType:
    if not found:
        return Text("no query that found nothing is kept; the service keeps them with VECTOR_PIPELINE_UNANSWERED_DAYS")
    table = Table("query", "times", "nothing above", "last asked")
    for one in found:
        threshold = "by words" if one.threshold is None else f"{one.threshold:.2f}"
        told = f"{threshold}, filtered" if one.filtered else threshold
        table.add_row(Text(_shortened(one.query)), str(one.times), told, _ago(one.last_asked_at))
    return table


def _facts(title: str, facts: Iterable[tuple[str, object]]) -> Table:
    table = Table(title=title, show_header=False, title_justify="left")
    for name, value in facts:
        table.add_row(name, value if isinstance(value, Text) else str(value))
    return table


def _ago(moment: datetime | None) -> str:
    if moment is None:
        return "never"
    seconds = (datetime.now(UTC) - moment).total_seconds()
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{max(seconds, 0):.0f} s ago"
