"""`vector-pipeline import-legacy`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from vector_pipeline import display
from vector_pipeline.cli.opening import opened_index
from vector_pipeline.cli.printing import as_json, print_report
from vector_pipeline.core import legacy_import


@click.command("import-legacy")
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
    help="Vectors of each field that are compared with what the model gives now, which is paid; 0 trusts the table.",
)
@as_json
def import_from_earlier_service(
    index: str, table: str | None, texts: tuple[str, ...], vectors: tuple[str, ...], samples: int, as_json: bool
) -> None:
    """Take over vectors that an earlier service kept in PostgreSQL, so that INDEX pays for none of their texts again.

    To be called before the first sync. Texts and rows still come from MySQL; the table is only read.
    """
    with opened_index(index) as opened:
        report = opened.import_legacy(table, _named_columns(texts), _named_columns(vectors), samples)
    print_report(report, as_json, display.legacy_import)


def _named_columns(given: Sequence[str]) -> dict[str, str]:
    pairs = [one.partition("=") for one in given]
    for name, _, column in pairs:
        if not (name and column):
            raise click.UsageError(f"{name!r} names no column; give it as NAME=COLUMN")
    return {name: column for name, _, column in pairs}
