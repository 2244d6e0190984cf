"""Builders for tests of the service: a deployment over a workbench, and a server on a free port."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import uvicorn
from fastapi import FastAPI

from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.declarations import Declaration
from vector_pipeline.embedded.ports import choose_port
from vector_pipeline.serving.app import create_app
from vector_pipeline.serving.deployment import Deployment
from vector_pipeline.serving.settings import ServingSettings
from vector_pipeline_tests.workbench import Workbench, faq_spec


def contract_spec(name: str = "faq", **changes: object) -> IndexSpec:
    """An index with the names of the contract: question, answer, link, date."""
    document = {
        "text": {"question": "question", "answer": "answer"},
        "metadata": {"link": "link", "date": "asked"},
    }
    return faq_spec(name, **({"document": document} | changes))


def declared(*specs: IndexSpec) -> list[Declaration]:
    """As if files had declared them."""
    return [Declaration(spec, f"defs/{spec.name}/defs.yaml") for spec in sorted(specs, key=lambda spec: spec.name)]


@contextmanager
def deployment_over(
    bench: Workbench, specs: Sequence[IndexSpec], serving: ServingSettings | None = None
) -> Iterator[Deployment]:
    """A deployment that declares these indexes, closed with the block."""
    deployment = Deployment(bench.settings, serving, lambda: declared(*specs))
    try:
        yield deployment
    finally:
        deployment.close()


@dataclass(frozen=True)
class LiveServer:
    """A server that answers. `client` has its address as base URL."""

    url: str
    deployment: Deployment
    client: httpx.Client


@contextmanager
def live_server(
    bench: Workbench, specs: Sequence[IndexSpec], serving: ServingSettings | None = None
) -> Iterator[LiveServer]:
    """uvicorn in a thread of this process, on a free port of 127.0.0.1."""
    with (
        deployment_over(bench, specs, serving) as deployment,
        served(create_app(deployment)) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        yield LiveServer(url, deployment, client)


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Serves an app; yields its URL."""
    port = choose_port()
    server = _Server(
        uvicorn.Config(app, "127.0.0.1", port, log_config=None, lifespan="on", server_header=False, proxy_headers=False)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert server.answers.wait(30), "the server does not start"
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


class _Server(uvicorn.Server):
    """Tells when it answers."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answers = threading.Event()

    async def startup(self, sockets: list[object] | None = None) -> None:
        await super().startup(sockets)  # type: ignore[arg-type]
        self.answers.set()
