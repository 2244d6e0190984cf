"""How this deployment is served, from the variables VECTOR_PIPELINE_… that `.env.example` documents."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from vector_pipeline.core.errors import ConfigurationError
from vector_pipeline.serving.access.settings import AccessSettings, read_access_settings
from vector_pipeline.serving.observing.settings import ObservingSettings, read_observing_settings

_PREFIX = "VECTOR_PIPELINE_"
DEFAULT_INDEX = "genie_documents"


@dataclass(frozen=True)
class ServingSettings:
    """All that the environment says of serving.

    Attributes:
        workers: processes that answer.
        dagster_url: where Dagster's webserver is, without a slash at its end.
        dagster_public_url: where people reach it, for the URLs of runs; None for the same.
        contract_index: the index of the routes that name none; None for the only one that is declared, else
            `genie_documents`.
        access: whom it serves, and within which limits.
        tls_certificate, tls_key: PEM files; both or neither. With them HTTPS is spoken.
        shutdown_seconds: how long requests that are under way may take until they end, when it is stopped.
        search_threads: searches that are worked on at once, in a process.
        waiting_seconds: how long a request waits for a connection to PostgreSQL.
        unanswered_days: for how many days a query that found nothing is kept after it was last asked; 0 keeps none.
        observing: what is logged and measured.
    """

    host: str = "127.0.0.1"
    port: int = 5000
    workers: int = 1
    dagster_url: str = "http://127.0.0.1:3000"
    dagster_public_url: str | None = None
    contract_index: str | None = None
    access: AccessSettings = field(default_factory=AccessSettings)
    tls_certificate: str | None = None
    tls_key: str | None = None
    shutdown_seconds: int = 30
    search_threads: int = 16
    waiting_seconds: float = 5.0
    unanswered_days: int = 0
    observing: ObservingSettings = field(default_factory=ObservingSettings)

    @property
    def url(self) -> str:
        """Where it is served, for people on this machine."""
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::", ""} else self.host
        named = f"[{host}]" if ":" in host else host
        return f"{'https' if self.tls_certificate else 'http'}://{named}:{self.port}"


def read_serving_settings(environment: Mapping[str, str] | None = None) -> ServingSettings:
    """Reads the variables.

    Raises:
        ConfigurationError: naming the one that is unusable.
    """
    variables = os.environ if environment is None else environment
    usual = ServingSettings()
    certificate, key = (variables.get(f"{_PREFIX}{name}") or None for name in ("TLS_CERT", "TLS_KEY"))
    if (certificate is None) != (key is None):
        raise ConfigurationError(f"set both {_PREFIX}TLS_CERT and {_PREFIX}TLS_KEY, or neither")
    return ServingSettings(
        host=variables.get(f"{_PREFIX}HOST") or usual.host,
        port=_number(variables, "PORT", usual.port, most=65535),
        workers=_number(variables, "WORKERS", usual.workers),
        dagster_url=(variables.get(f"{_PREFIX}DAGSTER_URL") or usual.dagster_url).rstrip("/"),
        dagster_public_url=variables.get(f"{_PREFIX}DAGSTER_PUBLIC_URL") or None,
        contract_index=variables.get(f"{_PREFIX}CONTRACT_INDEX") or None,
        access=read_access_settings(variables),
        tls_certificate=certificate,
        tls_key=key,
        shutdown_seconds=_number(variables, "SHUTDOWN_SECONDS", usual.shutdown_seconds),
        search_threads=_number(variables, "SEARCH_THREADS", usual.search_threads),
        unanswered_days=_number(variables, "UNANSWERED_DAYS", usual.unanswered_days, most=3650, least=0),
        observing=read_observing_settings(variables),
    )


def _number(variables: Mapping[str, str], name: str, usual: int, most: int | None = None, least: int = 1) -> int:
    text = variables.get(f"{_PREFIX}{name}")
    if not text:
        return usual
    if not text.isdecimal() or int(text) < least or (most is not None and int(text) > most):
        bounds = "above 0" if most is None else f"from {least} to {most}"
        raise ConfigurationError(f"{_PREFIX}{name} is {text!r}: give a whole number {bounds}")
    return int(text)
