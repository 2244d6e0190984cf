"""The command line: a few lines each over the same core that Dagster runs."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO, get_args

import click
from dotenv import load_dotenv
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from vector_pipeline import display
from vector_pipeline.alert_commands import alerts
from vector_pipeline.core import legacy_import
from vector_pipeline.core.counted import counted
from vector_pipeline.core.doctor import diagnose
from vector_pipeline.core.errors import ConfigurationError, VectorPipelineError
from vector_pipeline.core.estimating import MOST_ROWS
from vector_pipeline.core.index import VectorIndex, open_index
from vector_pipeline.core.reports import ParityReport, SyncReport
from vector_pipeline.core.search import SearchAnswer
from vector_pipeline.core.search.ann_recall import SAMPLES
from vector_pipeline.core.search.filters import parsed_texts
from vector_pipeline.core.search.many import Answering, cache_for, search_across
from vector_pipeline.core.search.query_cache import QueryCache
from vector_pipeline.core.search.request import SearchRequest, read_field
from vector_pipeline.core.settings import read_secrets, read_settings
from vector_pipeline.core.spec import MOST_HITS, SearchMode
from vector_pipeline.core.store.unanswered_queries import MOST_KEPT
from vector_pipeline.declarations import Declaration, find_declaration, over_rows, read_declarations
from vector_pipeline.embedded.folder import StackFolder, default_folder
from vector_pipeline.key_commands import keys
from vector_pipeline.log_level import set_up_logging
from vector_pipeline.new_project import init
from vector_pipeline.reload_command import reload_declarations
from vector_pipeline.run_time_indexes import remove_index
from vector_pipeline.serving.settings import read_serving_settings

console = Console()
messages = Console(stderr=True)


class _Group(click.Group):
    """Turns our own errors into a message and exit status 2; anything else is a bug and shows its traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except VectorPipelineError as error:
            messages.print(f"[bold red]error:[/] {_escaped(error)}", highlight=False, soft_wrap=True)
            ctx.exit(2)


def _escaped(error: Exception) -> str:
    return str(error).replace("[", r"\[")


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="vector-pipeline")
def main() -> None:
    """Keeps vector indexes in PostgreSQL/pgvector true to tables in MySQL."""
    _load_environment()
    set_up_logging()


def _load_environment() -> None:
    """The environment, then `.env`, then what the embedded stack wrote; the first one wins. Last, secrets in files."""
    load_dotenv(Path.cwd() / ".env")
    load_dotenv(StackFolder(default_folder()).environment)
    os.environ.update(read_secrets())


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


@main.command()
@click.argument("index")
@as_json
def sync(index: str, as_json: bool) -> None:
    """Find the dirty key ranges of INDEX and materialise their assets in this process."""
    _print(_sync(index, quiet=as_json), as_json, display.sync_report)


_limit = click.option("--limit", type=click.IntRange(1, MOST_HITS), help="Number of hits.")
_threshold = click.option("--threshold", type=click.FloatRange(-1, 1), help="Hits score strictly above it.")
_field = click.option(
    "--field",
    "fields",
    multiple=True,
    help="A field that is embedded; `best`; several: by the best of them; or with weights, question=0.7 answer=0.3: by "
    "their weighted mean.",
)
_generation = click.option(
    "--generation", type=int, help="Number of the generation to search, instead of the served one."
)
_filter = click.option(
    "--filter",
    "filters",
    multiple=True,
    help="A condition on metadata: category=health, asked>=2026-01-01, or JSON; several hold together.",
)
_mode = click.option(
    "--mode",
    type=click.Choice(get_args(SearchMode)),
    help="By nearness of vectors, by words (asks no provider), or by both.",
)
_rerank = click.option(
    "--rerank/--no-rerank", default=None, help="Whether the declared reranker orders the hits; it does."
)


