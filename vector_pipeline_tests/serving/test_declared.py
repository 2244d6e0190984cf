"""The service knows of what is declared while it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from vector_pipeline.declared_at_run_time import CACHE_VARIABLE
from vector_pipeline.run_time_indexes import declare_index, remove_index
from vector_pipeline_tests.serving.serving import contract_spec, deployment_over
from vector_pipeline_tests.workbench import Workbench, faq_spec


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "declared.json"))


def test_an_index_that_is_declared_or_removed_while_it_runs_is_known_at_once(bench: Workbench) -> None:
    bench.mysql("CREATE TABLE orders LIKE faq")
    orders = faq_spec("orders", source={"table": "orders", "primary_key": "id"})
    with deployment_over(bench, [contract_spec()]) as deployment:
        assert [declaration.spec.name for declaration in deployment.declarations()] == ["faq"]
        declare_index(orders, bench.settings, "a test", deployment.declarations())
        deployment.look_at_declarations_again()
        assert [(d.spec.name, d.at_run_time) for d in deployment.declarations()] == [("faq", False), ("orders", True)]
        remove_index("orders", bench.settings, deployment.declarations())
        deployment.look_at_declarations_again()
        assert [declaration.spec.name for declaration in deployment.declarations()] == ["faq"]
