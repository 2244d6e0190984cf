"""Tells who is served when the service starts, which it doesn't where it is bound to others and may serve none."""

from __future__ import annotations

import ipaddress

from vector_pipeline.core.errors import ConfigurationError
from vector_pipeline.serving.access.settings import AccessSettings


def who_is_served(host: str, settings: AccessSettings, keys_ever_made: bool | None) -> str:
    """A sentence for whoever starts it.

    Args:
        host: the address that it is bound to.
        keys_ever_made: None where PostgreSQL can't be asked.

    Raises:
        ConfigurationError: it is bound to other machines, and there is neither a key nor a trusted network.
    """
    networks = ", ".join(str(network) for network in settings.trusted_networks)
    without_key = f"; without one: {networks}" if networks else ""
    if any(network.network.prefixlen == 0 for network in settings.trusted_networks):
        without_key += ", which is EVERYBODY"
    if keys_ever_made or networks:
        return f"served: whoever has an API key{without_key}"
    if keys_ever_made is None:
        return "nobody is served until PostgreSQL says which API keys there are"
    if not is_loopback(host):
        raise ConfigurationError(
            f"VECTOR_PIPELINE_HOST is {host}, which other machines reach, and nobody there may be served: there is no "
            "API key and no trusted network. Make a key (vector-pipeline keys create NAME), or name networks in "
            "VECTOR_PIPELINE_TRUSTED_NETWORKS, or serve this machine alone: VECTOR_PIPELINE_HOST=127.0.0.1"
        )
    return "served: this machine alone, without a key, since there is neither an API key nor a trusted network"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address or name to bind to."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