@main.command()
@click.argument("words", metavar="[INDEX] QUERY", nargs=-1, required=True)
@click.option("--index", "indexes", multiple=True, help="An index to search, instead of INDEX; several: all of them.")
@click.option("--all", "every", is_flag=True, help="Search every declared index but MySQL's catalog.")
@click.option(
    "--queries",
    type=click.File(encoding="utf-8"),
    help="A file with a query a line (- is standard input), instead of QUERY; embedded together.",
)
@_limit
@_threshold
@_field
@_generation
@_filter
@_mode
@_rerank
@as_json
def search(
    words: tuple[str, ...],
    indexes: tuple[str, ...],
    every: bool,
    queries: TextIO | None,
    limit: int | None,
    threshold: float | None,
    fields: tuple[str, ...],
    generation: int | None,
    filters: tuple[str, ...],
    mode: SearchMode | None,
    rerank: bool | None,
    as_json: bool,
) -> None:
    """Print the documents of INDEX that fit QUERY best, or those of several indexes: --index or --all."""
    across = every or bool(indexes)
    if len(words) != (1 if across or queries is not None else 2) or (across and queries is not None):
        raise click.UsageError(
            "give INDEX and QUERY; INDEX alone with --queries; or QUERY alone with --index or --all. A query of "
            "several words goes in quotes"
        )
    request = SearchRequest(
        words[-1], limit, threshold, read_field(fields), generation, parsed_texts(filters), mode=mode, rerank=rerank
    )
    if queries is not None:
        _search_many(words[0], [replace(request, query=line.strip()) for line in queries if line.strip()], as_json)
        return
    if not across:
        with _opened(words[0]) as opened:
            answer = opened.answer(request)
        _print(answer, as_json, display.search_answer)
        return
    declarations = (
        over_rows(read_declarations()) if every else [find_declaration(name) for name in dict.fromkeys(indexes)]
    )
    cache = QueryCache(cache_for(read_settings().query_cache, len(declarations)))
    asked = {declaration.spec.name: _when_asked(declaration, cache) for declaration in declarations}
    _print(search_across(asked, request), as_json, display.many_answer)


def _search_many(index: str, requests: Sequence[SearchRequest], as_json: bool) -> None:
    """Prints each answer, or what is wrong with that query; exit status 2 where something is."""
    with _opened(index) as opened:
        outcomes = opened.search_many(requests)
    if as_json:
        plain = [
            {"query": request.query, "error": str(outcome)} if isinstance(outcome, Exception) else _plain(outcome)
            for request, outcome in zip(requests, outcomes, strict=True)
        ]
        click.echo(json.dumps(plain, indent=2, ensure_ascii=False))
    else:
        for request, outcome in zip(requests, outcomes, strict=True):
            console.rule(Text(request.query), align="left")
            if isinstance(outcome, Exception):
                console.print(Text(str(outcome), "red"))
            else:
                console.print(display.search_answer(outcome))
    if any(isinstance(outcome, Exception) for outcome in outcomes):
        sys.exit(2)


def _when_asked(declaration: Declaration, cache: QueryCache) -> Answering:
    """The index, opened when it is asked, so that what keeps it from being opened is its own failure."""

    def ask(request: SearchRequest) -> SearchAnswer:
        with _open(declaration, cache) as opened:
            return opened.answer(request)

    return ask


@main.command()
@click.argument("index")
@click.argument("key")
@_limit
@_threshold
@_field
@_generation
@_filter
@as_json
def similar(
    index: str,
    key: str,
    limit: int | None,
    threshold: float | None,
    fields: tuple[str, ...],
    generation: int | None,
    filters: tuple[str, ...],
    as_json: bool,
) -> None:
    """Print the documents of INDEX nearest to the one with KEY, by its own vectors: no provider is asked.

    KEY is as search shows it; after `--` it may begin with a minus.
    """
    with _opened(index) as opened:
        answer = opened.similar(
            key,
            limit=limit,
            threshold=threshold,
            field=read_field(fields),
            generation=generation,
            filter=parsed_texts(filters),
        )
    _print(answer, as_json, display.search_answer)


