"""How the ANN indexes of an index are: whether they fit into memory, and how hollow deletions have made them.

A graph that is hollow is built anew by the refresh of the search index (REINDEX CONCURRENTLY); this tells how far it
is.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

from vector_pipeline.core.findings import Finding, Verdict
from vector_pipeline.core.store import ann_index, table_indexes
from vector_pipeline.core.store.ann_building import build_bytes, server_cap
from vector_pipeline.core.store.ann_index import Graph
from vector_pipeline.core.store.registry import RegisteredIndex

_MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class AnnHealth:
    """The ANN indexes of an index, and the memory that PostgreSQL has for all of them, in bytes.

    Attributes:
        all_bytes: the ANN indexes of all indexes of the database, which share its memory.
        build_cap: what building one may take.
        wrecks: indexes that a build which was broken off has left: every write pays for them, no search takes them.
    """

    graphs: tuple[Graph, ...]
    all_bytes: int
    shared_buffers: int
    build_cap: int
    wrecks: tuple[str, ...]

    @property
    def hollow(self) -> tuple[Graph, ...]:
        return tuple(graph for graph in self.graphs if ann_index.is_hollow(graph.deleted, graph.vectors))

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is wrong and what to do; empty where nothing is."""
        return judge(self)


def look_at_graphs(connection: psycopg.Connection, index: RegisteredIndex, most_megabytes: int | None) -> AnnHealth:
    """Counts the index's vectors, and reads PostgreSQL's statistics.

    Args:
        most_megabytes: the declared limit of the memory of a build, None for what the server bears.
    """
    row = connection.execute(
        """
        SELECT pg_size_bytes(current_setting('shared_buffers')),
               coalesce(sum(pg_relation_size(to_regclass(format('%I.%I', i.schema_name, a.name)))), 0)::bigint
        FROM vector_pipeline.ann_indexes a
        JOIN vector_pipeline.embedding_indexes i ON i.index_id = a.index_id
        """
    ).fetchone()
    assert row is not None
    present = table_indexes.present(connection, index.schema, index.vectors)
    return AnnHealth(
        graphs=tuple(ann_index.graphs(connection, index)),
        all_bytes=int(row[1]),
        shared_buffers=int(row[0]),
        build_cap=most_megabytes * _MEGABYTE if most_megabytes is not None else server_cap(connection),
        wrecks=tuple(sorted(name for name, valid in present.items() if not valid)),
    )


def judge(health: AnnHealth) -> tuple[Finding, ...]:
    """What the numbers mean."""
    found = []
    if health.all_bytes > health.shared_buffers:
        found.append(
            Finding(
                "memory",
                Verdict.WARNING,
                f"the ANN indexes of this database are {_megabytes(health.all_bytes)}, shared_buffers is "
                f"{_megabytes(health.shared_buffers)}: searches wait for the disk, or the system's cache",
                f"give PostgreSQL more (shared_buffers at least {_megabytes(health.all_bytes * 5 // 4)}), or make the "
                "graphs smaller (storage: halfvec, search.ann_prefix)",
            )
        )
    for graph in health.graphs:
        needed = build_bytes(graph.order, graph.vectors)
        if needed > health.build_cap:
            found.append(
                Finding(
                    graph.name,
                    Verdict.WARNING,
                    f"building it takes {_megabytes(needed)}, and may take {_megabytes(health.build_cap)}: the rest is "
                    "built on disk, many times slower",
                    f"set maintenance_work_mem to {_megabytes(needed)} or more, or declare search.ann_build_megabytes",
                )
            )
    found += [
        Finding(
            graph.name,
            Verdict.WARNING,
            f"it has {graph.vectors:,} vectors, and {graph.deleted:,} were deleted from it since it was built: "
            "searches walk through holes",
            "the next refresh of the search index builds it anew beside itself; at once: materialize search_index",
        )
        for graph in health.hollow
    ]
    found += [
        Finding(
            name,
            Verdict.WARNING,
            "a build that was broken off has left it: every write pays for it, and no search takes it",
            "the next refresh of the search index removes it; at once: materialize search_index",
        )
        for name in health.wrecks
    ]
    return tuple(found)


def _megabytes(size: int) -> str:
    return f"{max(1, round(size / _MEGABYTE)):,} MB"
