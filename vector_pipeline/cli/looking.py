"""`vector-pipeline status`, `estimate`, `quality`, `canary` and `doctor`: how an index and all that it needs are."""

from __future__ import annotations

import json
import sys
from typing import get_args

import click

from vector_pipeline import display
from vector_pipeline.cli.opening import opened_declaration, opened_index
from vector_pipeline.cli.printing import as_json, console, jsonable, print_report, print_reports
from vector_pipeline.core.doctor import diagnose
from vector_pipeline.core.estimating import MOST_ROWS
from vector_pipeline.core.search.ann_recall import SAMPLES
from vector_pipeline.core.spec import SearchMode
from vector_pipeline.declarations import find_declaration, read_declarations


@click.command()
@click.argument("index", required=False)
@as_json
def status(index: str | None, as_json: bool) -> None:
    """Show ranges, rows, coverage, lag and quarantine of INDEX, or of all indexes."""
    declarations = [find_declaration(index)] if index else read_declarations()
    found = []
    for declaration in declarations:
        with opened_declaration(declaration) as opened:
            found.append(opened.status())
    print_reports(found, as_json, display.statuses)


@click.command()
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
    with opened_index(index) as opened:
        found = opened.estimate(rows)
    print_report(found, as_json, display.estimate, cost=found.cost, seconds=found.seconds, days=found.days)


@click.command()
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
    with opened_index(index) as opened:
        if compare or before is not None or after is not None:
            print_report(opened.compare_generations(before, after, mode), as_json, display.golden_comparison)
            return
        recall = opened.measure_recall(samples=samples)
        golden = opened.ask_golden_set(mode) if opened.spec.search.golden_set is not None else None
    well = not recall.below and not (golden is not None and golden.below)
    if as_json:
        found = {"recall": jsonable(recall), "golden_set": None if golden is None else jsonable(golden), "well": well}
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        console.print(display.quality(recall, golden))
    sys.exit(0 if well else 1)


@click.command()
@click.argument("index")
@click.option("--accept", is_flag=True, help="Take the vectors of now as the measure, so that embedding goes on.")
@as_json
def canary(index: str, accept: bool, as_json: bool) -> None:
    """Tell whether the model of INDEX has changed under its name; exit status 1 if it has. Costs some forty tokens."""
    with opened_index(index) as opened:
        drift = opened.look_at_model(accept=accept)
    print_report(drift, as_json, display.model_drift, drifted=drift.drifted)
    sys.exit(1 if drift.drifted else 0)


@click.command()
@click.argument("index", nargs=-1)
@as_json
def doctor(index: tuple[str, ...], as_json: bool) -> None:
    """Look at the databases and at the embedding providers of the given indexes, or of all; exit status 1 if something
    is wrong.

    Costs a handful of requests a provider. Where no index is declared, the environment's provider is looked at.
    """
    declarations = [find_declaration(name) for name in index] if index else read_declarations()
    diagnosis = diagnose([declaration.spec for declaration in declarations])
    print_report(diagnosis, as_json, display.diagnosis, healthy=diagnosis.healthy)
    sys.exit(0 if diagnosis.healthy else 1)
