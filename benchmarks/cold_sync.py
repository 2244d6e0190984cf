"""The first sync of an index, beside the least that any program must do for it: asking for the vectors.

The bare loop sends the same batches to the same provider with the same number of requests under way, through the
`openai` client, and decodes base64 with numpy; it reads no row and stores no vector. Imports are done before either.
"""

from __future__ import annotations

import base64
import itertools
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import openai

from benchmarks.figures import Figure, Findings
from benchmarks.workplace import MODEL, Workplace, fill_faq, questions
from vector_pipeline.core.embedding import openai_compatible  # noqa: F401 - loaded before the work, not within it
from vector_pipeline.core.index import open_index
from vector_pipeline.core.spec import OpenAIProviderSpec
from vector_pipeline_tests.provider_process import provider_process
from vector_pipeline_tests.workbench import Workbench, question_only

ROWS = 2_000
DIMENSIONS = 1_536
DELAY_MS = 50
ROUNDS = 3
BOUND_SECONDS = 2.0

_PROVIDER = OpenAIProviderSpec()


@dataclass(frozen=True)
class ColdSync:
    """Seconds of one first sync, and of its parts."""

    prepare: float
    detect: float
    documents: float
    embed: float

    @property
    def total(self) -> float:
        return self.prepare + self.detect + self.documents + self.embed


def measure(place: Workplace) -> Findings:
    """The median of some rounds; the bare loop follows each sync at once, so that both meet the same weather."""
    texts = questions(ROWS)
    syncs: list[ColdSync] = []
    bare: list[float] = []
    with provider_process(DIMENSIONS, DELAY_MS) as provider:
        for _ in range(ROUNDS):
            with place.fresh_databases(provider.url) as workbench:
                fill_faq(workbench, texts)
                syncs.append(sync_cold(workbench))
            bare.append(ask_barely(provider.url, texts))
    return Findings(
        "Cold sync",
        f"{ROWS:,} rows × one text at {DIMENSIONS:,} dimensions, range size 1,000, into empty databases; the provider "
        f"is a process of its own on the same machine that takes {DELAY_MS} ms per request of "
        f"{_PROVIDER.texts_per_request} texts, {_PROVIDER.requests_in_flight} at once. From the first query to MySQL "
        f"to the last commit, no ANN index. Medians of {ROUNDS} rounds.",
        _figures(syncs, bare),
    )


def _figures(syncs: Sequence[ColdSync], bare: Sequence[float]) -> list[Figure]:
    median = statistics.median
    ratios = [sync.total / loop for sync, loop in zip(syncs, bare, strict=True)]
    return [
        Figure("cold sync", median(sync.total for sync in syncs), "s", BOUND_SECONDS),
        Figure("… registering the index, its tables", median(sync.prepare for sync in syncs), "s"),
        Figure("… finding the ranges", median(sync.detect for sync in syncs), "s"),
        Figure("… documents", median(sync.documents for sync in syncs), "s"),
        Figure("… embeddings", median(sync.embed for sync in syncs), "s"),
        Figure("bare loop of client calls", median(bare), "s"),
        Figure("cold sync ÷ bare loop, same round", median(ratios), "×"),
        Figure("rows per second", ROWS / median(sync.total for sync in syncs), "/s"),
    ]


def sync_cold(workbench: Workbench) -> ColdSync:
    """Syncs the table `faq` into an empty database."""
    moments = [time.perf_counter()]
    with open_index(question_only(range_size=1000), workbench.settings) as index:
        index.prepare()
        moments.append(time.perf_counter())
        index.detect()
        dirty = [state.partition for state in index.due_ranges()]
        moments.append(time.perf_counter())
        for _ in index.sync_documents(dirty):
            pass
        moments.append(time.perf_counter())
        report = index.embed(dirty)
        moments.append(time.perf_counter())
    assert report.texts_embedded == ROWS, report
    return ColdSync(*(end - start for start, end in itertools.pairwise(moments)))


def ask_barely(url: str, texts: Sequence[str]) -> float:
    """Seconds for the vectors of all texts, and nothing else."""
    size = _PROVIDER.texts_per_request
    started = time.perf_counter()
    with (
        openai.OpenAI(api_key="none", base_url=url, max_retries=0) as client,
        ThreadPoolExecutor(_PROVIDER.requests_in_flight) as pool,
    ):

        def ask(first: int) -> int:
            answer = client.embeddings.create(
                input=list(texts[first : first + size]), model=MODEL, encoding_format="base64"
            )
            vectors = [np.frombuffer(base64.b64decode(str(item.embedding)), np.float32) for item in answer.data]
            return len(vectors)

        assert sum(pool.map(ask, range(0, len(texts), size))) == len(texts)
    return time.perf_counter() - started
