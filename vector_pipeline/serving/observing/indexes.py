"""How each index stands, for Prometheus.

Read from PostgreSQL in the background, while somebody asks for metrics, and no more often than is declared: asking
costs nothing, and is answered whatever is down. What can't be read is left out rather than told as it was.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from vector_pipeline.core.errors import VectorPipelineError
from vector_pipeline.core.reports import IndexStatus
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.serving.deployment import Deployment

# Counting the rows of a large index takes a while: at most so much of the time is spent on it.
_LARGEST_SHARE_OF_TIME = 0.1
# Nobody asks any more.
_FORGOTTEN_SECONDS = 900.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Standing:
    status: IndexStatus
    last_synced_key: int | None
    deletions_held: bool
    paused: bool


@dataclass(frozen=True)
class _Look:
    up: bool
    at: float
    indexes: dict[str, _Standing] = field(default_factory=dict)


class IndexFigures:
    """A collector of Prometheus. Its thread lives while it is asked."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._seconds = float(deployment.serving.observing.metrics_seconds)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()
        self._looked = threading.Event()
        self._asked_at = 0.0
        self._look: _Look | None = None

    def close(self) -> None:
        """Ends the thread, at the end of what it is reading."""
        self._closed.set()

    def wait_for_the_first(self, seconds: float) -> None:
        """Lets the first look be made, for so long."""
        self._keep_looking()
        self._looked.wait(seconds)

    def collect(self) -> Iterator[Metric]:
        """What was seen last."""
        self._keep_looking()
        look = self._look
        is_old = look is not None and time.monotonic() - look.at > self._longest_pause
        yield _up(look is not None and look.up and not is_old)
        if look is None or is_old:
            return
        yield _age(time.monotonic() - look.at)
        yield from _families(look.indexes)

    @property
    def _longest_pause(self) -> float:
        """After which what was seen is not told any more: by then there would be something newer if all were well."""
        return 10 * self._seconds + 60

    def _keep_looking(self) -> None:
        with self._lock:
            self._asked_at = time.monotonic()
            if self._closed.is_set() or (self._thread is not None and self._thread.is_alive()):
                return
            self._thread = threading.Thread(target=self._run, name="index-figures", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._closed.is_set() and time.monotonic() - self._asked_at < _FORGOTTEN_SECONDS:
            started = time.monotonic()
            self._look = self._look_at_all()
            self._looked.set()
            taken = time.monotonic() - started
            self._closed.wait(max(self._seconds, taken / _LARGEST_SHARE_OF_TIME))

    def _look_at_all(self) -> _Look:
        try:
            with self._deployment.target() as connection:
                connection.execute("SELECT 1")
            specs = [one.spec for one in self._deployment.declarations() if not one.problems]
        except VectorPipelineError:
            return _Look(False, time.monotonic())
        found = {spec.name: standing for spec in specs if (standing := self._standing(spec)) is not None}
        return _Look(True, time.monotonic(), found)

    def _standing(self, spec: IndexSpec) -> _Standing | None:
        try:
            with self._deployment.opened(spec.name) as index:
                held = index.guarded_deletions().held
                return _Standing(index.status(), index.last_synced_key(), held, spec.automation.paused)
        except VectorPipelineError as error:
            _log.debug("no figures of index %s: %s", spec.name, error)
            return None


def described_families() -> Iterator[GaugeMetricFamily]:
    """All that may be told, without any index."""
    yield _up(False)
    yield _age(0)
    yield from _families({})


def _up(up: bool) -> GaugeMetricFamily:
    told = "1 if PostgreSQL answers; 0 if not, and then nothing is told of indexes."
    return GaugeMetricFamily("vector_pipeline_up", told, value=float(up))


def _age(seconds: float) -> GaugeMetricFamily:
    told = "How old the figures of indexes are."
    return GaugeMetricFamily("vector_pipeline_index_figures_age_seconds", told, value=seconds)


def _oldest_comparison_at(standing: _Standing) -> float | None:
    moment = standing.status.oldest_check_at
    return None if moment is None else moment.timestamp()


def _last_synced_at(standing: _Standing) -> float | None:
    moment = standing.status.last_synced_at
    return None if moment is None else moment.timestamp()


def _budget_pauses(standing: _Standing) -> bool:
    budget = standing.status.budget
    return budget is not None and budget.pauses


_FIGURES: Mapping[str, tuple[str, Callable[[_Standing], float | None]]] = {
    "documents": ("Documents.", lambda one: one.status.documents),
    "ranges": ("Key ranges.", lambda one: one.status.ranges),
    "ranges_dirty": ("Key ranges that are not in step.", lambda one: one.status.ranges_dirty),
    "lag_rows": ("Rows, at least, that it is behind its table.", lambda one: one.status.lag.rows),
    "lag_seconds": ("For how long it has been behind its table.", lambda one: one.status.lag.seconds),
    "oldest_comparison_timestamp_seconds": (
        "When the range that was compared with its table longest ago was; it stands still while the daemon is down.",
        _oldest_comparison_at,
    ),
    "coverage_ratio": ("Share of texts found by their current vector, 0 to 1.", lambda one: one.status.coverage),
    "quarantined": ("Texts that the provider has refused.", lambda one: one.status.quarantined),
    "last_synced_timestamp_seconds": ("When a range was last synced.", _last_synced_at),
    "last_synced_key": (
        "The greatest key with a document, where keys are whole numbers; others may be personal.",
        lambda one: one.last_synced_key,
    ),
    "spent_today_usd": ("Cost of embedding since 00:00 UTC.", lambda one: one.status.spent_today.cost),
    "tokens_today": ("Tokens embedded since 00:00 UTC.", lambda one: one.status.spent_today.tokens),
    "budget_paused": ("1 while texts wait since today's budget is spent.", _budget_pauses),
    "paused": ("1 where its declaration pauses it: it is not compared with its table.", lambda one: one.paused),
    "deletions_held": ("1 while a mass deletion waits for somebody to decide.", lambda one: one.deletions_held),
}


def _families(indexes: Mapping[str, _Standing]) -> Iterator[GaugeMetricFamily]:
    for name, (told, figure) in _FIGURES.items():
        family = GaugeMetricFamily(f"vector_pipeline_index_{name}", told, labels=("index",))
        for index, standing in indexes.items():
            value = figure(standing)
            if value is not None:
                family.add_metric((index,), float(value))
        yield family
