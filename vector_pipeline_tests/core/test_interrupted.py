"""A sync that somebody interrupts."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence

import pytest

from vector_pipeline.core.embedding.provider import EmbeddedBatch
from vector_pipeline.core.index import open_index
from vector_pipeline.orchestration.interrupts import keyboard_interrupts
from vector_pipeline_tests.counting_provider import CountingProvider
from vector_pipeline_tests.workbench import Workbench, question_only


class SlowProvider(CountingProvider):
    """Takes its time, and tells when it is asked."""

    def __init__(self) -> None:
        super().__init__(texts_per_request=50)
        self.asked = threading.Event()
        self.delay_seconds = 0.0

    def embed(self, texts: Sequence[str]) -> EmbeddedBatch:
        self.asked.set()
        time.sleep(self.delay_seconds)
        return super().embed(texts)


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM], ids=["interrupted", "asked to end"])
def test_what_was_paid_for_when_it_was_interrupted_is_stored(workbench: Workbench, kind: signal.Signals) -> None:
    """Dagster's default launcher interrupts; Celery and Kubernetes ask to end."""
    workbench.create_faq(100)
    provider = SlowProvider()
    with open_index(question_only(), workbench.settings, provider=provider) as index:
        index.detect()
        partitions = [state.partition for state in index.ranges()]
        list(index.sync_documents(partitions))
        provider.delay_seconds = 1.0
        provider.asked.clear()
        paid_before = len(provider.paid)
        interrupting = threading.Thread(target=_interrupt, args=(provider, kind))
        interrupting.start()
        # A process that was started in the background of a script ignores SIGINT until somebody asks for it.
        with keyboard_interrupts(), pytest.raises(KeyboardInterrupt):
            index.embed(partitions)
        interrupting.join()
    assert len(provider.paid) - paid_before == 100
    assert workbench.postgres("SELECT count(*) FROM faq.vectors_1") == [(100,)]


def _interrupt(provider: SlowProvider, kind: signal.Signals) -> None:
    assert provider.asked.wait(30)
    time.sleep(0.3)  # by now nothing is left to do but to wait for the answers
    os.kill(os.getpid(), kind)
