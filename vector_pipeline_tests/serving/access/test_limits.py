"""How much one caller may ask for, and what answers tell browsers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from ipaddress import ip_network

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from vector_pipeline.serving.access.limits import allow_time
from vector_pipeline.serving.access.needs import SearchCaller
from vector_pipeline.serving.access.settings import AccessSettings, TrustedNetwork
from vector_pipeline_tests.serving.access.small_service import ADMIN_KEY, KEYS, SEARCH_KEY, ask, small_service

ANY_TIME = 3600


def test_who_asks_too_often_is_told_when_to_come_back_and_nobody_else() -> None:
    networks = (TrustedNetwork(ip_network("10.0.0.0/8")),)
    service = small_service(AccessSettings(networks, requests_per_minute=3), KEYS)
    for headers, address in (({"X-API-Key": SEARCH_KEY}, "192.0.2.1"), ({}, "10.0.0.7")):
        answers = [ask(service, "/who", headers, address=address) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
    assert ask(service, "/who", {"X-API-Key": ADMIN_KEY}, address="192.0.2.1").status_code == 200
    assert ask(service, "/who", address="10.0.0.8").status_code == 200
    assert ask(service, "/who", {"X-API-Key": "wrong"}).status_code == 401


def test_what_is_open_and_who_sits_here_is_not_counted() -> None:
    service = small_service(AccessSettings(requests_per_minute=1))
    assert {ask(service, path).status_code for _ in range(3) for path in ("/open", "/who")} == {200}


async def _in_parts() -> AsyncIterator[bytes]:
    for _ in range(20):
        yield b"x" * 10


@pytest.mark.parametrize(("most", "status"), [(200, 200), (199, 413)])
def test_a_body_that_is_too_long_is_refused_whether_its_length_is_told_or_not(most: int, status: int) -> None:
    service = small_service(AccessSettings(most_body_bytes=most))
    for content in (b"x" * 200, _in_parts()):
        answer = ask(service, "/echo", method="POST", content=content)
        assert answer.status_code == status
        assert answer.json() == (200 if status == 200 else {"detail": "the body is longer than 199 bytes"})


def test_a_body_is_not_read_from_whom_is_not_known() -> None:
    service = small_service(AccessSettings(most_body_bytes=10), KEYS)
    assert ask(service, "/echo", method="POST", content=_in_parts()).status_code == 401


def _slow_routes(app: FastAPI) -> None:
    @app.get("/never")
    async def never(_: SearchCaller) -> None:
        await asyncio.sleep(ANY_TIME)

    @app.get("/patient")
    async def patient(request: Request, _: SearchCaller) -> str:
        allow_time(request.scope, ANY_TIME)
        await asyncio.sleep(0.05)
        return "done"

    @app.get("/stream")
    async def stream(_: SearchCaller) -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"begun"
            await asyncio.sleep(0.05)
            yield b" and ended"

        return StreamingResponse(parts())


def test_an_answer_that_does_not_begin_in_time_is_given_up() -> None:
    service = small_service(AccessSettings(most_seconds=0.01), routes=_slow_routes)  # type: ignore[arg-type]
    assert ask(service, "/never").status_code == 504
    assert ask(service, "/patient").json() == "done"
    assert ask(service, "/stream").text == "begun and ended"


@pytest.mark.parametrize("path", ["/open", "/who", "/undeclared", "/nowhere"])
def test_every_answer_tells_browsers_what_it_may_be_used_for(path: str) -> None:
    for service in (small_service(), small_service(keys=KEYS)):
        headers = ask(service, path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "script-src 'self'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"


def test_pages_of_other_servers_may_call_only_where_they_are_named() -> None:
    origin = "https://page.example"
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "X-API-Key"}
    preflight = ask(small_service(keys=KEYS), "/who", asked, method="OPTIONS")
    assert (preflight.status_code, "Access-Control-Allow-Origin" in preflight.headers) == (401, False)

    service = small_service(AccessSettings(cors_origins=(origin,)), KEYS)
    assert ask(service, "/who", asked, method="OPTIONS").headers["Access-Control-Allow-Origin"] == origin
    refused = ask(service, "/who", {"Origin": origin})
    assert (refused.status_code, refused.headers["Access-Control-Allow-Origin"]) == (401, origin)
    other = ask(service, "/who", asked | {"Origin": "https://other.example"}, method="OPTIONS")
    assert "Access-Control-Allow-Origin" not in other.headers
