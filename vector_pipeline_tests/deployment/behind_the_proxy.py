"""The proxy of compose.prod.yaml before services that run already: the committed Caddyfile, run by Caddy itself."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from vector_pipeline_tests.deployment.compose_file import COMPOSE, DOCKER, PRODUCTION, read_services

UI, API = "dagster.example.org", "search.example.org"
VARIABLES = {
    "DB_HOST": "mysql",
    "PG_HOST": "postgres",
    "PROXY_UI_HOST": UI,
    "PROXY_API_HOST": API,
    "PROXY_TLS": "internal",
}
_ANSWERS_SECONDS = 60


def statuses_behind_the_proxy(folder: Path, key: str) -> dict[str, int] | None:
    """What the world is answered, by what it asks; None where there is no Caddy on this machine.

    Args:
        key: an API key that may search.
    """
    caddy = shutil.which("caddy")
    if caddy is None:
        return None
    with _proxy(folder, caddy) as client:
        known, stranger = ("alice", "open sesame"), ("alice", "wrong")
        foreign, own = {"Origin": "https://evil.example"}, {"Origin": f"https://{UI}"}
        asked = {"query": "{ version }"}
        question = {"query": "register a function"}
        ui, api = f"https://{UI}", f"https://{API}"
        return {
            "the UI without a password": client.get(ui).status_code,
            "the UI with a wrong password": client.get(ui, auth=stranger).status_code,
            "the UI with a password": client.get(ui, auth=known).status_code,
            "GraphQL with a password": client.post(f"{ui}/graphql", auth=known, json=asked, headers=own).status_code,
            "GraphQL from a foreign page": client.post(
                f"{ui}/graphql", auth=known, json=asked, headers=foreign
            ).status_code,
            "the API without a key": client.post(f"{api}/search", json=question).status_code,
            "the API with a key": client.post(
                f"{api}/search", json=question, headers={"Authorization": f"Bearer {key}"}
            ).status_code,
            "the API without TLS": client.get(f"http://{API}/search").status_code,
        }


@contextmanager
def _proxy(folder: Path, caddy: str) -> Iterator[httpx.Client]:
    service = read_services(VARIABLES, [COMPOSE, PRODUCTION])["proxy"]
    hashed = subprocess.run(
        [caddy, "hash-password", "--plaintext", "open sesame"], check=True, capture_output=True, text=True
    )
    users = folder / "proxy_users"
    users.write_text(f"alice {hashed.stdout.strip()}\n")
    own = {"HOME": folder, "XDG_DATA_HOME": folder / "data", "XDG_CONFIG_HOME": folder / "config", "PROXY_USERS": users}
    variables = {**service.environment, **{name: str(path) for name, path in own.items()}, "PATH": os.environ["PATH"]}
    command = [caddy, "run", "--config", DOCKER / "proxy" / "Caddyfile", "--adapter", "caddyfile"]
    with (folder / "proxy.log").open("wb") as log, subprocess.Popen(command, env=variables, stderr=log) as process:
        try:
            authority = folder / "data" / "caddy" / "pki" / "authorities" / "local" / "root.crt"
            _wait_until_it_has_certificates(authority, folder / "proxy.log")
            with httpx.Client(verify=ssl.create_default_context(cafile=str(authority)), timeout=60) as client:
                yield client
        finally:
            process.terminate()


def _wait_until_it_has_certificates(authority: Path, log: Path) -> None:
    deadline = time.monotonic() + _ANSWERS_SECONDS
    obtained: set[str] = set()
    while obtained != {UI, API} or not authority.exists():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
        told = [json.loads(line) for line in log.read_text().splitlines() if line.endswith("}")]
        obtained = {one["identifier"] for one in told if one.get("msg") == "certificate obtained successfully"}
