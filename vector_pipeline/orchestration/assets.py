"""The lineage of one index: rows (in MySQL) → documents → embeddings → search_index. A few lines each over the core."""

import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import dagster as dg

from vector_pipeline.core.declaration import is_usable_owner
from vector_pipeline.core.index import VectorIndex
from vector_pipeline.core.reports import RangeDocuments
from vector_pipeline.core.source.plan import source_column_name
from vector_pipeline.core.store.names import bounded
from vector_pipeline.orchestration import metadata
from vector_pipeline.orchestration.build_progress import tell_of_build
from vector_pipeline.orchestration.index_context import IndexContext
from vector_pipeline.orchestration.next_generation import build_next_generation_asset
from vector_pipeline.orchestration.pools import pool_of
from vector_pipeline.orchestration.resources import IndexesResource

ROWS, DOCUMENTS, EMBEDDINGS, SEARCH_INDEX = "rows", "documents", "embeddings", "search_index"

_PARTITION = "A partition is a key range, named by where it begins."
_COUNTED = "What begins with `run_` counts all ranges of the run, the rest this one."
_COUNTED_TEXTS = "Texts, tokens, requests and seconds count all ranges of the run, passages this one."
# The ANN index and the view follow each vector by themselves. With a version for each run's vectors, `search_index`
# would be shown as "Unsynced" after every sync until the night, with nothing to be done about it.
_FOLLOWED = dg.DataVersion("generation 1")

with warnings.catch_warnings():
    warnings.simplefilter("ignore", dg.BetaWarning)
    # Dagster itself adds the YAML file and its line.
    _CODE = dg.CodeReferencesMetadataValue(
        code_references=[dg.LocalFileCodeReference(file_path=__file__, label="asset")]
    )


def build_assets(index: IndexContext) -> list[dg.AssetSpec | dg.AssetsDefinition]:
    """The assets of an index, in the order of the data's way."""
    documents, embeddings = _documents(index), _embeddings(index)
    next_generation = build_next_generation_asset(
        index, index.key(DOCUMENTS), _table(index, "vectors_… and passages_…", _vector_columns())
    )
    return [_rows(index), documents, embeddings, next_generation, _search_index(index)]


def _rows(index: IndexContext) -> dg.AssetSpec:
    spec = index.declaration.spec
    columns = [*spec.source.key_columns, *_source_columns(index)]
    return dg.AssetSpec(
        index.key(ROWS),
        partitions_def=index.ranges,
        description=_described(index, f"The rows of {spec.source.described} in MySQL. {_PARTITION}"),
        kinds={"mysql", "table"},
        metadata={
            "dagster/table_name": ".".join(filter(None, (spec.source.database, spec.source.table))),
            "dagster/column_schema": dg.TableSchema(columns=[dg.TableColumn(name) for name in columns]),
            "dagster/code_references": _CODE,
        },
        group_name=index.prefix,
        owners=_owners(index),
    )


def _documents(index: IndexContext) -> dg.AssetsDefinition:
    spec = index.declaration.spec
    columns = [
        dg.TableColumn("key"),
        dg.TableColumn("range_id", "integer", "The key range, that is the partition, that the row is in."),
        *map(dg.TableColumn, spec.document.text),
        dg.TableColumn("metadata", "jsonb", "Served with a hit, and no reason to embed anew."),
    ]

    @dg.asset(
        key=index.key(DOCUMENTS),
        partitions_def=index.ranges,
        deps=[index.key(ROWS)],
        backfill_policy=dg.BackfillPolicy.multi_run(spec.automation.ranges_per_run),
        description=_described(
            index, f"One document a row, and its texts; equal to the rows after each run. {_COUNTED}"
        ),
        kinds={"postgres", "python"},
        metadata=_table(index, "documents", columns),
        group_name=index.prefix,
        owners=_owners(index),
    )
    def documents(context: dg.AssetExecutionContext, indexes: IndexesResource) -> dg.MaterializeResult[Any]:
        done: list[RangeDocuments] = []
        with indexes.open_for_run(index.declaration, context.run.run_id) as opened:
            try:
                for facts in opened.sync_documents(context.partition_keys):
                    done.append(facts)
                    context.add_asset_metadata(metadata.of_range_documents(facts), partition_key=facts.partition)
            except BaseException:  # a run that is cancelled, too
                _report_committed(context, done)
                raise
            preview = opened.preview_documents(context.partition_keys) if spec.document.previews else None
        context.log.info("%d ranges, %d rows read", len(done), sum(facts.rows_read for facts in done))
        return dg.MaterializeResult(metadata=metadata.of_documents(done, preview))

    return documents


def _report_committed(context: dg.AssetExecutionContext, done: Sequence[RangeDocuments]) -> None:
    """Ranges whose transaction went through are not to be shown as failed, or missing, with the rest of their run."""
    for facts in done:
        context.log_event(
            dg.AssetMaterialization(
                context.asset_key, partition=facts.partition, metadata=metadata.of_range_documents(facts)
            )
        )


