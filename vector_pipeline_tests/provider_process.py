"""The misbehaving provider as a process of its own: it outlives whoever is killed, and its work is not ours.

Its counts therefore tell what was paid for, however the payer ended.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_STOP_SECONDS = 10


@dataclass(frozen=True)
class ProviderProcess:
    """A provider that listens on 127.0.0.1."""

    port: int

    @property
    def url(self) -> str:
        """The base URL to give to a client."""
        return f"http://127.0.0.1:{self.port}/v1"

    def stats(self) -> dict[str, int]:
        """Requests and texts received, and texts received at least once."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/stats") as answer:
            stats: dict[str, int] = json.load(answer)
        return stats

    def behave(self, manner: str, **details: object) -> None:
        """How it answers from now on."""
        order = json.dumps({"manner": manner, **details}).encode()
        urllib.request.urlopen(f"http://127.0.0.1:{self.port}/behave", data=order).close()

    def reset(self) -> None:
        """Forgets what was counted."""
        urllib.request.urlopen(f"http://127.0.0.1:{self.port}/reset", data=b"{}").close()


@contextmanager
def provider_process(dimensions: int, delay_ms: float = 0.0, *more: str) -> Iterator[ProviderProcess]:
    """Runs a provider for as long as the block; `more` are further options of its command line."""
    command = [sys.executable, "-m", "vector_pipeline_tests.misbehaving_provider"]
    options = [f"--dimensions={dimensions}", f"--delay-ms={delay_ms}"]
    with subprocess.Popen([*command, *options, *more], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            if not said.startswith("listening on "):
                raise RuntimeError(f"the provider's process did not start: {said!r}")
            yield ProviderProcess(int(said.split()[-1]))
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
