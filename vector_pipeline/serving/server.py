"""What `vector-pipeline serve` runs: uvicorn, with one process or several."""

from __future__ import annotations

import uvicorn
from fastapi import FastAPI

from vector_pipeline.core.settings import read_settings
from vector_pipeline.log_level import set_up_logging
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
    )


def application() -> FastAPI:
    """The application of one process, as the environment says."""
    set_up_logging()
    serving = read_serving_settings()
    set_threads("search", serving.search_threads)
    return create_app(Deployment(read_settings(), serving))
