"""Who gets in: by a key, by a trusted address, or as whoever sits at this machine."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_network

import pytest
from fastapi import FastAPI

from vector_pipeline.core.errors import TargetUnavailableError
from vector_pipeline.core.store.api_keys import AccessScope, KeysOnFile, digest_of
from vector_pipeline.serving.access.caller import THIS_MACHINE
from vector_pipeline.serving.access.gate import Gate
from vector_pipeline.serving.access.key_ring import KeyRing
from vector_pipeline.serving.access.needs import doors
from vector_pipeline.serving.access.settings import AccessSettings, TrustedNetwork
from vector_pipeline_tests.serving.access.small_service import (
    ADMIN_KEY,
    FAQ_KEY,
    KEYS,
    SEARCH_KEY,
    SYNC_KEY,
    ask,
    key,
    small_service,
)

INTERNAL = AccessSettings((TrustedNetwork(ip_network("10.0.0.0/8")),))


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"])
def test_without_keys_and_networks_this_machine_may_do_everything(address: str) -> None:
    service = small_service()
    assert ask(service, "/who", address=address).json() == "this machine"
    assert ask(service, "/admin", address=address).status_code == 200


@pytest.mark.parametrize("address", ["10.0.0.7", "192.0.2.1", "2001:db8::1", "", "unix:"])
def test_without_keys_and_networks_nobody_else_is_served_and_told_the_remedy(address: str) -> None:
    refused = ask(small_service(), "/who", address=address)
    assert refused.status_code == 403
    assert "vector-pipeline keys create" in refused.json()["detail"]


def test_once_there_was_a_key_this_machine_needs_one_too() -> None:
    revoked = KeysOnFile({}, ever_made=True)
    for keys in (KEYS, revoked):
        refused = ask(small_service(keys=keys), "/who")
        assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize(
    "headers", [bearer(SEARCH_KEY), {"Authorization": "bearer  for-search"}, {"X-API-Key": SEARCH_KEY}]
)
def test_a_key_is_taken_from_either_header(headers: dict[str, str]) -> None:
    assert ask(small_service(keys=KEYS), "/who", headers, address="192.0.2.1", host="a.b").json() == "key number1"


@pytest.mark.parametrize(
    "headers",
    [
        bearer("for-nothing"),
        {"X-API-Key": "für nichts".encode()},
        {"Authorization": "Basic Zm9yOnNlYXJjaA=="},
        {"Authorization": "Bearer"},
        {"Authorization": f"Bearer {SEARCH_KEY}", "X-API-Key": ADMIN_KEY},
    ],
)
@pytest.mark.parametrize("settings", [AccessSettings(), INTERNAL])
def test_what_is_no_key_is_refused_where_none_is_needed_too(headers: dict[str, str], settings: AccessSettings) -> None:
    for keys in (KEYS, KeysOnFile({}, ever_made=False)):
        refused = ask(small_service(settings, keys), "/who", headers, address="10.0.0.7")
        assert refused.status_code == 401
        assert "Bearer" in refused.headers["WWW-Authenticate"]


def test_a_key_is_not_taken_from_the_query() -> None:
    assert ask(small_service(keys=KEYS), f"/who?api_key={SEARCH_KEY}&key={SEARCH_KEY}").status_code == 401


def test_an_expired_key_is_refused() -> None:
    expired = replace(key(1, AccessScope.SEARCH), expires_at=datetime(2020, 1, 1, tzinfo=UTC))
    service = small_service(keys=KeysOnFile({digest_of(SEARCH_KEY): expired}, ever_made=True))
    assert ask(service, "/who", bearer(SEARCH_KEY)).status_code == 401


def test_a_key_without_the_scope_gets_403_and_the_scope_that_it_lacks() -> None:
    service = small_service(keys=KEYS)
    refused = ask(service, "/who", bearer(SYNC_KEY))
    assert (refused.status_code, refused.json()["detail"]) == (403, "key number2 lacks the scope 'search'")
    assert 'scope="search"' in refused.headers["WWW-Authenticate"]
    assert ask(service, "/admin", bearer(SEARCH_KEY)).status_code == 403
    assert {ask(service, path, bearer(ADMIN_KEY)).status_code for path in ("/who", "/admin")} == {200}


def test_a_key_for_some_indexes_is_for_no_other() -> None:
    service = small_service(keys=KEYS)
    answers = {index: ask(service, f"/indexes/{index}", bearer(FAQ_KEY)).status_code for index in ("faq", "orders")}
    assert answers == {"faq": 200, "orders": 403}
    assert THIS_MACHINE.indexes(["orders", "faq"]) == ["orders", "faq"]


@pytest.mark.parametrize("path", ["/undeclared"])
def test_a_route_that_declares_nothing_serves_nobody(path: str) -> None:
    service = small_service(keys=KEYS)
    assert ask(service, path).status_code == 401
    assert ask(service, path, bearer(ADMIN_KEY)).status_code == 403


def test_what_is_mounted_and_declares_nothing_is_no_application() -> None:
    async def anything(*_: object) -> None:
        raise AssertionError("it was reached")

    with pytest.raises(RuntimeError, match="/careless does not declare what it needs"):
        small_service(routes=lambda app: app.mount("/careless", anything))


def test_fastapi_s_own_pages_are_noticed_as_undeclared() -> None:
    with pytest.raises(RuntimeError, match=r"/openapi\.json"):
        doors(FastAPI().routes)


def test_what_is_open_is_open_to_all_and_only_that() -> None:
    service = small_service(keys=KEYS)
    for path in ("/open", "/page/", "/page/style.css"):
        assert ask(service, path, address="192.0.2.1").status_code == 200
    for path in ("/open/", "/mounted/", "/nowhere", "/pages", "/", "/page/../who"):
        assert ask(service, path, address="192.0.2.1").status_code == 401
    assert ask(service, "/open", method="POST").status_code == 401
    assert ask(service, "/mounted/", bearer(SYNC_KEY)).text == "mounted"


def test_what_is_open_can_still_ask_who_it_is() -> None:
    service = small_service(keys=KEYS)
    assert ask(service, "/open?who=true").status_code == 401
    assert ask(service, "/open?who=true", bearer(SYNC_KEY)).json() == "key number2"


def test_a_trusted_network_needs_no_key_for_its_scopes() -> None:
    service = small_service(
        AccessSettings(
            (
                TrustedNetwork(ip_network("10.0.0.0/8"), frozenset({AccessScope.SYNC})),
                TrustedNetwork(ip_network("10.1.0.0/16"), frozenset({AccessScope.SEARCH})),
                TrustedNetwork(ip_network("2001:db8::/32")),
            )
        )
    )
    assert ask(service, "/who", address="10.2.0.1").status_code == 403
    for address in ("10.1.0.1", "::ffff:10.1.0.1", "2001:db8::5"):
        assert ask(service, "/who", address=address).status_code == 200
        assert ask(service, "/admin", address=address).status_code == 403
    for address in ("11.0.0.1", "127.0.0.1", "2001:db9::1"):
        assert ask(service, "/who", address=address).status_code == 401


@pytest.mark.parametrize(
    "header", ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "X-Real-IP", "Via"]
)
def test_a_proxy_that_is_not_named_lets_nobody_in_by_its_address(header: str) -> None:
    for settings, address in ((INTERNAL, "10.0.0.7"), (AccessSettings(), "127.0.0.1")):
        refused = ask(small_service(settings), "/who", {header: "10.0.0.9"}, address=address)
        assert refused.status_code == 403
        assert "VECTOR_PIPELINE_PROXIES" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("forwarded", "status"),
    [
        ("10.0.0.7", 200),
        ("10.0.0.7:4711", 200),
        ("192.0.2.1", 401),
        ("10.0.0.7, 192.0.2.1", 401),  # what the client itself wrote comes first
        ("192.0.2.1, 10.0.0.7, 172.16.0.9", 200),  # through two proxies that are named
        ("unknown", 401),
        ("", 401),
        (None, 401),
    ],
)
def test_who_asks_through_a_named_proxy_is_who_the_proxy_says(forwarded: str | None, status: int) -> None:
    settings = replace(INTERNAL, proxies=(ip_network("172.16.0.0/12"),))
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    assert ask(small_service(settings), "/who", headers, address="172.16.0.1").status_code == status


def test_a_named_proxy_on_this_machine_does_not_make_others_this_machine() -> None:
    service = small_service(AccessSettings(proxies=(ip_network("127.0.0.1/32"),)))
    assert ask(service, "/who", {"X-Forwarded-For": "192.0.2.1"}).status_code == 403
    assert ask(service, "/who").status_code == 403
    assert ask(service, "/who", {"X-Forwarded-For": "127.0.0.2"}).status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:5000", 200),
        ("127.0.0.1:5000", 200),
        ("[::1]:5000", 200),
        ("search.localhost:5000", 200),
        ("search.example.org", 200),
        ("attacker.example", 403),
        ("127.0.0.1.attacker.example", 403),
        ("localhost.attacker.example", 403),
        ("", 403),
        ("[", 403),
    ],
)
@pytest.mark.parametrize(("settings", "address"), [(AccessSettings(), "127.0.0.1"), (INTERNAL, "10.0.0.7")])
def test_a_name_that_a_foreign_page_may_have_pointed_here_is_refused(
    host: str, status: int, settings: AccessSettings, address: str
) -> None:
    service = small_service(replace(settings, hosts=frozenset({"search.example.org"})))
    assert ask(service, "/who", {"Host": host}, address=address).status_code == status


@pytest.mark.parametrize("host", ["vector-pipeline:5000", "search.internal", "printer.local"])
def test_a_name_that_only_somebody_on_the_network_may_have_pointed_here_is_taken_on_trusted_networks_alone(
    host: str,
) -> None:
    assert ask(small_service(INTERNAL), "/who", {"Host": host}, address="10.0.0.7").status_code == 200
    assert ask(small_service(), "/who", {"Host": host}, address="127.0.0.1").status_code == 403


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:5000", 200),
        ("https://friend.example", 200),
        ("https://attacker.example", 403),
        ("http://localhost:3000", 403),
        ("null", 403),
        ("http://[", 403),
    ],
)
def test_a_foreign_page_cannot_use_that_somebody_needs_no_key(origin: str, status: int) -> None:
    service = small_service(AccessSettings(cors_origins=("https://friend.example",)))
    headers = {"Origin": origin, "Host": "localhost:5000"}
    assert ask(service, "/who", headers).status_code == status


@pytest.mark.parametrize(
    ("fetched", "status"),
    [
        (("cross-site", "no-cors", "image"), 403),
        (("same-site", "cors", "empty"), 403),
        (("cross-site", "navigate", "iframe"), 403),
        (("cross-site", "navigate", "document"), 200),  # somebody follows a link
        (("same-origin", "cors", "empty"), 200),
        (("none", "navigate", "document"), 200),
    ],
)
def test_a_foreign_page_cannot_make_this_server_work_by_what_it_has_loaded(
    fetched: tuple[str, str, str], status: int
) -> None:
    headers = dict(zip(("Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest"), fetched, strict=True))
    assert ask(small_service(), "/who", headers).status_code == status


def test_a_foreign_page_may_use_a_key() -> None:
    headers = {"Origin": "https://other.example", "Host": "search.example.org"} | bearer(SEARCH_KEY)
    assert ask(small_service(keys=KEYS), "/who", headers).status_code == 200


def test_nobody_is_let_in_while_it_is_not_known_which_keys_there_are() -> None:
    def away(_: object) -> KeysOnFile:
        raise TargetUnavailableError("PostgreSQL is away")

    gate = Gate(small_service(), AccessSettings(), KeyRing(away), lambda scope: scope["path"] == "/open")
    for headers in ({}, bearer(SEARCH_KEY)):
        refused = ask(gate, "/who", headers)
        assert (refused.status_code, refused.json()["detail"]) == (503, "Database search error")
    assert ask(gate, "/open").status_code == 200


def test_web_sockets_are_refused() -> None:
    sent: list[object] = []

    async def knock() -> None:
        async def send(message: object) -> None:
            sent.append(message)

        await small_service()({"type": "websocket", "path": "/who", "headers": []}, None, send)  # type: ignore[arg-type]

    asyncio.run(knock())
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_the_openapi_document_tells_what_each_operation_needs_and_how_it_is_refused() -> None:
    operations = {
        path: operation["get"] for path, operation in small_service().openapi()["paths"].items() if path != "/echo"
    }
    assert operations["/open"]["security"] == []
    assert operations["/admin"]["security"] == [{"Bearer": ["admin"]}, {"ApiKey": ["admin"]}, {}]
    assert operations["/indexes/{index}"]["security"][0] == {"Bearer": ["search"]}
    assert {"401", "403", "429", "504"} <= set(operations["/who"]["responses"])
