"""Whom the environment says to serve, and what is told of it at the start."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from vector_pipeline.core.errors import ConfigurationError
from vector_pipeline.core.store.api_keys import AccessScope
from vector_pipeline.serving.access.announcement import who_is_served
from vector_pipeline.serving.access.settings import AccessSettings, TrustedNetwork, read_access_settings

SEARCH, SYNC, ADMIN = AccessScope.SEARCH, AccessScope.SYNC, AccessScope.ADMIN


def test_a_trusted_network_may_search_and_sync_unless_its_scopes_are_named() -> None:
    text = "10.0.0.0/8, 192.168.1.5 = admin,2001:db8::/32=search+sync"
    found = read_access_settings({"VECTOR_PIPELINE_TRUSTED_NETWORKS": text}).trusted_networks
    assert found == (
        TrustedNetwork(ip_network("10.0.0.0/8"), frozenset({SEARCH, SYNC})),
        TrustedNetwork(ip_network("192.168.1.5/32"), frozenset({ADMIN})),
        TrustedNetwork(ip_network("2001:db8::/32"), frozenset({SEARCH, SYNC})),
    )


def test_nothing_said_means_nobody_trusted_no_foreign_pages_and_limits() -> None:
    assert read_access_settings({"VECTOR_PIPELINE_TRUSTED_NETWORKS": ""}) == AccessSettings()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("TRUSTED_NETWORKS", "10.0.0.1/8", "has host bits set"),
        ("TRUSTED_NETWORKS", "10.0.0.0/8=everything", "'everything' is no scope"),
        ("TRUSTED_NETWORKS", "lan", "give networks such as"),
        ("PROXIES", "nginx", "give networks such as"),
        ("CORS_ORIGINS", "*", "is no origin"),
        ("CORS_ORIGINS", "https://example.org/page", "is no origin"),
        ("REQUESTS_PER_MINUTE", "-1", "at least 0"),
        ("MOST_BODY_BYTES", "1MB", "at least 1"),
        ("MOST_SECONDS", "0", "at least 1"),
    ],
)
def test_what_is_unusable_is_named_with_its_remedy(name: str, value: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as refused:
        read_access_settings({f"VECTOR_PIPELINE_{name}": value})
    assert f"VECTOR_PIPELINE_{name}" in str(refused.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "search.example.org", ""])
def test_it_does_not_start_for_others_without_keys_and_networks(host: str) -> None:
    with pytest.raises(ConfigurationError, match="vector-pipeline keys create"):
        who_is_served(host, AccessSettings(), keys_ever_made=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_without_keys_and_networks_it_says_that_it_serves_this_machine_alone(host: str) -> None:
    assert "this machine alone" in who_is_served(host, AccessSettings(), keys_ever_made=False)


def test_who_needs_no_key_is_told_at_the_start() -> None:
    settings = read_access_settings({"VECTOR_PIPELINE_TRUSTED_NETWORKS": "10.0.0.0/8=search, 10.1.0.0/16"})
    for ever_made in (True, False, None):
        told = who_is_served("0.0.0.0", settings, ever_made)
        assert "without one: 10.0.0.0/8 (search), 10.1.0.0/16 (search and sync)" in told
    everybody = read_access_settings({"VECTOR_PIPELINE_TRUSTED_NETWORKS": "0.0.0.0/0"})
    assert "EVERYBODY" in who_is_served("0.0.0.0", everybody, keys_ever_made=True)
    assert "nobody is served until" in who_is_served("0.0.0.0", AccessSettings(), None)
    assert who_is_served("0.0.0.0", AccessSettings(), keys_ever_made=True) == "served: whoever has an API key"
