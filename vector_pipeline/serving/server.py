"""What `vector-pipeline serve` runs: uvicorn, with one process or several."""

from __future__ import annotations

from contextlib import closing

import psycopg
import uvicorn
from fastapi import FastAPI

from vector_pipeline.core.errors import TargetUnavailableError
from vector_pipeline.core.settings import read_settings
from vector_pipeline.core.store.api_keys import keys_on_file
from vector_pipeline.core.store.connection import connect
from vector_pipeline.log_level import set_up_logging
from vector_pipeline.serving.access.announcement import who_is_served
from vector_pipeline.serving.app import create_app
from vector_pipeline.serving.deployment import Deployment
from vector_pipeline.serving.settings import ServingSettings, read_serving_settings
from vector_pipeline.serving.threads import set_threads


def serve(serving: ServingSettings) -> None:
    """Serves until it is asked to stop (SIGINT, SIGTERM): then it takes no more requests, answers those under way, and
    closes its connections. The settings are those of the environment, which its processes read again."""
    uvicorn.run(
        "vector_pipeline.serving.server:application",
        factory=True,
        host=serving.host,
        port=serving.port,
        workers=serving.workers,
        ssl_certfile=serving.tls_certificate,
        ssl_keyfile=serving.tls_key,
        timeout_graceful_shutdown=serving.shutdown_seconds,
        log_config=None,
        server_header=False,
        # Whom to believe is decided in `access`; an address may have anything in its query, and is logged nowhere.
        proxy_headers=False,
        access_log=False,
        lifespan="on",
    )


def announcement(serving: ServingSettings) -> str:
    """Whom it will serve, for whoever starts it.

    Raises:
        ConfigurationError: it is bound to other machines, and may serve nobody there.
    """
    target = read_settings().target
    try:
        with closing(connect(target, "vector-pipeline serve")) as connection:
            ever_made = keys_on_file(connection).ever_made
    except (psycopg.Error, TargetUnavailableError):
        ever_made = None
    return who_is_served(serving.host, serving.access, ever_made)


def application() -> FastAPI:
    """The application of one process, as the environment says."""
    set_up_logging()
    serving = read_serving_settings()
    set_threads("search", serving.search_threads)
    return create_app(Deployment(read_settings(), serving))
