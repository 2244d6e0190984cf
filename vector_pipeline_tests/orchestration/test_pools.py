"""Runs share a provider by its pool, and leave those of other providers alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from vector_pipeline.core.settings import EmbeddingSettings
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.declarations import well_formed_declarations
from vector_pipeline.orchestration.pools import (
    EMBEDDING_POOL,
    RUNS_AT_ONCE,
    next_generation_pool_of,
    pool_of,
    set_pool_limits,
)
from vector_pipeline_tests.dagster_instances import DagsterHome
from vector_pipeline_tests.workbench import question_only

PROJECT = Path(__file__).resolve().parents[2]
OPENAI = {"type": "openai", "host": "https://api.openai.com/v1"}


def spec_with(provider: dict[str, Any] | None, **more: Any) -> IndexSpec:
    return question_only(embedding={"provider": provider, **more})


@pytest.mark.parametrize("provider", [None, {"type": "openai"}, {"type": "openai", "texts_per_request": 7}])
def test_indexes_of_the_environments_provider_share_its_pool(provider: dict[str, Any] | None) -> None:
    assert pool_of(spec_with(provider)) == EMBEDDING_POOL


@pytest.mark.parametrize(
    ("provider", "host"),
    [(OPENAI, "https://api.openai.com"), ({"type": "local"}, None)],
    ids=["a host", "the local model"],
)
def test_the_environments_provider_has_one_pool_also_where_an_index_names_it(
    provider: dict[str, Any], host: str | None
) -> None:
    assert pool_of(spec_with(provider), EmbeddingSettings(host=host)) == EMBEDDING_POOL


def test_builds_wait_for_no_provider_but_their_own() -> None:
    ours, others = (next_generation_pool_of(spec_with(provider)) for provider in (OPENAI, None))
    assert ours != others
    assert ours != pool_of(spec_with(OPENAI))


@pytest.mark.dagster_in_postgres
def test_a_limit_that_an_operator_has_set_stays(instance: dg.DagsterInstance) -> None:
    instance.event_log_storage.set_concurrency_slots(EMBEDDING_POOL, 7)
    set_pool_limits(instance, 3, [spec_with(OPENAI)])
    limits = {pool.name: pool.limit for pool in instance.event_log_storage.get_pool_limits()}
    assert limits[EMBEDDING_POOL] == 7
    assert limits[pool_of(spec_with(OPENAI))] == 3
    assert limits[next_generation_pool_of(spec_with(OPENAI))] == 1


def test_a_malformed_declaration_keeps_no_others_from_their_limits(tmp_path: Path) -> None:
    good = {
        "type": "vector_pipeline.components.VectorIndexComponent",
        "attributes": spec_with(None).model_dump(mode="json", exclude_unset=True),
    }
    for name, document in {"good": good, "bad": {**good, "attributes": {"name": "bad"}}}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "defs.yaml").write_text(yaml.safe_dump(document))
    assert [declaration.spec.name for declaration in well_formed_declarations(tmp_path)] == ["faq"]


def test_indexes_of_one_host_share_a_pool_whatever_their_model() -> None:
    pools = {pool_of(spec_with(OPENAI, model=model)) for model in ("text-embedding-3-small", "text-embedding-3-large")}
    [pool] = pools
    assert pool.startswith("embedding_provider_api_openai_com_v1_")


@pytest.mark.parametrize("host", ["https://api.openai.com", " https://api.openai.com/v1/embeddings/"])
def test_indexes_of_one_host_share_a_pool_however_it_is_written(host: str) -> None:
    assert pool_of(spec_with({"type": "openai", "host": host})) == pool_of(spec_with(OPENAI))


@pytest.mark.parametrize(
    "provider",
    [
        {"type": "openai", "host": "https://me:geheim@models.example.com/v1"},
        {"type": "huggingface", "endpoint": "https://me:geheim@models.example.com"},
    ],
)
def test_no_pool_is_named_after_a_password(provider: dict[str, Any]) -> None:
    assert "geheim" not in pool_of(spec_with(provider))


@pytest.mark.parametrize(
    "provider",
    [
        {"type": "openai", "host": "https://api.openai.com/v2"},
        {"type": "local"},
        {"type": "huggingface"},
        {"type": "custom", "entry_point": "ours"},
    ],
)
def test_another_provider_has_another_pool_of_a_name_that_dagster_takes(provider: dict[str, Any]) -> None:
    pool = pool_of(spec_with(provider), EmbeddingSettings(host="http://127.0.0.1:8080"))
    assert pool not in (EMBEDDING_POOL, pool_of(spec_with(OPENAI)))

    @dg.op(pool=pool)
    def asks() -> None:
        """Nothing: its declaration is what is tried."""

    assert asks.pool == pool


def test_each_pool_of_the_declared_indexes_gets_its_limit(instance: dg.DagsterInstance) -> None:
    specs = [spec_with(OPENAI), spec_with(None)]
    set_pool_limits(instance, 3, specs)
    limits = {pool.name: pool.limit for pool in instance.event_log_storage.get_pool_limits()}
    assert {name: limits[name] for name in map(pool_of, specs)} == dict.fromkeys(map(pool_of, specs), 3)


@pytest.mark.dagster_in_postgres
@pytest.mark.parametrize("file", ["dagster.yaml", "docker/dagster.yaml"])
def test_the_pool_of_an_index_that_is_declared_later_has_the_same_limit(dagster_home: DagsterHome, file: str) -> None:
    concurrency = yaml.safe_load((PROJECT / file).read_text())["concurrency"]
    pool = pool_of(spec_with(OPENAI))
    with dagster_home.instance({"concurrency": concurrency}) as instance:
        set_pool_limits(instance)
        instance.event_log_storage.initialize_concurrency_limit_to_default(pool)  # as the daemon does before a run
        limits = {limit.name: limit.limit for limit in instance.event_log_storage.get_pool_limits()}
    assert limits[pool] == RUNS_AT_ONCE
