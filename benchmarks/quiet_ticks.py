"""What a tick of the reconciling sensor costs when nothing has changed: the time of its statements to MySQL."""

from __future__ import annotations

import io
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from typing import Any
from unittest import mock

import dagster as dg
import pymysql

from vector_pipeline.core.spec import IndexSpec
from vector_pipeline_tests.environments import variables_of
from vector_pipeline_tests.orchestration.location import Location
from vector_pipeline_tests.workbench import Workbench

_TICKS_TO_SETTLE = 50


@dataclass(frozen=True)
class QuietTick:
    """One tick: its length, and the time that its client waited for MySQL, statements with digests apart."""

    seconds: float
    finding_seconds: float
    digest_seconds: float
    runs_requested: int


def measure_quiet_ticks(workbench: Workbench, spec: IndexSpec, count: int) -> list[QuietTick]:
    """Ticks until Dagster has been told of all ranges, then measures."""
    with (
        redirect_stderr(io.StringIO()),  # Dagster's log and its warnings of betas
        mock.patch.dict(os.environ, variables_of(workbench.settings)),
        tempfile.TemporaryDirectory(prefix="benchmarks-ticks-") as folder,
        dg.instance_for_test(temp_dir=folder) as instance,
    ):
        location = Location(workbench, instance, spec)
        _settle(location)
        return [_tick(location) for _ in range(count)]


def _settle(location: Location) -> None:
    for _ in range(_TICKS_TO_SETTLE):
        told = location.tick()
        if not told.run_requests and not told.asset_events and not told.dynamic_partitions_requests:
            return
    raise AssertionError("the sensor never comes to rest, though nothing changes")


def _tick(location: Location) -> QuietTick:
    with _timing_statements() as times:
        started = time.perf_counter()
        told = location.tick()
        seconds = time.perf_counter() - started
    return QuietTick(seconds, times.others, times.digests, len(told.run_requests or []))


@dataclass
class _Times:
    digests: float = 0.0
    others: float = 0.0

    def add(self, statement: str, seconds: float) -> None:
        if "BIT_XOR" in statement:
            self.digests += seconds
        else:
            self.others += seconds


@contextmanager
def _timing_statements() -> Iterator[_Times]:
    """Notes what each statement to MySQL takes within the block, as its client sees it."""
    times = _Times()
    execute = pymysql.cursors.Cursor.execute

    def timed(cursor: pymysql.cursors.Cursor, query: str, args: Any = None) -> int:
        started = time.perf_counter()
        try:
            return execute(cursor, query, args)
        finally:
            times.add(query, time.perf_counter() - started)

    with mock.patch.object(pymysql.cursors.Cursor, "execute", timed):
        yield times
