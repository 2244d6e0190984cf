"""A look at the source keeps to its time, and says so when it has not seen everything."""

from __future__ import annotations

import pytest

from vector_pipeline.core.detection import round as look_at_source
from vector_pipeline.core.detection.round import Budget
from vector_pipeline_tests.workbench import Workbench, faq_spec

SLOW = (
    "CREATE OR REPLACE VIEW faq_view AS"
    " SELECT id, question, IF(id = {}, BENCHMARK({}, SHA2(id, 256)), 0) AS link FROM faq"
)
FOREVER = 1_000_000_000
SHORT = Budget(look_seconds=0.1, scrub_seconds=0.1)


@pytest.mark.parametrize("slow", [50, 150, 250])
def test_a_range_that_takes_too_long_is_passed_over_and_the_round_is_not_complete(
    any_workbench: Workbench, monkeypatch: pytest.MonkeyPatch, slow: int
) -> None:
    monkeypatch.setattr(look_at_source, "_LONGEST_STATEMENT_SECONDS", 0.3)
    spec = faq_spec(
        source={"table": "faq_view", "primary_key": "id"},
        document={"text": {"question": "question"}, "metadata": {"link": "link"}},
    )
    any_workbench.create_faq(300)
    any_workbench.mysql(SLOW.format(slow, 1))
    any_workbench.sync(spec)
    with any_workbench.index(spec) as index:
        assert index.detect(SHORT).round_complete
        any_workbench.mysql("UPDATE faq SET question = 'changed'")
        any_workbench.mysql(SLOW.format(slow, FOREVER))
        found = 0
        for _ in range(4):
            look = index.detect(SHORT)
            assert not look.round_complete
            assert "could not be compared" in look.problems["scrub"]
            found = max(found, look.ranges_dirty)
        assert found == 2
        any_workbench.mysql(SLOW.format(slow, 1))
        for _ in range(4):
            look = index.detect(SHORT)
            if look.round_complete:
                break
        assert (look.round_complete, look.ranges_dirty) == (True, 3)