@main.command()
@click.argument("index")
@click.option("--repair", is_flag=True, help="Mark what differs, sync it, and prove again.")
@as_json
def verify(index: str, repair: bool, as_json: bool) -> None:
    """Prove that INDEX equals its table; exit status 1 if it does not."""
    report = _verify(index, mark_dirty=repair, quiet=as_json)
    if repair and not report.equal:
        if not as_json:
            console.print(display.parity_report(report))
        _sync(index, quiet=as_json)
        report = _verify(index, mark_dirty=False, quiet=as_json)
    _print(report, as_json, display.parity_report, equal=report.equal)
    sys.exit(0 if report.equal else 1)


@main.command()
@click.argument("index", required=False)
@as_json
def status(index: str | None, as_json: bool) -> None:
    """Show ranges, rows, coverage, lag and quarantine of INDEX, or of all indexes."""
    declarations = [find_declaration(index)] if index else read_declarations()
    found = []
    for declaration in declarations:
        with _open(declaration) as opened:
            found.append(opened.status())
    if as_json:
        click.echo(json.dumps([_plain(one) for one in found], indent=2, ensure_ascii=False))
    else:
        console.print(display.statuses(found))


@main.command()
@click.argument("index")
@click.option(
    "--rows",
    type=click.IntRange(min=1),
    default=MOST_ROWS,
    show_default=True,
    help="Of more rows to be read than this, only a share is.",
)
@as_json
def estimate(index: str, rows: int, as_json: bool) -> None:
    """Tell what it would take to embed what INDEX lacks: texts, tokens, cost and time. Asks no provider."""
    with _opened(index) as opened:
        found = opened.estimate(rows)
    _print(found, as_json, display.estimate, cost=found.cost, seconds=found.seconds, days=found.days)


@main.command()
@click.argument("index")
@click.argument("action", type=click.Choice(["status", "submit", "ingest", "cancel", "forget"]), default="status")
@as_json
def batch(index: str, action: str, as_json: bool) -> None:
    """Fill INDEX by the provider's offline Batch API: within a day, at half the price.

    submit sends what the declared index lacks. status asks how batches stand, ingest stores what those that are over
    have brought: Dagster does both by itself. cancel ends them early. forget frees their texts without asking the
    provider, which may charge for them all the same.
    """
    with _opened(index) as opened:
        if action == "submit":
            _print(opened.submit_batches(), as_json, display.submitted_batches)
            return
        told = _acted_on_batches(opened, action)
        batches = opened.batches()
    if told:
        messages.print(told)
    if as_json:
        click.echo(json.dumps([_plain(one) for one in batches], indent=2, ensure_ascii=False))
    else:
        console.print(display.batches(batches))


def _acted_on_batches(opened: VectorIndex, action: str) -> str:
    """Does it, and says what came of it."""
    if action == "ingest":
        return counted(opened.ingest_batches(), "batch has ended", "batches have ended")
    if action == "cancel":
        return counted(opened.cancel_batches(), "batch is being cancelled", "batches are being cancelled")
    if action == "forget":
        return counted(opened.forget_batches(), "text is given back", "texts are given back")
    return "there is something to take in: ingest" if opened.batches_need_work() else ""


@main.command()
@click.argument("index")
@click.argument("keys", metavar="[KEY]...", nargs=-1)
@click.option("--retry", is_flag=True, help="Let the next sync try them again at once, or all that are not ignored.")
@click.option("--ignore", is_flag=True, help="Leave the texts of these rows alone until they change.")
@click.option("--unignore", is_flag=True, help="Take that back: the next sync tries them again.")
@click.option("--building", is_flag=True, help="Of the generation that is being built, not of the served one.")
@as_json
def quarantine(
    index: str, keys: tuple[str, ...], retry: bool, ignore: bool, unignore: bool, building: bool, as_json: bool
) -> None:
    """List the texts of INDEX that the provider refused, of all rows or of those with a KEY, and decide on them."""
    if retry + ignore + unignore > 1:
        raise click.UsageError("--retry, --ignore and --unignore exclude each other")
    if (ignore or unignore) and not keys:
        raise click.UsageError(f"--{'ignore' if ignore else 'unignore'} needs the keys of rows")
    with _opened(index) as opened:
        if retry:
            freed = opened.retry_quarantine(keys or None, building=building)
            messages.print(f"{counted(freed, 'text', 'texts')} will be tried again by the next sync")
        elif ignore:
            ignored = opened.ignore_quarantined(keys, building=building)
            told = counted(ignored, "text is ignored until it changes", "texts are ignored until they change")
            messages.print(told)
        elif unignore:
            freed = opened.unignore_quarantined(keys, building=building)
            messages.print(f"{counted(freed, 'text', 'texts')} will be tried again by the next sync")
        entries = [entry for entry in opened.quarantine(building=building) if not keys or entry.key in keys]
    if as_json:
        click.echo(json.dumps([_plain(entry) for entry in entries], indent=2, ensure_ascii=False))
    else:
        console.print(display.quarantine(entries))


