"""The sensor on a real Dagster instance, with real runs, checks and servers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import dagster as dg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run
from dagster._core.scheduler.instigation import TickStatus

from vector_pipeline.orchestration.alerts.sensor import SENSOR, build_alert_sensors
from vector_pipeline.orchestration.alerts.trouble import Memory
from vector_pipeline_tests.misbehaving_answers import POISON
from vector_pipeline_tests.orchestration.alerts.receivers import MailServer, SlackServer, mail_server, slack_server
from vector_pipeline_tests.orchestration.alerts.ticking import TickingSensor
from vector_pipeline_tests.orchestration.location import BREAK_RANGE_OF_150, QUIET, Location


@dataclass
class Watched:
    """A location with alerts to Slack and by mail."""

    location: Location
    slack: SlackServer
    mail: MailServer
    cursor: str | None = None
    said: list[str] = field(default_factory=list)

    def look(self) -> str:
        """One look of the sensor; returns what it says in the UI."""
        shared = dg.Definitions(sensors=build_alert_sensors())
        definitions = dg.Definitions.merge(self.location.definitions, shared)
        instance = self.location.instance
        with dg.build_sensor_context(
            instance=instance, instance_ref=instance.get_ref(), definitions=definitions, cursor=self.cursor
        ) as context:
            result = definitions.resolve_sensor_def(SENSOR).evaluate_tick(context)
        self.cursor = result.cursor
        self.said.append(result.skip_message or "")
        return self.said[-1]

    def end_pauses(self) -> None:
        """The pauses of channels that refused are over."""
        memory = Memory.model_validate_json(self.cursor or "{}")
        due = {name: channel.model_copy(update={"not_before": 0.0}) for name, channel in memory.channels.items()}
        self.cursor = memory.model_copy(update={"channels": due}).model_dump_json()

    def subjects(self) -> list[str]:
        return [str(mail["Subject"]).removeprefix("[vector-pipeline] ") for mail in self.mail.mails]


@pytest.fixture
def watched(location: Location, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    with ExitStack() as stack:
        slack, mail = stack.enter_context(slack_server()), stack.enter_context(mail_server())
        for name, value in {
            "SLACK_WEBHOOK": slack.url,
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(mail.port),
            "SMTP_SECURITY": "none",
            "ALERT_MAIL_FROM": "vectors@example.org",
            "ALERT_MAIL_TO": "ops@example.org",
            "DAGSTER_PUBLIC_URL": "https://dagster.example.org",
        }.items():
            monkeypatch.setenv(f"VECTOR_PIPELINE_{name}", value)
        yield Watched(location, slack, mail)


def launch(location: Location, request: dg.RunRequest) -> None:
    """Runs what is requested as the daemon's runs are recorded: with the assets that were asked for."""
    keys = frozenset(request.asset_selection or ())
    job = location.job_of(*(key.path[-1] for key in keys))
    run = location.instance.create_run_for_job(job, tags=dict(request.tags), asset_selection=keys, run_config=QUIET)
    execute_run(InMemoryJob(job), run, location.instance)


