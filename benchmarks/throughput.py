"""What the engine makes of a provider: how near it comes to a bare loop, and what limits and outages cost.

The provider is what a sync has to wait for, and pays for. So the measure is the bare loop: client calls with the same
batches, as many at once, base64 decoded with numpy, nothing read from MySQL and nothing stored.
"""

from __future__ import annotations

import base64
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import openai
import psutil

from benchmarks.figures import Figure, Findings
from benchmarks.threads import profiled
from benchmarks.workplace import MODEL, Workplace, fill_faq, questions
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline_tests import syncing_process
from vector_pipeline_tests.provider_process import ProviderProcess, provider_process
from vector_pipeline_tests.syncing_process import Outcome
from vector_pipeline_tests.workbench import Workbench, question_only

TEXTS = 20_000
TEXTS_PER_REQUEST = 64
IN_FLIGHT = 8
DELAY_MS = 512
ROUNDS = 2
# Dimensions, and the share of the bare loop's throughput to be reached with them.
SHARES = {1_024: 0.95, 4_096: 0.90}
MEGABYTE = 1_000_000
BOUND_MEGABYTES = 500.0

ALLOWED_A_SECOND = 20
RATE_SECONDS = 60
START_SECONDS = 10
TEXTS_OF_A_LIMITED_REQUEST = 8

OUTAGE_SECONDS = 60.0
OUTAGE_TEXTS = 6_000


def measure(place: Workplace) -> Findings:
    """All of it, some minutes long."""
    return Findings(
        "The embedding engine",
        f"{TEXTS:,} texts of 60 characters that documents need already, ranges of 1,000, {TEXTS_PER_REQUEST} texts a "
        f"request, against a provider of its own process that works on {IN_FLIGHT} requests at once and takes "
        f"{DELAY_MS} ms for each: 1,000 texts a second. Shares are of the throughput of a bare loop of client calls "
        f"right after each sync, medians of {ROUNDS} rounds. The limited provider lets {ALLOWED_A_SECOND} requests "
        f"pass within any second, and its pace is that after the first {START_SECONDS} s; the outage resets every "
        f"connection for {OUTAGE_SECONDS:.0f} s in the middle of a sync.",
        [*_beside_a_bare_loop(place), *_at_once(place), *_limited(place), *_in_an_outage(place)],
    )


def _spec(texts_per_request: int = TEXTS_PER_REQUEST) -> IndexSpec:
    block = {"type": "openai", "texts_per_request": texts_per_request, "requests_in_flight": IN_FLIGHT}
    return question_only(range_size=1000, embedding={"provider": block})


def _beside_a_bare_loop(place: Workplace) -> Iterator[Figure]:
    texts = questions(TEXTS)
    for dimensions, least in SHARES.items():
        with fixed_capacity(dimensions, DELAY_MS) as (url, _):
            shares, outcomes = [], []
            for _ in range(ROUNDS):
                with place.fresh_databases(url) as workbench:
                    outcomes.append(_sync(workbench, texts))
                shares.append(ask_barely(url, texts) / outcomes[-1].embedding_seconds)
        seconds = statistics.median(outcome.embedding_seconds for outcome in outcomes)
        peak = max(outcome.peak_bytes for outcome in outcomes)
        at = f"at {dimensions:,} dimensions"
        yield Figure(f"throughput ÷ bare loop {at}", statistics.median(shares), "×", at_least=least)
        yield Figure(f"… texts per second {at}", TEXTS / seconds, "/s")
        yield Figure(f"… peak memory {at}", peak / MEGABYTE, "MB", BOUND_MEGABYTES)


def _sync(workbench: Workbench, texts: Sequence[str]) -> Outcome:
    fill_faq(workbench, texts)
    outcome = syncing_process.finish(syncing_process.start(_spec(), workbench.settings))
    assert outcome.embedded == len(texts), outcome
    return outcome


def ask_barely(url: str, texts: Sequence[str]) -> float:
    """Seconds for the vectors of all texts, and nothing else."""
    started = time.perf_counter()
    with (
        openai.OpenAI(api_key="none", base_url=url, max_retries=0) as client,
        ThreadPoolExecutor(IN_FLIGHT) as pool,
    ):

        def ask(first: int) -> int:
            batch = list(texts[first : first + TEXTS_PER_REQUEST])
            answer = client.embeddings.create(input=batch, model=MODEL, encoding_format="base64")
            return len([np.frombuffer(base64.b64decode(str(item.embedding)), np.float32) for item in answer.data])

        assert sum(pool.map(ask, range(0, len(texts), TEXTS_PER_REQUEST))) == len(texts)
    return time.perf_counter() - started


