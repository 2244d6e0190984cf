"""`vector-pipeline prepare`, `serve`, `mcp` and `reload`."""

from __future__ import annotations

import os

import click

from vector_pipeline.cli.printing import messages
from vector_pipeline.core.errors import ConfigurationError
from vector_pipeline.core.settings import read_settings
from vector_pipeline.serving.settings import read_serving_settings


@click.command()
def prepare() -> None:
    """Bring our tables and Dagster's own to this version, and set the limits of its pools: once, before a deployment
    starts."""
    from vector_pipeline.local_instance import ensure_dagster_home  # noqa: PLC0415
    from vector_pipeline.orchestration.preparing import prepare as prepare_deployment  # noqa: PLC0415 - loads Dagster

    ensure_dagster_home()
    prepare_deployment(read_settings(), messages.print)


@click.command()
@click.option("--host", help="Address to serve at. Default: VECTOR_PIPELINE_HOST, else 127.0.0.1.")
@click.option("--port", type=click.IntRange(1, 65535), help="Default: VECTOR_PIPELINE_PORT, else 5000.")
@click.option("--workers", type=click.IntRange(1), help="Processes. Default: VECTOR_PIPELINE_WORKERS, else 1.")
@click.option("--tls-cert", type=click.Path(exists=True), help="PEM file of a certificate, to speak HTTPS.")
@click.option("--tls-key", type=click.Path(exists=True), help="PEM file of its key.")
def serve(**options: object) -> None:
    """Serve the HTTP API until Ctrl-C or SIGTERM; requests under way are answered first."""
    try:
        from vector_pipeline.serving import server  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise _without_the_extra(error) from None
    # The processes that answer read the environment themselves.
    os.environ.update({f"VECTOR_PIPELINE_{name.upper()}": str(given) for name, given in options.items() if given})
    serving = read_serving_settings()
    announcement = f"serving at {serving.url}; {server.announcement(serving)}"
    server.serve(serving, lambda: messages.print(announcement, highlight=False, soft_wrap=True))


@click.command()
def mcp() -> None:
    """Serve the tools for agents (MCP) on standard input and output: what a client on this machine starts itself.

    Over HTTP they are at /mcp of `vector-pipeline serve`.
    """
    try:
        from vector_pipeline.serving.mcp import stdio  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise _without_the_extra(error) from None
    from vector_pipeline.serving.deployment import Deployment  # noqa: PLC0415 - an extra

    stdio.serve_stdio(Deployment(read_settings(), read_serving_settings()))


@click.command("reload")
def reload_declarations() -> None:
    """Have Dagster read changed declarations, at VECTOR_PIPELINE_DAGSTER_URL (http://127.0.0.1:3000).

    Until then the UI and the sensors go by the former ones.
    """
    from vector_pipeline.serving.dagster_client import DagsterClient  # noqa: PLC0415 - an HTTP library: a quarter second

    url = read_serving_settings().dagster_url
    with DagsterClient(url) as dagster:
        dagster.reload_code_location()
    messages.print(f"Dagster at {url} has read the declarations anew", highlight=False, soft_wrap=True)


def _without_the_extra(error: ImportError) -> ConfigurationError:
    return ConfigurationError(f"what serving needs is not installed ({error}): pip install 'vector-pipeline[service]'")