@main.command()
@click.argument("index")
@click.option("--approve", "decision", flag_value="approve", help="Let the held deletions be carried out.")
@click.option("--reject", "decision", flag_value="reject", help="Keep the documents until the source has them again.")
@as_json
def deletions(index: str, decision: str | None, as_json: bool) -> None:
    """Tell whether a mass deletion of INDEX is held, and decide on it; exit status 1 while one is held."""
    with _opened(index) as opened:
        guarded = opened.guarded_deletions()
        if decision is not None and not guarded.held:
            raise VectorPipelineError(f"index {index!r} holds no mass deletion: there is nothing to decide")
        if decision == "approve":
            count = opened.approve_deletions()
            messages.print(f"up to {counted(count, 'document', 'documents')} may be deleted by the next syncs")
        elif decision == "reject":
            opened.reject_deletions()
        guarded = opened.guarded_deletions()
    _print(guarded, as_json, display.guarded_deletions, held=guarded.held)
    sys.exit(1 if guarded.held else 0)


@main.command()
@click.argument("index")
@click.option(
    "--switch",
    "decision",
    flag_value="switch",
    help="Let the generation that is declared be served once it is complete, also if it was rolled back or refuses "
    "texts.",
)
@click.option("--roll-back", "decision", flag_value="roll back", help="Serve the generation that was served before.")
@as_json
def generations(index: str, decision: str | None, as_json: bool) -> None:
    """Show the generations of INDEX, and decide which one is served."""
    with _opened(index) as opened:
        if decision == "switch":
            switched = opened.approve_generation()
            messages.print(
                "it is served from now on" if switched else f"approved: sync {index}, and it is served once complete"
            )
        elif decision == "roll back":
            served = opened.roll_back()
            messages.print(
                f"generation {served.number} is served from now on; it is behind in "
                f"{counted(served.lag.ranges, 'key range', 'key ranges')} "
                f"({counted(served.lag.rows, 'row', 'rows')} at least), which the next sync mends"
            )
        report = opened.generations()
    _print(report, as_json, display.generations)


@main.command()
@click.argument("index")
@click.option("--compare", is_flag=True, help="Ask the golden set of two generations: the served and the next one.")
@click.option("--before", type=int, help="With --compare: number of the one generation, instead of the served one.")
@click.option("--after", type=int, help="With --compare: number of the other generation.")
@click.option("--samples", type=click.IntRange(1, 1000), default=SAMPLES, show_default=True, help="Stored vectors.")
@click.option(
    "--mode",
    type=click.Choice(get_args(SearchMode)),
    help="How to ask the golden set, instead of as declared; the declared floors don't hold for it then.",
)
@as_json
def quality(
    index: str,
    compare: bool,
    before: int | None,
    after: int | None,
    samples: int,
    mode: SearchMode | None,
    as_json: bool,
) -> None:
    """Measure what the ANN indexes of INDEX miss, and how its golden set is answered; exit status 1 below a floor."""
    with _opened(index) as opened:
        if compare or before is not None or after is not None:
            _print(opened.compare_generations(before, after, mode), as_json, display.golden_comparison)
            return
        recall = opened.measure_recall(samples=samples)
        golden = opened.ask_golden_set(mode) if opened.spec.search.golden_set is not None else None
    well = not recall.below and not (golden is not None and golden.below)
    if as_json:
        found = {"recall": _plain(recall), "golden_set": None if golden is None else _plain(golden), "well": well}
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        console.print(display.quality(recall, golden))
    sys.exit(0 if well else 1)


