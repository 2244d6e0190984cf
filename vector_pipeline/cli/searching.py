"""`vector-pipeline search`, `similar` and `unanswered`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TextIO, get_args

import click
from rich.text import Text

from vector_pipeline import display
from vector_pipeline.cli.opening import opened_declaration, opened_index
from vector_pipeline.cli.printing import as_json, console, jsonable, messages, print_report, print_reports
from vector_pipeline.core.counted import counted
from vector_pipeline.core.search import SearchAnswer
from vector_pipeline.core.search.filters import parsed_texts
from vector_pipeline.core.search.many import Answering, cache_for, search_across
from vector_pipeline.core.search.query_cache import QueryCache
from vector_pipeline.core.search.request import SearchRequest, read_field
from vector_pipeline.core.settings import read_settings
from vector_pipeline.core.spec import MOST_HITS, SearchMode
from vector_pipeline.core.store.unanswered_queries import MOST_KEPT
from vector_pipeline.declarations import Declaration, find_declaration, over_rows, read_declarations

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


@click.command()
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
        with opened_index(words[0]) as opened:
            answer = opened.answer(request)
        print_report(answer, as_json, display.search_answer)
        return
    declarations = (
        over_rows(read_declarations()) if every else [find_declaration(name) for name in dict.fromkeys(indexes)]
    )
    cache = QueryCache(cache_for(read_settings().query_cache, len(declarations)))
    asked = {declaration.spec.name: _when_asked(declaration, cache) for declaration in declarations}
    print_report(search_across(asked, request), as_json, display.many_answer)


def _search_many(index: str, requests: Sequence[SearchRequest], as_json: bool) -> None:
    """Prints each answer, or what is wrong with that query; exit status 2 where something is."""
    with opened_index(index) as opened:
        outcomes = opened.search_many(requests)
    if as_json:
        answers = [
            {"query": request.query, "error": str(outcome)} if isinstance(outcome, Exception) else jsonable(outcome)
            for request, outcome in zip(requests, outcomes, strict=True)
        ]
        click.echo(json.dumps(answers, indent=2, ensure_ascii=False))
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
        with opened_declaration(declaration, cache) as opened:
            return opened.answer(request)

    return ask


@click.command()
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
    with opened_index(index) as opened:
        answer = opened.similar(
            key,
            limit=limit,
            threshold=threshold,
            field=read_field(fields),
            generation=generation,
            filter=parsed_texts(filters),
        )
    print_report(answer, as_json, display.search_answer)


@click.command()
@click.argument("index")
@click.option("--limit", type=click.IntRange(1, MOST_KEPT), default=50, show_default=True, help="Number of queries.")
@click.option("--forget", is_flag=True, help="Remove them all.")
@as_json
def unanswered(index: str, limit: int, forget: bool, as_json: bool) -> None:
    """Show the queries that found nothing in INDEX, those asked most often first.

    The service keeps them for VECTOR_PIPELINE_UNANSWERED_DAYS; without that it keeps none.
    """
    with opened_index(index) as opened:
        if forget:
            messages.print(f"{counted(opened.forget_unanswered(), 'query', 'queries')} forgotten")
            return
        found = opened.unanswered(limit)
    print_reports(found, as_json, display.unanswered)
