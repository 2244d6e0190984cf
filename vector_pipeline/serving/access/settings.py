"""Whom this deployment serves, and within which limits, from the variables that `.env.example` documents."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from vector_pipeline.core.errors import ConfigurationError
from vector_pipeline.core.store.api_keys import AccessScope

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_PREFIX = "VECTOR_PIPELINE_"
# What clients of the time before there were keys could do.
_WITHOUT_KEY = frozenset({AccessScope.SEARCH, AccessScope.SYNC})


@dataclass(frozen=True)
class TrustedNetwork:
    """Clients from there need no key for what is in its scopes."""

    network: Network
    scopes: frozenset[AccessScope] = _WITHOUT_KEY

    def __str__(self) -> str:
        return f"{self.network} ({' and '.join(scope for scope in AccessScope if scope in self.scopes)})"


@dataclass(frozen=True)
class AccessSettings:
    """All that the environment says of access.

    Attributes:
        proxies: whose X-Forwarded-For is believed.
        hosts: names of this server, besides its addresses and names that nobody can register; see `hosts`.
        cors_origins: pages of other servers that may call this one from a browser.
        requests_per_minute: of one key or, without a key, one address, in each process; 0 for no limit.
        most_body_bytes: the longest body of a request.
        most_seconds: within which an answer has to begin.
    """

    trusted_networks: tuple[TrustedNetwork, ...] = ()
    proxies: tuple[Network, ...] = ()
    hosts: frozenset[str] = frozenset()
    cors_origins: tuple[str, ...] = ()
    requests_per_minute: int = 60_000
    most_body_bytes: int = 1_048_576
    most_seconds: int = 60

    def trusted(self, address: Address) -> TrustedNetwork | None:
        """The smallest trusted network that an address is in."""
        fitting = [one for one in self.trusted_networks if address in one.network]
        return max(fitting, key=lambda one: one.network.prefixlen, default=None)


def read_access_settings(variables: Mapping[str, str]) -> AccessSettings:
    """Reads the variables.

    Raises:
        ConfigurationError: naming the one that is unusable.
    """
    usual = AccessSettings()
    return AccessSettings(
        trusted_networks=tuple(_trusted(part) for part in _parts(variables, "TRUSTED_NETWORKS")),
        proxies=tuple(_network("PROXIES", part) for part in _parts(variables, "PROXIES")),
        hosts=frozenset(part.lower() for part in _parts(variables, "HOSTS")),
        cors_origins=tuple(_origin(part) for part in _parts(variables, "CORS_ORIGINS")),
        requests_per_minute=_number(variables, "REQUESTS_PER_MINUTE", usual.requests_per_minute, least=0),
        most_body_bytes=_number(variables, "MOST_BODY_BYTES", usual.most_body_bytes),
        most_seconds=_number(variables, "MOST_SECONDS", usual.most_seconds),
    )


def _parts(variables: Mapping[str, str], name: str) -> Iterable[str]:
    return filter(None, (part.strip() for part in variables.get(f"{_PREFIX}{name}", "").split(",")))


def _trusted(part: str) -> TrustedNetwork:
    network, _, scopes = (piece.strip() for piece in part.partition("="))
    if not scopes:
        return TrustedNetwork(_network("TRUSTED_NETWORKS", network))
    known = {scope.value: scope for scope in AccessScope}
    wanted = [scope.strip() for scope in scopes.split("+")]
    unknown = [scope for scope in wanted if scope not in known]
    if unknown:
        raise ConfigurationError(
            f"{_PREFIX}TRUSTED_NETWORKS: {unknown[0]!r} is no scope; write {network}=search+sync, of {', '.join(known)}"
        )
    return TrustedNetwork(_network("TRUSTED_NETWORKS", network), frozenset(known[scope] for scope in wanted))


def _network(name: str, part: str) -> Network:
    try:
        return ipaddress.ip_network(part)
    except ValueError as error:
        raise ConfigurationError(
            f"{_PREFIX}{name}: {error}; give networks such as 10.0.0.0/8, with commas between them"
        ) from None


def _origin(part: str) -> str:
    address = urlsplit(part)
    if address.scheme not in {"http", "https"} or not address.netloc or address.path or address.query:
        raise ConfigurationError(
            f"{_PREFIX}CORS_ORIGINS: {part!r} is no origin; name each, such as https://example.org, with commas "
            "between them"
        )
    return part


def _number(variables: Mapping[str, str], name: str, usual: int, least: int = 1) -> int:
    text = variables.get(f"{_PREFIX}{name}")
    if not text:
        return usual
    if not text.isdecimal() or int(text) < least:
        raise ConfigurationError(f"{_PREFIX}{name} is {text!r}: give a whole number of at least {least}")
    return int(text)
