"""The page that Prometheus reads: what all processes have counted, and how the indexes stand."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from vector_pipeline.serving.observing.indexes import IndexFigures
from vector_pipeline.serving.observing.metrics import REGISTRY

_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Read by prometheus_client, when it is loaded."""
_LABEL = "index"


@dataclass(frozen=True)
class Page:
    """What is answered."""

    content: bytes
    content_type: str


def page(figures: IndexFigures, accept: str, only: Set[str] | None) -> Page:
    """Blocks, but not for long.

    Args:
        accept: the header of that name.
        only: the indexes that may be told of; None for all.
    """
    encode, content_type = choose_encoder(accept)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(_counted(), only))
    registry.register(_Collector(figures.collect(), only))
    return Page(encode(registry), content_type)


@contextmanager
def folder_for(processes: int) -> Iterator[None]:
    """Lets several processes, which are started in the block, count together."""
    given = os.environ.get(_FOLDER)
    if given:
        folder = Path(given)
        folder.mkdir(parents=True, exist_ok=True)
        for left_over in folder.glob("*.db"):
            left_over.unlink()
        yield
    elif processes == 1:
        yield
    else:
        with tempfile.TemporaryDirectory(prefix="vector-pipeline-metrics-") as made:
            os.environ[_FOLDER] = made
            try:
                yield
            finally:
                del os.environ[_FOLDER]


class _Collector:
    """Metrics, without those of indexes that somebody may not see."""

    def __init__(self, metrics: Iterable[Metric], only: Set[str] | None) -> None:
        self._metrics = metrics
        self._only = only

    def collect(self) -> Iterator[Metric]:
        for metric in self._metrics:
            if self._only is not None:
                metric.samples = [one for one in metric.samples if one.labels.get(_LABEL) in {None, *self._only}]
            yield metric


def _counted() -> Iterator[Metric]:
    folder = os.environ.get(_FOLDER)
    if not folder:
        yield from REGISTRY.collect()
        yield from ProcessCollector(registry=None).collect()
        return
    for file in Path(folder).glob("gauge_live*.db"):
        process = int(file.stem.rpartition("_")[2])
        if not _lives(process):
            mark_process_dead(process, folder)  # type: ignore[no-untyped-call]
    yield from MultiProcessCollector(None, folder).collect()  # type: ignore[no-untyped-call]


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