@main.command()
@click.argument("index")
@click.option("--limit", type=click.IntRange(1, MOST_KEPT), default=50, show_default=True, help="Number of queries.")
@click.option("--forget", is_flag=True, help="Remove them all.")
@as_json
def unanswered(index: str, limit: int, forget: bool, as_json: bool) -> None:
    """Show the queries that found nothing in INDEX, those asked most often first.

    The service keeps them for VECTOR_PIPELINE_UNANSWERED_DAYS; without that it keeps none.
    """
    with _opened(index) as opened:
        if forget:
            messages.print(f"{counted(opened.forget_unanswered(), 'query', 'queries')} forgotten")
            return
        found = opened.unanswered(limit)
    if as_json:
        click.echo(json.dumps([_plain(one) for one in found], indent=2, ensure_ascii=False))
    else:
        console.print(display.unanswered(found))


@main.command("accept-schema")
@click.argument("index")
def accept_schema(index: str) -> None:
    """Take the columns of INDEX's table as they are now, after a change of their types that is meant."""
    with _opened(index) as opened:
        changes = opened.accept_schema()
    for change in changes:
        messages.print(f"accepted: {change}", highlight=False, soft_wrap=True, markup=False)
    if not changes:
        messages.print(f"no column of index {index} has become something else")


@main.command()
@click.argument("index")
@click.option("--accept", is_flag=True, help="Take the vectors of now as the measure, so that embedding goes on.")
@as_json
def canary(index: str, accept: bool, as_json: bool) -> None:
    """Tell whether the model of INDEX has changed under its name; exit status 1 if it has. Costs some forty tokens."""
    with _opened(index) as opened:
        drift = opened.look_at_model(accept=accept)
    _print(drift, as_json, display.model_drift, drifted=drift.drifted)
    sys.exit(1 if drift.drifted else 0)


@main.command()
@click.argument("index", nargs=-1)
@as_json
def doctor(index: tuple[str, ...], as_json: bool) -> None:
    """Look at the databases and at the embedding providers of the given indexes, or of all; exit status 1 if something
    is wrong.

    Costs a handful of requests a provider. Where no index is declared, the environment's provider is looked at.
    """
    declarations = [find_declaration(name) for name in index] if index else read_declarations()
    diagnosis = diagnose([declaration.spec for declaration in declarations])
    _print(diagnosis, as_json, display.diagnosis, healthy=diagnosis.healthy)
    sys.exit(0 if diagnosis.healthy else 1)


@main.command()
@click.argument("index")
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@as_json
def erase(index: str, keys: tuple[str, ...], as_json: bool) -> None:
    """Erase rows of INDEX that MySQL no longer has: texts, vectors, quarantine and previews in Dagster, at once.

    Keys are given as search shows them; after `--` they may begin with a minus. What the index hasn't got is told.
    """
    from vector_pipeline.local_instance import ensure_dagster_home  # noqa: PLC0415

    home = ensure_dagster_home()
    import dagster as dg  # noqa: PLC0415 - seconds

    from vector_pipeline.orchestration.erasing import erase_everywhere  # noqa: PLC0415
    from vector_pipeline.orchestration.index_context import IndexContext  # noqa: PLC0415

    declaration = find_declaration(index)
    with _open(declaration) as opened, dg.DagsterInstance.get() as instance:
        report, events = erase_everywhere(instance, IndexContext(declaration), opened, keys, messages.print)
    _print(report, as_json, lambda erased: display.erasure(erased, events, home), events=events)


