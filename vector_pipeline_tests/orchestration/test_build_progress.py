"""How far the building of an ANN index is, as the log of its run tells it."""

from __future__ import annotations

import logging

import pytest

from vector_pipeline.core.store.ann_building import BuildProgress
from vector_pipeline.orchestration.build_progress import tell_of_build


def test_a_run_tells_of_each_phase_and_twentieth_of_a_build_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    tell = tell_of_build(logging.getLogger("a run"))
    for phase, done in (("initializing", 0), ("building index", 0), ("building index", 30), ("building index", 1500)):
        tell(BuildProgress("question", phase, done, 3000))
    assert caplog.messages == [
        "ANN index of question: initializing, 0 of 3,000 vectors",
        "ANN index of question: building index, 0 of 3,000 vectors",
        "ANN index of question: building index, 1,500 of 3,000 vectors",
    ]
