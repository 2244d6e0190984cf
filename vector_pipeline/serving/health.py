"""Whether the servers behind this one answer, each with how long it took.

Each look has a thread and a time limit of its own, so that one that hangs is told as one that is down. What is said is
what everybody may know: the reason stands in the log.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Literal

import pymysql

from vector_pipeline.core.embedding.choose import choose_provider
from vector_pipeline.core.embedding.provider import EmbeddingProvider
from vector_pipeline.core.embedding.requesting import HARMLESS_TEXT, request_with_patience
from vector_pipeline.core.errors import VectorPipelineError
from vector_pipeline.core.findings import Verdict
from vector_pipeline.core.source import connection as source_connection
from vector_pipeline.core.spec import EmbeddingSpec
from vector_pipeline.core.store.server_versions import look_at_pgvector, server_version
from vector_pipeline.serving.deployment import Deployment
from vector_pipeline.serving.errors import EMBEDDING_UNAVAILABLE, MYSQL_UNAVAILABLE, SEARCH_ERROR
from vector_pipeline.serving.threads import run_blocking

Server = Literal["mysql", "postgresql", "pgvector", "provider", "dagster"]
NEEDED_BY_SEARCH: tuple[Server, ...] = ("postgresql", "pgvector", "provider")

_SECONDS = 5.0
_WORDS: Mapping[Server, str] = {
    "mysql": MYSQL_UNAVAILABLE,
    "postgresql": SEARCH_ERROR,
    "pgvector": SEARCH_ERROR,
    "provider": EMBEDDING_UNAVAILABLE,
    "dagster": "Dagster unavailable",
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Look:
    """One server: whether it answers, after how long, and its version or what is wrong."""

    up: bool
    seconds: float
    said: str


async def look_at_servers(deployment: Deployment) -> dict[Server, Look]:
    """All of them, side by side."""
    ways: dict[Server, Callable[[], str]] = {
        "mysql": partial(_mysql, deployment),
        "postgresql": partial(_postgresql, deployment),
        "pgvector": partial(_pgvector, deployment),
        "provider": partial(_provider, deployment),
        "dagster": deployment.dagster.version,
    }
    looks = await asyncio.gather(*(_look(name, way) for name, way in ways.items()))
    return dict(zip(ways, looks, strict=True))


async def _look(name: Server, way: Callable[[], str]) -> Look:
    started = time.monotonic()
    try:
        said = await run_blocking("health", way, _SECONDS)
    except (VectorPipelineError, pymysql.MySQLError) as error:
        _log.warning("health of %s: %s", name, error)
        return Look(False, time.monotonic() - started, _WORDS[name])
    return Look(True, time.monotonic() - started, said)


def _mysql(deployment: Deployment) -> str:
    with (
        closing(source_connection.connect(deployment.settings.source, _SECONDS)) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT VERSION()")
        row = cursor.fetchone()
    assert row is not None
    return str(row[0])


def _postgresql(deployment: Deployment) -> str:
    with deployment.target() as connection:
        return server_version(connection)


def _pgvector(deployment: Deployment) -> str:
    with deployment.target() as connection:
        found = look_at_pgvector(connection)
    if found.verdict is Verdict.WRONG:
        raise VectorPipelineError(found.found)
    return found.found


def _provider(deployment: Deployment) -> str:
    """Embeds a word as a query of the contract's index is embedded; the declared way, where there is none yet."""
    try:
        provider = deployment.provider_of(deployment.contract_index().spec.name)
    except VectorPipelineError:
        declared = next((one.spec.embedding for one in deployment.declarations()), EmbeddingSpec())
        with closing(choose_provider(declared, deployment.settings.embedding)) as provider:
            return _embedded_by(provider)
    return _embedded_by(provider)


def _embedded_by(provider: EmbeddingProvider) -> str:
    request_with_patience(provider, [HARMLESS_TEXT], 1)
    return provider.name
