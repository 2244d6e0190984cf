"""kubernetes/: values for Dagster's chart and the manifests beside it, held against docker/ and against each other.

With VECTOR_PIPELINE_DAGSTER_CHART naming the folder of Dagster's chart (`helm pull --untar`) and
the package helm-python-sdk installed, the values are also held against the chart's own schema, and it is rendered.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from vector_pipeline.serving.dagster_client import CODE_LOCATION
from vector_pipeline_tests.deployment.compose_file import DOCKER, read_file
from vector_pipeline_tests.deployment.dockerfile import read_stages

FOLDER = DOCKER.parent / "kubernetes"
CHART = "VECTOR_PIPELINE_DAGSTER_CHART"


def manifests() -> list[dict[str, Any]]:
    return [one for name in ("settings", "prepare", "api") for one in _documents((FOLDER / f"{name}.yaml").read_text())]


def pod_specs() -> list[dict[str, Any]]:
    return [one["spec"]["template"]["spec"] for one in manifests() if one["kind"] in ("Deployment", "Job")]


@pytest.fixture
def values() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((FOLDER / "values.yaml").read_text())
    return read


@pytest.fixture
def code_location(values: dict[str, Any]) -> dict[str, Any]:
    [deployment] = values["dagster-user-deployments"]["deployments"]
    found: dict[str, Any] = deployment
    return found


def test_limits_are_of_what_those_of_the_workers_on_hosts_are(values: dict[str, Any]) -> None:
    instance, concurrency = read_file(DOCKER / "dagster.celery.yaml"), values["concurrency"]
    runs, jobs = instance["concurrency"]["runs"], concurrency["runs"]
    of_workers, of_jobs = runs["tag_concurrency_limits"], jobs["tagConcurrencyLimits"]
    assert [limit | {"limit": 0} for limit in of_jobs] == [limit | {"limit": 0} for limit in of_workers]
    assert all(limit["limit"] < jobs["maxConcurrentRuns"] for limit in of_jobs)
    assert concurrency["pools"]["granularity"] == instance["concurrency"]["pools"]["granularity"]
    assert concurrency["pools"]["defaultLimit"] == instance["concurrency"]["pools"]["default_limit"]
    assert values["dagsterDaemon"]["runRetries"]["maxRetries"] == instance["run_retries"]["max_retries"]
    assert values["dagsterDaemon"]["runMonitoring"]["pollIntervalSeconds"] == 30


def test_each_run_is_a_job_that_has_what_the_code_location_has(
    values: dict[str, Any], code_location: dict[str, Any]
) -> None:
    assert values["runLauncher"]["type"] == "K8sRunLauncher"
    assert code_location["includeConfigInLaunchedRuns"]["enabled"]
    names = {one["metadata"]["name"] for one in manifests() if one["kind"] == "ConfigMap"}
    assert {one["name"] for one in code_location["envConfigMaps"]} == names


def test_the_location_has_the_name_by_which_the_api_asks_for_it(
    values: dict[str, Any], code_location: dict[str, Any]
) -> None:
    [server] = values["dagsterWebserver"]["workspace"]["servers"]
    assert server == {"host": code_location["name"], "port": code_location["port"], "name": CODE_LOCATION}


def test_the_api_asks_dagsters_webserver_where_the_chart_puts_it(values: dict[str, Any]) -> None:
    [api] = [one for one in manifests() if one["kind"] == "Deployment"]
    [container] = api["spec"]["template"]["spec"]["containers"]
    port = values["dagsterWebserver"]["service"]["port"]
    told = {one["name"]: one.get("value") for one in container["env"]}
    assert told["VECTOR_PIPELINE_DAGSTER_URL"] == f"http://dagster-dagster-webserver:{port}"


def test_indexes_are_mounted_where_the_images_look_for_them(code_location: dict[str, Any]) -> None:
    folder = read_stages(DOCKER / "Dockerfile")["code"].environment["VECTOR_PIPELINE_DEFS"]
    mounts = [code_location["volumeMounts"], *(pod["containers"][0]["volumeMounts"] for pod in pod_specs())]
    for mounted in mounts:
        [indexes] = [one for one in mounted if one["name"] == "indexes"]
        assert (indexes["mountPath"], indexes["subPath"]) == (f"{folder}/indexes/defs.yaml", "defs.yaml")


def test_no_pod_may_do_what_it_needs_not(values: dict[str, Any], code_location: dict[str, Any]) -> None:
    user = read_stages(DOCKER / "Dockerfile")["code"].user
    containers = [one for pod in pod_specs() for one in pod["containers"]]
    for pod in (
        *(one["securityContext"] for one in pod_specs()),
        *(one["podSecurityContext"] for one in (code_location, values["dagsterWebserver"], values["dagsterDaemon"])),
    ):
        assert pod["runAsNonRoot"]
        assert f"{pod['runAsUser']}:{pod['runAsGroup']}" == user
    for container in (*containers, code_location, values["dagsterWebserver"], values["dagsterDaemon"]):
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]


def test_no_file_holds_a_password(values: dict[str, Any]) -> None:
    assert not values["generatePostgresqlPasswordSecret"]
    assert "postgresqlPassword" not in values["postgresql"]
    assert [one["kind"] for one in manifests() if one["kind"] == "Secret"] == []
    [settings] = [one for one in manifests() if one["kind"] == "ConfigMap"]
    assert [name for name in settings["data"] if name.endswith(("PASSWORD", "_KEY", "TOKEN"))] == []


@pytest.mark.long
def test_dagsters_chart_takes_the_values(values: dict[str, Any]) -> None:
    helm = pytest.importorskip("helm_python", reason="NOT TESTED: there is no helm-python-sdk")
    chart = os.environ.get(CHART)
    if not chart:
        pytest.skip(f"NOT TESTED: {CHART} names no folder with Dagster's chart")
    with helm.Chart.load(Path(chart)) as loaded:
        rendered = loaded.render(values=values, name="dagster", namespace="vectors")
    made = [one for name, text in rendered.items() if name.endswith(".yaml") for one in _documents(text)]
    names = {(one["kind"], one["metadata"]["name"]) for one in made}
    [code] = [server["host"] for server in values["dagsterWebserver"]["workspace"]["servers"]]
    assert {("Service", code), ("Service", "dagster-dagster-webserver"), ("Deployment", "dagster-daemon")} <= names
    [instance] = [one for one in made if (one["kind"], one["metadata"]["name"]) == ("ConfigMap", "dagster-instance")]
    assert yaml.safe_load(instance["data"]["dagster.yaml"])["run_launcher"]["class"] == "K8sRunLauncher"


def _documents(text: str) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(text) if one]
