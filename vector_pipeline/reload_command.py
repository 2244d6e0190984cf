"""`vector-pipeline reload`: has a running Dagster read the declarations anew, as "Reload" in its UI does."""

from __future__ import annotations

import click
from rich.console import Console

from vector_pipeline.serving.settings import read_serving_settings

messages = Console(stderr=True)


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
