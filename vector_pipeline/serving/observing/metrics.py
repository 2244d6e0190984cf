"""The figures that this process counts for Prometheus.

Labels have few values and name no person: routes by their template, indexes by their declared name, and never a key,
a query or an address. Several processes count into files that whoever is asked adds up (see `exposition`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from vector_pipeline.core.search.query_cache import QueryCacheCounts

# The moment at which each was first counted doubles their number, and nobody reads it.
disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY = CollectorRegistry()

_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
# From a search that is found in memory to the time limit of a request.
_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)

_requests = Histogram(
    "vector_pipeline_http_request_seconds",
    "From the beginning of a request to the end of its answer; the count is that of requests.",
    ("method", "route", "status"),
    registry=REGISTRY,
    buckets=_SECONDS,
)
_under_way = Gauge(
    "vector_pipeline_http_requests_in_progress",
    "Requests that are being answered.",
    registry=REGISTRY,
    multiprocess_mode="livesum",
)
SEARCHES = Counter(
    "vector_pipeline_searches",
    "Searches; answered, refused (nobody could answer it), or failed (a server was down).",
    ("index", "mode", "outcome"),
    registry=REGISTRY,
)
SEARCH_SECONDS = Histogram(
    "vector_pipeline_search_seconds",
    "What the parts of answered searches took: waiting (for a thread, then a connection), embedding, postgresql, "
    "reranking.",
    ("index", "mode", "part"),
    registry=REGISTRY,
    buckets=_SECONDS,
)
PROVIDER_SECONDS = Histogram(
    "vector_pipeline_provider_request_seconds",
    "Requests to embed queries: answered, unavailable, refused (a text), rejected (us), dishonest (no honest vectors) "
    "or failed; those of syncs are made by other processes.",
    ("provider", "outcome"),
    registry=REGISTRY,
    buckets=_SECONDS,
)
_cached = Counter(
    "vector_pipeline_query_cache",
    "Vectors of queries: kept (hit), asked for by somebody else at that moment (shared), asked for (miss).",
    ("found",),
    registry=REGISTRY,
)
POOL_IN_USE = Gauge(
    "vector_pipeline_pool_connections_in_use",
    "Connections to PostgreSQL that somebody works with.",
    ("pool",),
    registry=REGISTRY,
    multiprocess_mode="livesum",
)
POOL_WAITING = Gauge(
    "vector_pipeline_pool_waiting",
    "Those who wait for a connection to PostgreSQL.",
    ("pool",),
    registry=REGISTRY,
    multiprocess_mode="livesum",
)
POOL_MOST = Gauge(
    "vector_pipeline_pool_connections_most",
    "Connections to PostgreSQL that there may be at once.",
    ("pool",),
    registry=REGISTRY,
    multiprocess_mode="livesum",
)


@contextmanager
def request_under_way() -> Iterator[None]:
    """Counts a request among those that are being answered."""
    _under_way.inc()
    try:
        yield
    finally:
        _under_way.dec()


def note_request(method: str, route: str, status: int, seconds: float) -> None:
    """A request was answered."""
    known = method if method in _METHODS else "other"
    _requests.labels(known, route, str(status)).observe(seconds)


class CacheFigures:
    """Brings what a cache of queries has counted into the metrics. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told = QueryCacheCounts(0, 0, 0, 0)

    def note(self, counts: QueryCacheCounts) -> None:
        """As it stands now."""
        with self._lock:
            before = self._told
            if counts.hits + counts.shared + counts.misses <= before.hits + before.shared + before.misses:
                return
            self._told = counts
        _cached.labels("hit").inc(counts.hits - before.hits)
        _cached.labels("shared").inc(counts.shared - before.shared)
        _cached.labels("miss").inc(counts.misses - before.misses)