@main.command()
@click.argument("index")
@click.option("--yes", is_flag=True, help="Don't ask.")
def drop(index: str, yes: bool) -> None:
    """Remove INDEX from PostgreSQL, its vectors included. MySQL is not touched.

    One that was declared at run time is not declared any more either.
    """
    if not yes:
        click.confirm(f"Remove index {index} and all its vectors?", abort=True)
    if find_declaration(index).at_run_time:
        remove_index(index, read_settings())
    else:
        with _opened(index) as opened:
            opened.drop()
    messages.print(f"index {index} is removed")


@main.command("import-legacy")
@click.argument("index")
@click.option("--table", help="The table, as SCHEMA.TABLE. Default: public.INDEX_old.")
@click.option(
    "--text",
    "texts",
    multiple=True,
    help="NAME=COLUMN: the column of a served text. Default: the columns of those names.",
)
@click.option(
    "--vector",
    "vectors",
    multiple=True,
    help="FIELD=COLUMN: the column of a field's vectors; fields without one are embedded. Default: FIELD_embedding.",
)
@click.option(
    "--samples",
    type=click.IntRange(0, 1000),
    default=legacy_import.SAMPLES,
    show_default=True,
    help="Rows whose vectors are compared with what the model gives now, which is paid; 0 trusts the table.",
)
@as_json
def import_from_earlier_service(
    index: str, table: str | None, texts: tuple[str, ...], vectors: tuple[str, ...], samples: int, as_json: bool
) -> None:
    """Take over vectors that an earlier service kept in PostgreSQL, so that INDEX pays for none of their texts again.

    To be called before the first sync. Texts and rows still come from MySQL; the table is only read.
    """
    with _opened(index) as opened:
        report = opened.import_legacy(table, _named_columns(texts), _named_columns(vectors), samples)
    _print(report, as_json, display.legacy_import)


def _named_columns(given: Sequence[str]) -> dict[str, str]:
    pairs = [one.partition("=") for one in given]
    for name, _, column in pairs:
        if not (name and column):
            raise click.UsageError(f"{name!r} names no column; give it as NAME=COLUMN")
    return {name: column for name, _, column in pairs}


@main.group()
def stack() -> None:
    """The embedded MariaDB and PostgreSQL, in the folder .stack."""


@stack.command("up")
def stack_up() -> None:
    """Start it, or find it running; data are kept between starts."""
    from vector_pipeline.embedded import stack as embedded  # noqa: PLC0415

    folder = embedded.default_folder()
    embedded.up(folder, progress=messages.print)
    messages.print(f"the stack is up; its addresses are in {folder / 'environment'}")


@stack.command("down")
def stack_down() -> None:
    """Stop it; data are kept."""
    from vector_pipeline.embedded import stack as embedded  # noqa: PLC0415

    stopped = embedded.down(embedded.default_folder())
    messages.print("the stack is stopped" if stopped else "the stack was not running")


@stack.command("status")
@as_json
def stack_status(as_json: bool) -> None:
    """Tell how it is; exit status 1 if it is not healthy."""
    from vector_pipeline.embedded import stack as embedded  # noqa: PLC0415

    found = embedded.status(embedded.default_folder())
    _print(found, as_json, display.stack_status)
    sys.exit(0 if found.healthy else 1)


@main.command()
def demo() -> None:
    """The main job end to end, on the embedded stack and the local model, with rows that every Python carries."""
    from vector_pipeline.embedded.demo import run_demo  # noqa: PLC0415

    sys.exit(run_demo(console))


@main.command()
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the Dagster UI; 3000 if it is free.")
@click.option("--api-port", type=click.IntRange(1, 65535), help="Port of the HTTP API; 5000 if it is free.")
def dev(port: int | None, api_port: int | None) -> None:
    """Start the embedded stack, Dagster with its UI and the HTTP API until Ctrl-C; the stack stays up."""
    from vector_pipeline.embedded.dev import run_dev  # noqa: PLC0415

    sys.exit(run_dev(messages, port, api_port))


