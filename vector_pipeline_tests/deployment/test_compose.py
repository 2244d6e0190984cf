"""The compose files and the Dockerfile, as they are written: what an engine would take, and what we promise of them."""

from __future__ import annotations

import json
import re
import shutil
import stat
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from dagster._core.instance.ref import InstanceRef
from dagster_webserver.cli import DEFAULT_POOL_MAX_OVERFLOW

from vector_pipeline.orchestration.celery_launcher import RunLauncher
from vector_pipeline.serving.deployment import OTHER_CONNECTIONS
from vector_pipeline.serving.settings import ServingSettings
from vector_pipeline.serving.threads import WORD_THREADS
from vector_pipeline_tests.deployment.compose_file import (
    COMPOSE,
    DOCKER,
    PRODUCTION,
    WORKERS,
    Service,
    read_file,
    read_services,
)
from vector_pipeline_tests.deployment.dockerfile import read_stages
from vector_pipeline_tests.deployment.interpolation import MissingVariableError, interpolated, variables_in
from vector_pipeline_tests.documentation.blocks import blocks

# Of github.com/compose-spec/compose-spec, Apache-2.0.
SCHEMA = Path(__file__).parent / "compose-spec.json"
NEEDED = {
    "DB_HOST": "mysql.example.org",
    "PG_HOST": "postgres.example.org",
    "PROXY_UI_HOST": "dagster.example.org",
    "PROXY_API_HOST": "search.example.org",
    "PROXY_TLS": "internal",
}
ONE_HOST = read_services({})
IN_PRODUCTION = read_services(NEEDED, [COMPOSE, PRODUCTION])
WITH_WORKERS = read_services({}, [COMPOSE, WORKERS])
ALL = {**WITH_WORKERS, **IN_PRODUCTION}
EVERY = [pytest.param(one, id=one.name) for one in ALL.values()]
OURS = [pytest.param(one, id=one.name) for one in WITH_WORKERS.values() if one.stage]


@pytest.mark.parametrize("path", [COMPOSE, PRODUCTION, WORKERS], ids=lambda path: path.name)
def test_the_file_is_what_the_specification_of_compose_says(path: Path) -> None:
    written = interpolated(read_file(path), NEEDED)
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate(written)


def test_a_file_that_is_not_would_be_refused() -> None:
    broken = {"services": {"api": {"imagine": "vector-pipeline"}}}
    with pytest.raises(jsonschema.ValidationError, match="imagine"):
        jsonschema.validate(broken, json.loads(SCHEMA.read_text()))


@pytest.mark.parametrize("service", EVERY)
def test_a_service_keeps_bounds_of_memory_and_logs(service: Service) -> None:
    once = service.written.get("restart") == "no"
    assert once or service.written["restart"] == "unless-stopped"
    assert once or service.written["deploy"]["resources"]["limits"]["memory"]
    assert set(service.written["logging"]["options"]) == {"max-size", "max-file"}


@pytest.mark.parametrize("service", EVERY)
def test_whoever_others_wait_for_tells_when_it_is_ready(service: Service) -> None:
    for name, condition in service.waits_for.items():
        other = ALL[name]
        if condition == "service_healthy":
            assert other.health, f"{name} is never healthy"
        elif condition == "service_completed_successfully":
            assert other.written["restart"] == "no", f"{name} never ends"


