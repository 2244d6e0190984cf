"""The server of the tests as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from vector_pipeline.core.embedding.openai_compatible import OpenAICompatibleProvider
from vector_pipeline.core.errors import ProviderUnavailableError
from vector_pipeline_tests.misbehaving_answers import vectors_of


def call(port: int, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", data) as answer:
        parsed: dict[str, Any] = json.load(answer)
        return parsed


def test_as_a_process_it_serves_counts_misbehaves_and_logs(tmp_path: Path) -> None:
    log = tmp_path / "requests.log"
    command = [sys.executable, "-m", "vector_pipeline_tests.misbehaving_provider"]
    command += ["--dimensions", "6", "--delay-ms", "5", "--log", str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline().removeprefix("listening on "))
        provider = OpenAICompatibleProvider(f"127.0.0.1:{port}", "m")
        assert (provider.embed(["a", "b", "a"]).vectors == vectors_of(["a", "b", "a"], 6)).all()
        assert call(port, "/stats") == {"requests": 1, "texts": 3, "distinct_texts": 2}
        call(port, "/behave", {"manner": "status", "status": 503, "requests": 1})
        with pytest.raises(ProviderUnavailableError):
            provider.embed(["c"])
        assert len(provider.embed(["c"]).vectors) == 1
        call(port, "/reset", {})
        assert call(port, "/stats")["requests"] == 0
        assert call(port, "/v1/models")["data"][0]["object"] == "model"
        process.terminate()
    outcomes = [json.loads(line)["outcome"] for line in log.read_text().splitlines()]
    assert outcomes == ["well", "status 503", "well"]