@main.command()
def prepare() -> None:
    """Bring our tables and Dagster's own to this version, and set the limits of its pools: once, before a deployment
    starts."""
    from vector_pipeline.local_instance import ensure_dagster_home  # noqa: PLC0415
    from vector_pipeline.orchestration.preparing import prepare as prepare_deployment  # noqa: PLC0415 - loads Dagster

    ensure_dagster_home()
    prepare_deployment(read_settings(), messages.print)


@main.command()
@click.option("--host", help="Address to serve at. Default: VECTOR_PIPELINE_HOST, else 127.0.0.1.")
@click.option("--port", type=click.IntRange(1, 65535), help="Default: VECTOR_PIPELINE_PORT, else 5000.")
@click.option("--workers", type=click.IntRange(1), help="Processes. Default: VECTOR_PIPELINE_WORKERS, else 1.")
@click.option("--tls-cert", type=click.Path(exists=True), help="PEM file of a certificate, to speak HTTPS.")
@click.option("--tls-key", type=click.Path(exists=True), help="PEM file of its key.")
def serve(**options: object) -> None:
    """Serve the HTTP API until Ctrl-C or SIGTERM; requests under way are answered first."""
    try:
        from vector_pipeline.serving import server  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise _without_the_extra(error) from None
    # The processes that answer read the environment themselves.
    os.environ.update({f"VECTOR_PIPELINE_{name.upper()}": str(given) for name, given in options.items() if given})
    serving = read_serving_settings()
    announcement = f"serving at {serving.url}; {server.announcement(serving)}"
    server.serve(serving, lambda: messages.print(announcement, highlight=False, soft_wrap=True))


@main.command()
def mcp() -> None:
    """Serve the tools for agents (MCP) on standard input and output: what a client on this machine starts itself.

    Over HTTP they are at /mcp of `vector-pipeline serve`.
    """
    try:
        from vector_pipeline.serving.mcp import stdio  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise _without_the_extra(error) from None
    from vector_pipeline.serving.deployment import Deployment  # noqa: PLC0415 - an extra

    stdio.serve_stdio(Deployment(read_settings(), read_serving_settings()))


def _without_the_extra(error: ImportError) -> ConfigurationError:
    return ConfigurationError(f"what serving needs is not installed ({error}): pip install 'vector-pipeline[service]'")


def _sync(index: str, *, quiet: bool) -> SyncReport:
    from vector_pipeline.local_instance import ensure_dagster_home  # noqa: PLC0415

    ensure_dagster_home()
    from vector_pipeline.orchestration.in_process import sync_in_process  # noqa: PLC0415 - loads Dagster: seconds

    with _progress("ranges", quiet=quiet) as advance:
        return sync_in_process(find_declaration(index), on_progress=advance)


def _verify(index: str, *, mark_dirty: bool, quiet: bool) -> ParityReport:
    with _opened(index) as opened, _progress("ranges", quiet=quiet) as advance:
        return opened.verify(mark_dirty=mark_dirty, on_progress=advance)


@contextmanager
def _opened(index: str) -> Iterator[VectorIndex]:
    with _open(find_declaration(index)) as opened:
        yield opened


@contextmanager
def _open(declaration: Declaration, query_cache: QueryCache | None = None) -> Iterator[VectorIndex]:
    declaration.refuse_if_wrong()
    with open_index(
        declaration.spec,
        read_settings(),
        origin=declaration.origin,
        folder=declaration.folder,
        query_cache=query_cache,
    ) as opened:
        yield opened


@contextmanager
def _progress(what: str, *, quiet: bool) -> Iterator[Any]:
    """A progress bar on standard error; yields the function that moves it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=messages, transient=True, disable=quiet) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _print(value: Any, as_json: bool, show: Any, **extra: object) -> None:
    if as_json:
        click.echo(json.dumps(_plain(value) | extra, indent=2, ensure_ascii=False))
    else:
        console.print(show(value))


def _plain(value: Any) -> dict[str, Any]:
    """A report as JSON takes it."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(value), default=_as_text))
    return plain


def _as_text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


main.add_command(init)
main.add_command(keys)
main.add_command(alerts)
main.add_command(reload_declarations)


if __name__ == "__main__":
    main()
