"""A range that is cut while its texts are at the provider: nothing is paid for twice."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from vector_pipeline.core.embedding.provider import EmbeddedBatch
from vector_pipeline.core.index import open_index
from vector_pipeline_tests.at_once import AtOnce
from vector_pipeline_tests.counting_provider import CountingProvider
from vector_pipeline_tests.workbench import Workbench, question_only


class GatedProvider(CountingProvider):
    """Answers when it is let."""

    def __init__(self) -> None:
        super().__init__(texts_per_request=50)
        self.asked, self.gate = threading.Event(), threading.Event()

    def embed(self, texts: Sequence[str]) -> EmbeddedBatch:
        self.asked.set()
        assert self.gate.wait(30)
        return super().embed(texts)


def test_texts_in_flight_while_their_range_is_cut_are_not_paid_for_again(workbench: Workbench) -> None:
    spec = question_only(range_size=4)
    workbench.create_faq()
    workbench.add_faq([10, 20, 30, 40])
    slow, quick = GatedProvider(), CountingProvider()
    slow.gate.set()  # for the probe
    with open_index(spec, workbench.settings, provider=slow) as index:
        index.detect()
        [whole] = index.ranges()
        list(index.sync_documents([whole.partition]))
    slow.gate.clear()
    slow.asked.clear()

    def embed() -> None:
        with open_index(spec, workbench.settings, provider=slow) as index:
            index.embed([whole.partition])

    runs = AtOnce()
    runs.start(embed)
    assert slow.asked.wait(10)
    workbench.add_faq(range(1, 10))
    with open_index(spec, workbench.settings, provider=quick) as index:
        index.detect()
        pieces = [state.partition for state in index.ranges()][1:]
        list(index.sync_documents(pieces))
        index.embed(pieces)
    slow.gate.set()
    runs.finish()
    assert not slow.paid.keys() & quick.paid.keys()