def _embeddings(index: IndexContext) -> dg.AssetsDefinition:
    spec = index.declaration.spec

    @dg.asset(
        key=index.key(EMBEDDINGS),
        partitions_def=index.ranges,
        deps=[index.key(DOCUMENTS)],
        backfill_policy=dg.BackfillPolicy.multi_run(spec.automation.ranges_per_run),
        pool=pool_of(spec),
        description=_described(index, f"One vector for each distinct text; a text is paid for once. {_COUNTED_TEXTS}"),
        kinds={"pgvector", "python"},
        metadata=_table(index, "vectors_…", _vector_columns()),
        group_name=index.prefix,
        owners=_owners(index),
    )
    def embeddings(context: dg.AssetExecutionContext, indexes: IndexesResource) -> dg.MaterializeResult[Any]:
        with indexes.open_for_run(index.declaration, context.run.run_id) as opened:
            try:
                report = opened.embed(context.partition_keys)
            except BaseException:  # as above
                _report_embedded(context, opened)
                raise
            preview = opened.preview_documents(context.partition_keys) if spec.document.previews else None
        for facts in report.ranges:
            context.add_asset_metadata(metadata.of_range_embeddings(facts), partition_key=facts.partition)
            if facts.quarantined:
                context.log.warning("range %s: %d texts are in the quarantine", facts.partition, facts.quarantined)
        if report.paused:
            context.log.warning("%s: at least %d texts wait", report.paused, report.texts_waiting)
        return dg.MaterializeResult(metadata=metadata.of_embeddings(report, preview), data_version=_FOLLOWED)

    return embeddings


def _vector_columns() -> list[dg.TableColumn]:
    return [
        dg.TableColumn("content_hash", "bytea", "Of the text as it is sent to the model: one text has one vector."),
        dg.TableColumn("field", "text", "The embedded field."),
        dg.TableColumn("embedding", "vector", "As the model gave it, or padded to EMBEDDING_EXPECTED_DIM."),
    ]


def _report_embedded(context: dg.AssetExecutionContext, opened: VectorIndex) -> None:
    """As `_report_committed`: a range is done when each of its texts has a vector or is in the quarantine."""
    with suppress(Exception):  # what made the run fail is what to tell
        done = {state.partition for state in opened.ranges() if state.vectors_complete}
        for partition in context.partition_keys:
            if partition in done:
                context.log_event(dg.AssetMaterialization(context.asset_key, partition=partition))


def _search_index(index: IndexContext) -> dg.AssetsDefinition:
    spec = index.declaration.spec
    columns = [
        *map(dg.TableColumn, ("id", *spec.document.text, *spec.document.metadata)),
        *(dg.TableColumn(f"{field}_embedding", "vector", f"Of the {field}.") for field in index.fields),
    ]

    @dg.asset(
        key=index.key(SEARCH_INDEX),
        deps=[dg.AssetDep(index.key(EMBEDDINGS), partition_mapping=dg.AllPartitionMapping())],
        description=_described(index, f"ANN indexes, statistics, and the view `{bounded(spec.name)}`."),
        kinds={"pgvector", "view"},
        metadata={
            "dagster/table_name": f"public.{bounded(spec.name)}",
            "dagster/column_schema": dg.TableSchema(columns=columns),
            "dagster/code_references": _CODE,
        },
        group_name=index.prefix,
        owners=_owners(index),
    )
    def search_index(context: dg.AssetExecutionContext, indexes: IndexesResource) -> dg.MaterializeResult[Any]:
        with indexes.open_for_run(index.declaration, context.run.run_id) as opened:
            report = opened.refresh_search_index(tell_of_build(context.log))
        if report.warning is not None:
            context.log.warning(report.warning)
        return dg.MaterializeResult(metadata=metadata.of_search_index(report))

    return search_index


def _owners(index: IndexContext) -> list[str] | None:
    return [owner for owner in index.declaration.spec.owners if is_usable_owner(owner)] or None


def _table(index: IndexContext, table: str, columns: Sequence[dg.TableColumn]) -> dict[str, Any]:
    return {
        "dagster/table_name": f"{bounded(index.declaration.spec.name)}.{table}",
        "dagster/column_schema": dg.TableSchema(columns=list(columns)),
        "dagster/code_references": _CODE,
    }


def _source_columns(index: IndexContext) -> list[str]:
    document = index.declaration.spec.document
    return [source_column_name(entry) for entry in (*document.text.values(), *document.metadata.values())]


def _described(index: IndexContext, text: str) -> str:
    problems = "\n".join(f"- **{p.field}**: {p.problem}; {p.remedy}" for p in index.declaration.problems)
    if problems:
        return f"⚠ **{index.declaration.origin} is wrong, so this index is not synced:**\n\n{problems}\n\n{text}"
    return "\n\n".join(filter(None, (index.declaration.spec.description, text)))