def test_without_a_channel_there_is_no_sensor(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLACK_WEBHOOK", "SLACK_TOKEN", "SMTP_HOST", "ALERT_MAIL_TO"):
        monkeypatch.delenv(f"VECTOR_PIPELINE_{name}", raising=False)
    assert build_alert_sensors() == []


def test_a_check_that_fails_is_told_once_and_once_more_when_it_is_over(watched: Watched) -> None:
    location = watched.location
    location.workbench.create_faq(rows=20)
    location.settle()
    assert watched.look() == "nothing fails"
    location.workbench.postgres("DELETE FROM faq.documents WHERE key IN ('3', '4')")
    assert not location.check("parity").passed
    for _ in range(3):
        assert watched.look() == "1 thing fails"
    assert watched.subjects() == ["FAILS: index faq: check parity of faq/search_index fails"]
    [run] = location.instance.get_runs(limit=1)
    for text in (watched.mail.mails[0].get_content(), watched.slack.texts[0]):
        assert f"https://dagster.example.org/runs/{run.run_id}" in text
        assert "docs/operations.md#parity-fails" in text
        assert "question number" not in text
    location.settle()
    assert location.check("parity").passed
    for _ in range(3):
        assert watched.look() == "nothing fails"
    assert watched.subjects()[1:] == ["OVER: index faq: check parity of faq/search_index fails"]
    assert len(watched.slack.texts) == 2


def test_a_channel_that_is_down_fails_no_look_and_is_told_all_of_it_later(watched: Watched) -> None:
    location = watched.location
    location.workbench.create_faq(rows=5)
    location.settle()
    watched.look()
    location.workbench.postgres("DELETE FROM faq.documents WHERE key = '3'")
    location.check("parity")
    watched.mail.refusing, watched.slack.status, watched.slack.answer = True, 500, "<html>sorry</html>"
    said = watched.look()
    assert said.startswith("1 thing fails; ")
    assert "Slack has still to be told of 1" in said and "e-mail has still to be told of 1" in said
    location.settle()
    location.check("parity")
    watched.look()
    watched.mail.refusing = False
    watched.end_pauses()
    watched.look()
    assert watched.subjects() == ["OVER: index faq: check parity of faq/search_index fails"]
    assert "It failed from" in watched.mail.mails[0].get_content()
    watched.slack.status = 200
    watched.end_pauses()
    assert watched.look() == "nothing fails"
    assert len(watched.slack.texts) == 1


@pytest.mark.long
def test_a_range_that_fails_is_told_once_until_it_has_been_synced(watched: Watched) -> None:
    location = watched.location
    location.workbench.create_faq(rows=300)
    [request] = location.tick().run_requests or []
    location.workbench.postgres(BREAK_RANGE_OF_150)
    watched.look()
    for _ in range(2):
        launch(location, request)
        assert watched.look() == "1 thing fails"
        location.end_pauses()
        # The range that fails is tried alone, the others are synced.
        [*_, request] = location.tick().run_requests or []
    text = watched.mail.mails[0].get_content()
    assert "index faq: runs of faq/documents, faq/embeddings fail" in text
    assert "key 150 breaks" not in text
    location.workbench.postgres("DROP TRIGGER refuse ON faq.documents")
    for _ in range(3):
        location.end_pauses()
        for request in location.tick().run_requests or []:
            launch(location, request)
    assert watched.look() == "nothing fails"
    assert [subject.split(":")[0] for subject in watched.subjects()] == ["FAILS", "OVER"]


@pytest.mark.long
def test_a_job_that_somebody_starts_by_hand_tells_nobody_else(watched: Watched) -> None:
    location = watched.location
    location.workbench.create_faq(rows=5)
    location.settle()
    watched.look()
    job = location.definitions.resolve_job_def("faq_approve_deletions")
    assert not job.execute_in_process(instance=location.instance, raise_on_error=False).success
    assert watched.look() == "nothing fails"
    nightly = {"dagster/schedule_name": "faq_nightly"}
    assert not job.execute_in_process(instance=location.instance, raise_on_error=False, tags=nightly).success
    assert watched.look() == "1 thing fails"
    assert watched.subjects() == ["FAILS: index faq: runs of faq_approve_deletions fail"]


def test_neither_a_texts_words_nor_a_providers_are_in_an_alert(watched: Watched) -> None:
    location = watched.location
    location.workbench.create_faq(rows=5)
    location.workbench.mysql(f"UPDATE faq SET question = 'confidential {POISON}' WHERE id = 3")
    location.settle()
    watched.look()
    text = watched.mail.mails[0].get_content()
    assert "WARNING: index faq: check no_quarantine of faq/embeddings fails" in text
    assert "confidential" not in text and POISON not in text


def test_a_sensor_whose_looks_fail_is_told_after_three(watched: Watched) -> None:
    sensor = TickingSensor(watched.location.instance, "faq_reconcile")
    watched.location.workbench.create_faq(rows=1)
    for n in range(2):
        sensor.tick(TickStatus.FAILURE, 1000.0 + n)
        assert watched.look() == "nothing fails"
    sensor.tick(TickStatus.FAILURE, 1002.0)
    sensor.tick(TickStatus.STARTED, 1003.0)
    assert watched.look() == "1 thing fails"
    assert watched.subjects() == ["FAILS: index faq: sensor faq_reconcile fails"]
    sensor.tick(TickStatus.SKIPPED, 1004.0)
    assert watched.look() == "nothing fails"


def test_settings_that_cannot_be_used_are_told_by_the_sensor_and_stop_nothing_else(
    location: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VECTOR_PIPELINE_SMTP_HOST", "mail.example.org")
    monkeypatch.delenv("VECTOR_PIPELINE_ALERT_MAIL_TO", raising=False)
    [sensor] = build_alert_sensors()
    with (
        dg.build_sensor_context(instance=location.instance, instance_ref=location.instance.get_ref()) as context,
        pytest.raises(Exception, match="VECTOR_PIPELINE_ALERT_MAIL_TO"),
    ):
        sensor.evaluate_tick(context)
