"""Dagster's real webserver, and what its user interface asks of it when somebody clicks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from vector_pipeline.embedded.ports import choose_port

START_SECONDS = 60
_STOP_SECONDS = 10

# The three as the interface of Dagster 1.13 sends them, less what it wants to show only.
_LAUNCH = """
mutation LaunchPartitionBackfill($backfillParams: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $backfillParams) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PartitionKeysNotFoundError { message }
    ... on PythonError { message }
  }
}
"""
_CANCEL = """
mutation CancelBackfill($backfillId: String!) {
  cancelPartitionBackfill(backfillId: $backfillId) {
    __typename
    ... on CancelBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""
_PARTITIONS = """
query PartitionHealthQuery($assetKey: AssetKeyInput!) {
  assetNodeOrError(assetKey: $assetKey) {
    ... on AssetNode {
      partitionKeysByDimension { partitionKeys }
      assetPartitionStatuses {
        ... on DefaultPartitionStatuses { materializedPartitions materializingPartitions failedPartitions }
      }
    }
  }
}
"""


@dataclass(frozen=True)
class PartitionStatuses:
    """How the partitions of an asset are shown. One that was materialised and failed later is in both."""

    all: tuple[str, ...]
    materialized: frozenset[str]
    materializing: frozenset[str]
    failed: frozenset[str]

    @property
    def missing(self) -> frozenset[str]:
        return frozenset(self.all) - self.materialized - self.failed

    @property
    def missing_or_failed(self) -> tuple[str, ...]:
        """In Dagster's order, as the interface sends them."""
        return tuple(name for name in self.all if name in self.missing | self.failed)


class Interface:
    """The user interface of one webserver, less its looks."""

    def __init__(self, address: str) -> None:
        self.address = address

    def materialize(self, assets: Sequence[dg.AssetKey], partitions: Sequence[str]) -> str:
        """Launches a backfill; returns its id."""
        params = {
            "tags": [],
            "assetSelection": [{"path": key.path} for key in assets],
            "partitionNames": list(partitions),
            "fromFailure": False,
        }
        answer = self._ask(_LAUNCH, backfillParams=params)["launchPartitionBackfill"]
        assert answer["__typename"] == "LaunchBackfillSuccess", answer
        return str(answer["backfillId"])

    def cancel(self, backfill: str) -> None:
        """Asks for the end of a backfill and its runs; the daemon sees to it."""
        answer = self._ask(_CANCEL, backfillId=backfill)["cancelPartitionBackfill"]
        assert answer["__typename"] == "CancelBackfillSuccess", answer

    def partitions(self, asset: dg.AssetKey) -> PartitionStatuses:
        """How the partitions of the asset are shown."""
        node = self._ask(_PARTITIONS, assetKey={"path": asset.path})["assetNodeOrError"]
        [dimension] = node["partitionKeysByDimension"]
        statuses = node["assetPartitionStatuses"]
        return PartitionStatuses(
            tuple(dimension["partitionKeys"]),
            frozenset(statuses["materializedPartitions"]),
            frozenset(statuses["materializingPartitions"]),
            frozenset(statuses["failedPartitions"]),
        )

    def _ask(self, query: str, **variables: Any) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self.address}/graphql",
            data=json.dumps({"query": query, "variables": variables}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as response:
            answer: dict[str, Any] = json.load(response)
        assert "errors" not in answer, answer["errors"]
        data: dict[str, Any] = answer["data"]
        return data


@contextmanager
def webserver(project: Path, log: Path, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """Dagster's webserver, with its code server, in a session of its own that ends with the block.

    It is not up yet when the block begins: see `wait_until_it_answers`.

    Args:
        project: the folder with `workspace.yaml`.
        environment: the variables that differ from ours.
    """
    port = choose_port()
    program = Path(sys.executable).parent / "dagster-webserver"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, "-h", "127.0.0.1", "-p", str(port), "-w", project / "workspace.yaml"],
            cwd=project,
            env=os.environ | dict(environment or {}),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its code server lingers
        process.wait()


def wait_until_it_answers(address: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            urllib.request.urlopen(f"{address}/server_info").close()
            return
        except urllib.error.URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