def _at_once(place: Workplace) -> Iterator[Figure]:
    """A provider that answers at once: this machine's two cores are what there is to wait for."""
    texts = questions(TEXTS)
    dimensions = next(iter(SHARES))
    with fixed_capacity(dimensions, 0) as (url, provider), place.fresh_databases(url) as workbench:
        fill_faq(workbench, texts)
        with workbench.index(_spec()) as index:
            index.detect()
            partitions = [state.partition for state in index.due_ranges()]
            for _ in index.sync_documents(partitions):
                pass
            others = {"PostgreSQL": _postmaster(workbench), "the provider": provider}
            started = time.perf_counter()
            with profiled(others) as profile:
                report = index.embed(partitions)
            seconds = time.perf_counter() - started
    assert report.texts_embedded == TEXTS, report
    yield Figure(
        f"texts per second from a provider that answers at once, {dimensions:,} dimensions", TEXTS / seconds, "/s"
    )
    names = {
        "MainThread": "reading, packing, claiming, settling",
        "embedding-request": "requests, decoding, judging",
        "vectors-writer": "writing",
    }
    for name, used in sorted(profile.seconds.items(), key=lambda item: -item[1]):
        if used / seconds > 0.005:
            yield Figure(f"… cores used by {names.get(name, name)}", used / seconds, "cores")


def _postmaster(workbench: Workbench) -> psutil.Process:
    [(backend,)] = workbench.postgres("SELECT pg_backend_pid()")
    [(pid,)] = workbench.postgres("SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::integer")
    del backend
    return psutil.Process(pid)


def _limited(place: Workplace) -> Iterator[Figure]:
    rows = ALLOWED_A_SECOND * TEXTS_OF_A_LIMITED_REQUEST * RATE_SECONDS
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "requests"
        options = (f"--requests-per-second={ALLOWED_A_SECOND}", f"--log={log}")
        with provider_process(64, 20, *options) as provider, place.fresh_databases(provider.url) as workbench:
            fill_faq(workbench, questions(rows))
            spec = _spec(TEXTS_OF_A_LIMITED_REQUEST)
            outcome = syncing_process.finish(syncing_process.start(spec, workbench.settings))
            assert outcome.embedded == rows, outcome
        requests = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    work = [request for request in requests if request["texts"] > 1]
    begin, end = work[0]["time"] + START_SECONDS, work[-1]["time"]
    passed = sum(begin <= request["time"] < end and request["outcome"] == "well" for request in work)
    refused = sum(request["outcome"] == "status 429" for request in work)
    yield Figure(
        f"pace ÷ allowed pace of {ALLOWED_A_SECOND} requests a second",
        passed / (end - begin) / ALLOWED_A_SECOND,
        "×",
        at_least=0.9,
    )
    yield Figure("… requests refused, of all", 100 * refused / len(work), "%", 5.0)


def _in_an_outage(place: Workplace) -> Iterator[Figure]:
    with (
        provider_process(64, 100) as provider,
        place.fresh_databases(provider.url) as workbench,
    ):
        fill_faq(workbench, questions(OUTAGE_TEXTS))
        process = syncing_process.start(_spec(16), workbench.settings)
        _wait_for_texts(provider, OUTAGE_TEXTS // 3)
        before = provider.stats()["requests"]
        provider.behave("reset")
        time.sleep(OUTAGE_SECONDS)
        spent = provider.stats()["requests"] - before
        provider.behave("well")
        up_at = time.monotonic()
        outcome = syncing_process.finish(process)
        stats = provider.stats()
    assert outcome.embedded == OUTAGE_TEXTS, outcome
    yield Figure("requests spent on an outage of a minute", spent, "requests", 20)
    yield Figure("… seconds from its end to that of the sync", time.monotonic() - up_at, "s")
    yield Figure(
        "… texts sent twice", stats["texts"] - stats["distinct_texts"], "texts", 16.0 * (IN_FLIGHT + 1) + spent
    )


def _wait_for_texts(provider: ProviderProcess, texts: int) -> None:
    while provider.stats()["texts"] < texts:
        time.sleep(0.05)


@contextmanager
def fixed_capacity(dimensions: int, delay_ms: float) -> Iterator[tuple[str, psutil.Process]]:
    """A provider's base URL and process."""
    command = [sys.executable, "-m", "benchmarks.fixed_capacity"]
    options = [f"--dimensions={dimensions}", f"--delay-ms={delay_ms}", f"--capacity={IN_FLIGHT}"]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline().split()[-1]
            yield f"http://127.0.0.1:{port}/v1", psutil.Process(process.pid)
        finally:
            process.kill()
