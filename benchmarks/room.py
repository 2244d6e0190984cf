"""The room that an index takes, and what building its ANN index takes: what a plan for many more rows is made from."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.cloud import CloudProvider, make_cloud
from benchmarks.figures import Figure, Findings
from benchmarks.workplace import Workplace, fill_faq
from vector_pipeline.core.index import open_index
from vector_pipeline.core.spec import Storage
from vector_pipeline_tests.workbench import Workbench, faq_spec, sync_all

BUILD_MEGABYTES = 2_000


@dataclass(frozen=True)
class Case:
    """So many rows, each with one vector of so many numbers."""

    numbers: int
    storage: Storage
    rows: int


CASES = (
    Case(1_024, "vector", 50_000),
    Case(1_024, "halfvec", 50_000),
    Case(4_096, "vector", 20_000),
    Case(4_096, "halfvec", 20_000),
)


def measure(place: Workplace) -> Findings:
    """All cases, some minutes long."""
    return Findings(
        "Room",
        "Bytes in PostgreSQL after a first sync and a VACUUM, indexes and TOAST included, of rows with one text of 30 "
        "characters embedded and 60 served along; the ANN index is the one that suits the vectors, built with "
        f"{BUILD_MEGABYTES:,} MB of memory at most, in which its graph fits.",
        [figure for case in CASES for figure in _at(place, case)],
    )


def _at(place: Workplace, case: Case) -> Iterator[Figure]:
    cloud = make_cloud(case.rows, 1, case.numbers)
    with place.fresh_databases("http://127.0.0.1:1/v1") as workbench:
        fill_faq(workbench, cloud.texts)
        spec = faq_spec(
            range_size=5_000,
            document={"text": {"question": "question"}, "metadata": {"link": "link", "answer": "answer"}},
            embedding={"storage": case.storage},
            search={"ann_build_megabytes": BUILD_MEGABYTES},
        )
        with open_index(spec, workbench.settings, provider=CloudProvider(cloud)) as index:
            assert sync_all(index).inserted == case.rows
            workbench.postgres("VACUUM faq.vectors_1")
            stored = _bytes(workbench, "vectors_1")
            started = time.monotonic()
            [built] = index.refresh_search_index().fields
            seconds = time.monotonic() - started
        yield Figure(f"a vector of {case.numbers:,} numbers, {case.storage}", stored / case.rows, "bytes")
        yield Figure(f"… in the ANN index ({built.method})", built.index_bytes / case.rows, "bytes")
        yield Figure(f"… building it, {case.rows:,} vectors", seconds, "s")
        if case == CASES[0]:
            yield Figure("a row's document", _bytes(workbench, "documents") / case.rows, "bytes")
            yield Figure("… and passage", _bytes(workbench, "passages_1") / case.rows, "bytes")


def _bytes(workbench: Workbench, table: str) -> int:
    [(found,)] = workbench.postgres(f"SELECT pg_total_relation_size('faq.{table}')")
    return int(found)
