"""A column that becomes something else stops its index in Dagster, which says which column and what to do."""

from __future__ import annotations

import dagster as dg
import pytest

from vector_pipeline_tests.orchestration.location import Location


@pytest.mark.long
def test_a_retyped_column_fails_the_declaration_check_by_name_and_nothing_is_synced(location: Location) -> None:
    location.workbench.create_faq(30)
    location.settle()
    location.workbench.mysql("ALTER TABLE faq MODIFY asked VARCHAR(30)")
    location.workbench.mysql("UPDATE faq SET asked = 'soon'")
    with pytest.raises(dg.DagsterInvariantViolationError, match="column 'asked' was datetime"):
        location.tick()
    evaluation = location.check("declaration")
    assert not evaluation.passed
    assert "document.metadata.asked: column 'asked' was datetime" in (evaluation.description or "")
    with location.opened() as index:
        index.accept_schema()
    assert location.settle()
    assert location.check("declaration").passed
    assert location.check("parity").passed
