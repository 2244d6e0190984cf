"""The daily look at an index: its tables, its ANN indexes, what is kept; each number is a plot in the UI.

It changes nothing. What there is to remove and to build anew the refresh of the search index does; dead rows are
autovacuum's. Its two checks tell where that isn't enough, and what to do.
"""

from collections.abc import Sequence

import dagster as dg

from vector_pipeline.core.errors import NotYetSyncedError
from vector_pipeline.core.findings import Finding, Verdict
from vector_pipeline.core.index.tended import Kept
from vector_pipeline.core.store.ann_health import AnnHealth
from vector_pipeline.core.store.table_health import TablesHealth
from vector_pipeline.orchestration.assets import EMBEDDINGS
from vector_pipeline.orchestration.index_context import IndexContext
from vector_pipeline.orchestration.metadata import Metadata, table
from vector_pipeline.orchestration.resources import IndexesResource

MAINTENANCE = "maintenance"
TABLES, GRAPHS = "table_health", "ann_health"
DAILY_MAINTENANCE = "17 5 * * *"
_MEGABYTE = 1024 * 1024


def build_maintenance_asset(index: IndexContext) -> dg.AssetsDefinition:
    """The asset whose runs look."""
    key = index.key(MAINTENANCE)

    @dg.asset(
        key=key,
        # Beside `search_index`, not behind it: a graph of five columns hides what its assets say, and each run of
        # `search_index`, which tells versions apart, would have this one shown as "Unsynced" until the next morning.
        deps=[dg.AssetDep(index.key(EMBEDDINGS), partition_mapping=dg.AllPartitionMapping())],
        check_specs=[
            dg.AssetCheckSpec(
                TABLES,
                asset=key,
                description="Autovacuum keeps up with the tables, and nothing keeps it from doing so.",
            ),
            dg.AssetCheckSpec(
                GRAPHS,
                asset=key,
                description="The ANN indexes fit into memory, and deletions have not made them hollow.",
            ),
        ],
        description="How the tables and ANN indexes are, in numbers. Changes nothing.",
        kinds={"postgres"},
        group_name=index.prefix,
    )
    # Dagster takes the bare type alone where an asset has checks.
    def maintenance(context: dg.AssetExecutionContext, indexes: IndexesResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
        with indexes.open(index.declaration) as opened:
            try:
                tables, graphs, kept = opened.look_at_tables(), opened.look_at_graphs(), opened.kept()
            except NotYetSyncedError as error:
                context.log.info("%s", error)
                nothing = [dg.AssetCheckResult(check_name=name, passed=True) for name in (TABLES, GRAPHS)]
                return dg.MaterializeResult(check_results=nothing)
        return dg.MaterializeResult(
            metadata=of_tables(tables) | of_graphs(graphs) | of_kept(kept),
            check_results=[_result(TABLES, [*tables.findings, *_of_kept(kept)]), _result(GRAPHS, graphs.findings)],
        )

    return maintenance


def build_maintenance_schedule(index: IndexContext, status: dg.DefaultScheduleStatus) -> dg.ScheduleDefinition:
    """Each day, after the nightly refresh."""
    return dg.ScheduleDefinition(
        name=f"{index.prefix}_daily_maintenance",
        target=dg.AssetSelection.assets(index.key(MAINTENANCE)),
        cron_schedule=DAILY_MAINTENANCE,
        default_status=status,
        tags=index.run_tags,
    )


def _result(name: str, findings: Sequence[Finding]) -> dg.AssetCheckResult:
    wrong = any(finding.verdict is Verdict.WRONG for finding in findings)
    listed = "\n".join(f"- {one.what}: {one.found}; do: {one.remedy}" for one in findings)
    return dg.AssetCheckResult(
        check_name=name,
        passed=not findings,
        severity=dg.AssetCheckSeverity.ERROR if wrong else dg.AssetCheckSeverity.WARN,
        description=listed or "well",
        metadata={"findings": len(findings)},
    )


def _of_kept(kept: Kept) -> list[Finding]:
    if not kept.vectors_due and not kept.generations_due:
        return []
    told = f"{kept.vectors_due:,} vectors and {kept.generations_due} generations should have been removed a day ago"
    return [Finding("what is kept", Verdict.WARNING, told, "materialize search_index, which removes them")]


def of_tables(health: TablesHealth) -> Metadata:
    """Numbers of all tables of the index, and the largest ones each."""
    rows = [
        (
            one.named,
            f"{one.size / _MEGABYTE:,.1f}",
            f"{one.index_size / _MEGABYTE:,.1f}",
            f"{one.rows:,}",
            f"{one.dead:,}",
            f"{one.age:,}",
            one.vacuumed_at.isoformat(timespec="seconds") if one.vacuumed_at else "never",
        )
        for one in health.tables[:10]
    ]
    head = ["table", "MB", "MB of indexes", "rows", "dead rows", "age", "vacuumed"]
    return {
        "tables_megabytes": round(sum(one.size + one.index_size for one in health.tables) / _MEGABYTE, 1),
        "dead_rows": sum(one.dead for one in health.tables),
        "largest_dead_share": round(max((one.dead_share for one in health.tables), default=0.0), 3),
        "oldest_transactions": max((one.age for one in health.tables), default=0),
        "share_of_wraparound": max((one.age for one in health.tables), default=0) / 2**31,
        "tables": table(head, rows),
    }


def of_graphs(health: AnnHealth) -> Metadata:
    """Numbers of the ANN indexes."""
    vectors = sum(graph.vectors for graph in health.graphs)
    return {
        "ann_megabytes": round(sum(graph.size for graph in health.graphs) / _MEGABYTE, 1),
        "ann_share_of_shared_buffers": round(health.all_bytes / health.shared_buffers, 3),
        "ann_vectors": vectors,
        "ann_deleted_share": round(sum(g.deleted for g in health.graphs) / vectors, 3) if vectors else 0.0,
        "shared_buffers_megabytes": round(health.shared_buffers / _MEGABYTE),
    }


def of_kept(kept: Kept) -> Metadata:
    """Numbers of what the refresh will remove."""
    return {"vectors_kept": kept.vectors, "generations_kept": kept.generations}