@pytest.mark.parametrize("service", OURS)
def test_a_service_of_ours_may_do_nothing_that_it_needs_not(service: Service) -> None:
    assert service.stage is not None
    assert service.stage.user == "10001:10001"
    assert service.written["read_only"]
    assert service.written["cap_drop"] == ["ALL"]
    assert service.written["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("service", EVERY)
def test_secrets_come_from_files_that_the_service_was_given(service: Service) -> None:
    given = {f"/run/secrets/{name}" for name in service.list_of("secrets")}
    for name, value in service.environment.items():
        assert not name.endswith(("PASSWORD", "_API_KEY", "TOKEN")), f"{name} shows in `docker inspect`"
        if name.endswith("_FILE"):
            assert value in given


def test_on_one_host_only_this_host_reaches_anything() -> None:
    ports = [port for service in ONE_HOST.values() for port in service.list_of("ports")]
    assert len(ports) == 2
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert read_file(COMPOSE)["networks"]["databases"]["internal"]


def test_in_production_only_the_proxy_is_reached_and_the_databases_are_elsewhere() -> None:
    assert [name for name, service in IN_PRODUCTION.items() if service.list_of("ports")] == ["proxy"]
    assert [name for name, service in IN_PRODUCTION.items() if service.list_of("profiles")] == [
        "mysql",
        "postgres",
        "demo-rows",
    ]
    for name in ("prepare", "code", "api"):
        found = IN_PRODUCTION[name].environment
        assert (found["DB_HOST"], found["PG_HOST"]) == ("mysql.example.org", "postgres.example.org")
    assert IN_PRODUCTION["daemon"].environment["PG_HOST"] == "postgres.example.org"


def test_in_production_everybody_needs_a_key_unless_a_network_is_named() -> None:
    found = IN_PRODUCTION["api"].environment
    assert found["VECTOR_PIPELINE_TRUSTED_NETWORKS"] == ""
    [address] = [network["ipv4_address"] for network in IN_PRODUCTION["proxy"].written["networks"].values()]
    assert found["VECTOR_PIPELINE_PROXIES"] == f"{address}/32"


def test_workers_take_what_the_others_launch_and_have_what_runs_need() -> None:
    """One broker and one configuration for all, and the variables of `code`, where runs happen otherwise."""
    worker, code = WITH_WORKERS["worker"], WITH_WORKERS["code"]
    for name in ("code", "webserver", "daemon", "api", "worker"):
        one = WITH_WORKERS[name]
        assert one.environment["VECTOR_PIPELINE_BROKER_URL"] == "redis://broker:6379/0"
        assert "./dagster.celery.yaml:/opt/dagster/dagster.yaml:ro" in one.list_of("volumes")
        assert "databases" in one.list_of("networks")
    assert worker.written["image"] == code.written["image"]
    differing = {name for name, value in code.environment.items() if worker.environment.get(name) != value}
    # Alerts, which name the UI, are the code location's.
    assert differing == {"VECTOR_PIPELINE_REGISTRY_CACHE", "VECTOR_PIPELINE_DAGSTER_PUBLIC_URL"}
    assert set(code.list_of("secrets")) == set(worker.list_of("secrets"))
    elsewhere = read_services({"VECTOR_PIPELINE_BROKER_URL": ""}, [COMPOSE, WORKERS])
    assert {elsewhere[name].environment["VECTOR_PIPELINE_BROKER_URL"] for name in ("code", "worker")} == {""}
    assert not worker.list_of("ports"), "any number of them may be on one host"
    assert [one for one in worker.list_of("volumes") if not str(one).startswith(("./", "{'type': 'bind'"))] == []


def test_instances_with_and_without_workers_differ_in_nothing_but_who_runs_and_how_much() -> None:
    alone, with_workers = (read_file(DOCKER / name) for name in ("dagster.yaml", "dagster.celery.yaml"))
    assert {name for name in with_workers if with_workers[name] != alone.get(name)} == {
        "run_launcher",
        "concurrency",
        "run_monitoring",
    }
    assert set(alone) <= set(with_workers)
    assert with_workers["run_retries"]["enabled"], "or a backfill would end without what a dead worker had"


def test_dagster_takes_the_configuration_of_an_instance_with_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(DOCKER / "dagster.celery.yaml", tmp_path / "dagster.yaml")
    for name in ("PG_HOST", "PG_USER", "PG_PASSWORD", "PG_DB_NAME"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("PG_PORT", "5432")
    monkeypatch.setenv("VECTOR_PIPELINE_BROKER_URL", "redis://:open-sesame@broker:6379/0")
    reference = InstanceRef.from_dir(str(tmp_path))
    assert isinstance(reference.run_launcher, RunLauncher)
    assert reference.run_launcher.celery.conf.worker_disable_prefetch
    assert "open-sesame" not in repr(reference), "it goes through the broker with each run"


@pytest.mark.parametrize("missing", NEEDED)
def test_production_asks_for_what_it_needs_to_be_told(missing: str) -> None:
    told = {name: value for name, value in NEEDED.items() if name != missing}
    with pytest.raises(MissingVariableError, match=f"{missing}: set it in .env to"):
        read_services(told, [COMPOSE, PRODUCTION])


def test_an_empty_list_of_trusted_networks_stays_empty() -> None:
    """With `:-` in its place the host would be trusted again."""
    closed = read_services({"VECTOR_PIPELINE_TRUSTED_NETWORKS": ""})["api"].environment
    assert closed["VECTOR_PIPELINE_TRUSTED_NETWORKS"] == ""
    assert ONE_HOST["api"].environment["VECTOR_PIPELINE_TRUSTED_NETWORKS"] == "172.30.57.1/32=search+sync"


def test_every_variable_is_explained() -> None:
    explained = (DOCKER.parent / ".env.example").read_text()
    used = variables_in("\n".join(path.read_text() for path in (COMPOSE, PRODUCTION, WORKERS)))
    assert [name for name in sorted(used) if not re.search(rf"^#?{name}=", explained, re.MULTILINE)] == []


def test_postgresql_takes_as_many_sessions_as_all_services_may_open() -> None:
    """The figures of docs/deployment.md#connections.

    Those of daemon and code location were counted in a busy deployment, and doubled.
    """
    daemon, code, others, run = 20, 20, 16, 7
    api = ServingSettings().search_threads + WORD_THREADS + OTHER_CONNECTIONS + 1
    webserver = 3 * (1 + DEFAULT_POOL_MAX_OVERFLOW)
    told = (DOCKER.parent / "docs" / "deployment.md").read_text()
    for who, most in {"a process of the API": api, "`webserver`": webserver, "`daemon`": daemon, "a run": run}.items():
        assert f"| {who} | {most} |" in told
    [taken] = [one for one in ONE_HOST["postgres"].command if one.startswith("max_connections=")]
    for instance in ("dagster.yaml", "dagster.celery.yaml"):
        runs = read_file(DOCKER / instance)["concurrency"]["runs"]["max_concurrent_runs"]
        assert api + webserver + daemon + code + others + run * runs <= int(taken.partition("=")[2])


def test_another_secret_comes_from_the_file_that_the_page_shows(tmp_path: Path) -> None:
    [shown] = [
        block for block in blocks("yaml") if block.page == "docs/deployment.md" and "OTHER_API_KEY" in block.text
    ]
    path = tmp_path / "compose.keys.yaml"
    path.write_text(shown.text)
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate(read_file(path))
    with_key = read_services({}, [COMPOSE, path])
    for name in ("code", "api"):
        assert set(with_key[name].list_of("secrets")) == {*ONE_HOST[name].list_of("secrets"), "other_api_key"}
        added = {"OTHER_API_KEY_FILE": "/run/secrets/other_api_key"}
        assert with_key[name].environment == ONE_HOST[name].environment | added


def test_no_variable_means_two_things() -> None:
    """One `.env` is read by Compose and by the services: what says how many workers runs have is not how many
    processes the API has."""
    explained = re.findall(r"^#?(\w+)=", (DOCKER.parent / ".env.example").read_text(), re.MULTILINE)
    assert [name for name, times in Counter(explained).items() if times > 1] == []


def test_every_secret_of_the_single_host_is_made_and_none_is_made_twice(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    subprocess.run([DOCKER / "make-secrets", folder], check=True, capture_output=True)
    made = {path.name: path.read_text() for path in folder.iterdir()}
    assert {name for path in (COMPOSE, WORKERS) for name in read_file(path)["secrets"]} <= set(made)
    assert len(made["pg_password"]) == 48
    assert len({made[name] for name in made if name.endswith("_password")}) == 4
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    # Containers read them as users of their own, and their owner puts the keys in that they are for.
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o644}

    again = subprocess.run([DOCKER / "make-secrets", folder], check=True, capture_output=True, text=True)
    assert again.stdout == ""
    assert {path.name: path.read_text() for path in folder.iterdir()} == made


def test_images_are_pinned_to_a_version() -> None:
    stages = read_stages(DOCKER / "Dockerfile")
    bases = {stage.base for stage in stages.values()}
    bases |= {str(one.written["image"]) for one in ALL.values() if one.stage is None}
    assert len(bases) == 5
    assert [image for image in bases if not re.search(r":\d+\.\d+\.\d+(-|$)", image)] == []


@pytest.mark.parametrize("file", sorted(DOCKER.glob("compose*.yaml")), ids=lambda path: path.name)
def test_the_indexes_are_mounted_where_the_images_look_for_them(file: Path) -> None:
    folder = read_stages(DOCKER / "Dockerfile")["code"].environment["VECTOR_PIPELINE_DEFS"]
    services = read_file(file).get("services", {}).values()
    mounts = [one for service in services for one in service.get("volumes") or [] if isinstance(one, dict)]
    assert {mount["target"] for mount in mounts if "INDEXES" in mount["source"]} <= {f"{folder}/indexes"}


def test_files_of_the_clone_get_into_the_image_by_way_of_the_builder() -> None:
    """Which gives all a right to read them: a clone under a strict umask has files that its owner alone may read."""
    final = (DOCKER / "Dockerfile").read_text().partition(" AS runtime")[2]
    copied = re.findall(r"^(?:COPY|ADD) .*", final, re.MULTILINE)
    assert copied
    assert [one for one in copied if not one.startswith("COPY --from=builder ")] == []


def test_alerts_and_answers_name_the_ui_where_people_reach_it() -> None:
    elsewhere = read_services({"DAGSTER_PORT": "3100"})
    assert elsewhere["webserver"].list_of("ports") == ["127.0.0.1:3100:3000"]
    for name in ("code", "api"):
        assert elsewhere[name].environment["VECTOR_PIPELINE_DAGSTER_PUBLIC_URL"] == "http://127.0.0.1:3100"
        in_production = IN_PRODUCTION[name].environment["VECTOR_PIPELINE_DAGSTER_PUBLIC_URL"]
        assert in_production == "https://dagster.example.org"


@pytest.mark.parametrize("name", ["code", "webserver", "daemon", "api"])
def test_an_image_knows_its_command_and_how_its_health_is_asked(name: str) -> None:
    stage = read_stages(DOCKER / "Dockerfile")[name]
    assert stage.command
    assert stage.health
    assert stage.user == "10001:10001"


def _merged(*values: Any) -> list[Any]:
    return [interpolated(value, {"A": "a", "EMPTY": ""}) for value in values]


def test_variables_are_put_in_as_compose_does() -> None:
    assert _merged("${A}", "$A", "${B:-b}", "${EMPTY:-b}", "${EMPTY-b}", "${B-${A}/${C:-c}}!", "$${A}") == [
        "a",
        "$A",
        "b",
        "b",
        "",
        "a/c!",
        "${A}",
    ]
