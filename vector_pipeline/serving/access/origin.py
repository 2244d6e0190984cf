"""Where a request comes from: the address of who asks, behind proxies too, and whether a page of somebody else's had a
browser send it.

Who is served by address alone, without a key, must not be anybody whom a proxy or a browser on that address lets in.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from vector_pipeline.serving.access.settings import Address, Network

# What proxies set. Many are set up to tell the protocol or the name alone, or nothing but themselves.
_FORWARDED = (
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "forwarded",
    "via",
    "x-real-ip",
    "x-client-ip",
    "cf-connecting-ip",
    "true-client-ip",
)
# Nobody can register a name below them (RFC 2606, 6761, 6762 and 8375; .internal by ICANN).
_NOBODYS = (".localhost", ".local", ".internal", ".test", ".home.arpa")


@dataclass(frozen=True)
class Client:
    """Who has sent a request. `address` None where it isn't known; `vouched` tells whether it is that of who asks, and
    not of a proxy between."""

    address: Address | None
    vouched: bool


def client_of(scope: Scope, proxies: Collection[Network]) -> Client:
    """Who asks, as far as what `proxies` say is believed and no others."""
    peer = _address(scope["client"][0]) if scope.get("client") else None
    headers = Headers(scope=scope)
    if peer is None or not _among(peer, proxies):
        return Client(peer, peer is not None and not any(name in headers for name in _FORWARDED))
    chain = [part.strip() for part in ",".join(headers.getlist("x-forwarded-for")).split(",")]
    address = peer
    for part in reversed(chain):
        found = _address(part)
        if found is None:
            return Client(None, vouched=False)
        address = found
        if not _among(found, proxies):
            break
    return Client(address, vouched=True)


def is_ours(host: str | None, hosts: Collection[str]) -> bool:
    """Whether a Host header names this server.

    A page of somebody else's can make its own name point here (DNS rebinding), and a browser then takes this server for
    the page's own. It can do so with no address, no name without a dot and no name that can't be registered.
    """
    name = _host_name(host)
    if not name:
        return False
    return is_this_machine(host, hosts) or "." not in name or name.endswith(_NOBODYS)


def is_this_machine(host: str | None, hosts: Collection[str]) -> bool:
    """Whether a Host header names this server in a way that nobody on its network could have pointed here either.

    Names without a dot and such as end in .local are found by asking the network, where anybody may answer.
    """
    name = _host_name(host)
    if not name:
        return False
    return name in hosts or name == "localhost" or name.endswith(".localhost") or _address(name) is not None


def is_of_a_foreign_page(headers: Headers, origins: Collection[str]) -> bool:
    """Whether a browser says that a page of another server sends this. What somebody opens by a link is theirs."""
    origin = headers.get("origin")
    if origin is None:
        # Of what a page only has loaded, such as an image, no origin is told: it sees nothing of the answer, and yet
        # could make this server work.
        is_opened = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
        return headers.get("sec-fetch-site") in {"cross-site", "same-site"} and not is_opened
    if origin in origins:
        return False
    try:
        return urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
    except ValueError:
        return True


def _host_name(host: str | None) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname if host else None
    except ValueError:
        return None


def _among(address: Address, networks: Collection[Network]) -> bool:
    return any(address in network for network in networks)


def _address(text: str) -> Address | None:
    """An address as headers and sockets write it, with a port or without."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        bare = _host_name(text) if text.count(":") == 1 or text.startswith("[") else None
        return _address(bare) if bare is not None and bare != text else None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found
