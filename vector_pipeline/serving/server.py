"""What `vector-pipeline serve` runs: uvicorn, with one process or several."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from contextlib import closing, suppress

import psycopg
import uvicorn
from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess

from vector_pipeline.core.errors import ConfigurationError, TargetUnavailableError
from vector_pipeline.core.settings import read_settings
from vector_pipeline.core.store.api_keys import keys_on_file
from vector_pipeline.core.store.connection import connect
from vector_pipeline.serving.access.announcement import who_is_served
from vector_pipeline.serving.app import create_app
from vector_pipeline.serving.deployment import Deployment
from vector_pipeline.serving.observing.exposition import folder_for
from vector_pipeline.serving.observing.logs import set_up_service_logging
from vector_pipeline.serving.observing.tracing import set_up_tracing
from vector_pipeline.serving.settings import ServingSettings, read_serving_settings
from vector_pipeline.serving.threads import set_threads

_BACKLOG = 2048
# Clients and load balancers keep a connection for up to a minute and expect to find it open: uvicorn's own 5 s, which
# are httpx's too, would now and then close one under a request.
_KEEP_ALIVE_SECONDS = 75


def serve(serving: ServingSettings, on_listening: Callable[[], None] = lambda: None) -> None:
    """Serves until it is asked to stop (SIGINT, SIGTERM): then it takes no more requests, answers those under way, and
    closes its connections. The settings are those of the environment, which its processes read again.

    Args:
        on_listening: called once clients can connect.

    Raises:
        ConfigurationError: the address can't be listened at, or the files for TLS can't be used.
    """
    config = uvicorn.Config(
        "vector_pipeline.serving.server:application",
        factory=True,
        workers=serving.workers,
        ssl_certfile=serving.tls_certificate,
        ssl_keyfile=serving.tls_key,
        timeout_graceful_shutdown=serving.shutdown_seconds,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        log_config=None,
        server_header=False,
        # Whom to believe is decided in `access`; an address may have anything in its query, and is logged nowhere.
        proxy_headers=False,
        access_log=False,
        lifespan="on",
    )
    _refuse_unusable_tls(serving)
    with closing(_listen(serving)) as listening, folder_for(serving.workers):
        on_listening()
        if serving.workers > 1:
            set_up_service_logging(serving.observing.log_format)
            Multiprocess(config, sockets=[listening]).run()
        else:
            with suppress(KeyboardInterrupt):
                uvicorn.Server(config).run(sockets=[listening])


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
    serving = read_serving_settings()
    set_up_service_logging(serving.observing.log_format)
    set_up_tracing()
    set_threads("search", serving.search_threads)
    return create_app(Deployment(read_settings(), serving))


def _listen(serving: ServingSettings) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            serving.host, serving.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # closing connections don't hold it
            listening.bind(address)
            listening.listen(_BACKLOG)
        except BaseException:
            listening.close()
            raise
    except OSError as error:
        raise ConfigurationError(
            f"can't listen at {serving.host}, port {serving.port}: {error.strerror or error}; name another with --host "
            "and --port, or VECTOR_PIPELINE_HOST and VECTOR_PIPELINE_PORT"
        ) from None
    listening.set_inheritable(True)
    return listening


def _refuse_unusable_tls(serving: ServingSettings) -> None:
    if serving.tls_certificate is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(serving.tls_certificate, serving.tls_key)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(
            f"the certificate {serving.tls_certificate} and the key {serving.tls_key} can't be used: {error}; give PEM "
            "files that belong together, and a key without a passphrase"
        ) from None
