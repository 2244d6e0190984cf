"""The dashboard and the alert rules ask for what GET /metrics exposes, and for nothing else."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Set
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from vector_pipeline.core.settings import EmbeddingSettings, SourceSettings, TargetSettings
from vector_pipeline.serving.observing.indexes import described_families
from vector_pipeline_tests.conftest import PROJECT
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.serving.serving import contract_spec, live_server
from vector_pipeline_tests.workbench import Workbench

DASHBOARD: dict[str, Any] = json.loads((PROJECT / "docker/grafana/vector-pipeline.json").read_text())
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((PROJECT / "docker/prometheus/rules.yaml").read_text())["groups"]
    for rule in group["rules"]
]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
METRIC = re.compile(r"\b(vector_pipeline_\w+)(?:\{([^}]*)\})?")
GROUPING = re.compile(r"\bby \(([^)]*)\)")


def expressions() -> dict[str, str]:
    """All of them, by where they stand."""
    found = {f"rule {rule['alert']}": rule["expr"] for rule in RULES}
    for panel in PANELS:
        for target in panel["targets"]:
            found[f"panel {panel['title']} {target['refId']}"] = target["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            found[f"variable {variable['name']}"] = variable["query"]["query"]
    return found


def exposed(bench: Workbench) -> Mapping[str, Set[str]]:
    """The labels of each sample that the page has once everything was used."""
    labels: dict[str, set[str]] = defaultdict(set)
    with live_server(bench, [contract_spec()]) as live:
        live.client.post("/v1/search", json={"index": "faq", "query": "question number 1?"}).raise_for_status()
        for family in text_string_to_metric_families(live.client.get("/metrics").text):
            for sample in family.samples:
                labels[sample.name] |= set(sample.labels)
    return labels


def test_every_expression_names_metrics_and_labels_that_the_service_exposes(
    mysql_database: SourceSettings, pg_database: TargetSettings
) -> None:
    with MisbehavingProvider(dimensions=8) as provider:
        bench = Workbench(mysql_database, pg_database, EmbeddingSettings(host=provider.url, model="numbers"))
        bench.create_faq(rows=3)
        bench.sync(contract_spec())
        labels = exposed(bench)
    for place, expression in expressions().items():
        named = METRIC.findall(expression)
        assert named, f"{place}: no metric of ours in {expression}"
        known: set[str] = set()
        for metric, matchers in named:
            assert metric in labels, f"{place}: /metrics has no {metric}"
            known |= labels[metric]
            asked = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
            assert asked <= labels[metric], f"{place}: {metric} has no label {asked - labels[metric]}"
        grouped = {label.strip() for group in GROUPING.findall(expression) for label in group.split(",")}
        assert grouped <= known, f"{place}: no label {grouped - known}"


def test_every_figure_of_an_index_is_on_the_dashboard() -> None:
    shown = " ".join(expressions().values())
    # Keys are no measure of anything.
    figures = {family.name for family in described_families()} - {"vector_pipeline_index_last_synced_key"}
    assert {name for name in figures if name not in shown} == set()


def test_legends_name_labels_of_their_expressions() -> None:
    for panel in PANELS:
        for target in panel["targets"]:
            grouped = {label.strip() for group in GROUPING.findall(target["expr"]) for label in group.split(",")}
            used = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            assert used <= grouped, panel["title"]


def test_panels_have_places_of_their_own_and_a_source_that_can_be_chosen() -> None:
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        own = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not own & cells, panel["title"]
        assert place["x"] + place["w"] <= 24
        cells |= own
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert {panel["datasource"]["uid"] for panel in PANELS} == {"${datasource}"}


def test_what_a_paused_index_does_not_do_alerts_nobody() -> None:
    not_paused = "unless on (index) max by (index) (vector_pipeline_index_paused) == 1"
    for rule in RULES:
        if {"vector_pipeline_index_oldest_comparison_timestamp_seconds", "vector_pipeline_index_lag_seconds"} & {
            name for name, _ in METRIC.findall(rule["expr"])
        }:
            assert rule["expr"].strip().endswith(not_paused), rule["alert"]


def test_every_alert_says_what_is_wrong_and_what_to_do() -> None:
    for rule in RULES:
        assert rule["annotations"]["summary"]
        page = PROJECT / rule["annotations"]["runbook"].split("#")[0]
        assert page.suffix == ".md", rule["alert"]
        assert rule["labels"]["severity"] in {"critical", "warning"}
