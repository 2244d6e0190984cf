"""Slack and mail, on real servers: what arrives, and what a server that refuses, or is not there, makes of it."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from vector_pipeline.cli.alerts import alerts
from vector_pipeline.embedded.ports import choose_port
from vector_pipeline.orchestration.alerts.channels import Mail, NotDeliveredError, SlackBot, SlackWebhook
from vector_pipeline.orchestration.alerts.message import Message
from vector_pipeline.orchestration.alerts.settings import (
    MailSettings,
    SlackBotSettings,
    SlackWebhookSettings,
    SmtpSecurity,
)
from vector_pipeline_tests.certificates import Authority
from vector_pipeline_tests.orchestration.alerts.receivers import SlackServer, mail_server, slack_server

MESSAGE = Message("[vector-pipeline] 1 thing fails", "FAILS: <parity> & more, überall")
RECIPIENTS = ("anna@example.org", "ops@example.org")


@pytest.fixture
def slack() -> Iterator[SlackServer]:
    with slack_server() as server:
        yield server


def mail_to(port: int, security: SmtpSecurity = SmtpSecurity.NONE, password: str | None = None) -> Mail:
    user = "anna" if password else None
    return Mail(MailSettings("127.0.0.1", port, security, "vectors@example.org", RECIPIENTS, user, password or ""))


def test_a_webhook_gets_the_text_with_its_signs_escaped(slack: SlackServer) -> None:
    SlackWebhook(SlackWebhookSettings(slack.url)).send(MESSAGE)
    assert slack.texts == ["*[vector-pipeline] 1 thing fails*\nFAILS: &lt;parity&gt; &amp; more, überall"]


def test_a_webhook_that_slack_has_closed_is_told_in_its_word_and_its_url_is_not(
    slack: SlackServer, caplog: pytest.LogCaptureFixture
) -> None:
    slack.status, slack.answer = 404, "no_service"
    caplog.set_level(logging.DEBUG)
    with pytest.raises(NotDeliveredError, match="HTTP 404 no_service"):
        SlackWebhook(SlackWebhookSettings(slack.url)).send(MESSAGE)
    assert "secretpartofurl" not in caplog.text


def test_a_slack_that_is_not_there_is_told_without_the_webhooks_url() -> None:
    webhook = SlackWebhookSettings(f"http://127.0.0.1:{choose_port()}/services/secret")
    with pytest.raises(NotDeliveredError, match="Slack cannot be reached") as raised:
        SlackWebhook(webhook).send(MESSAGE)
    assert "secret" not in str(raised.value)


def test_a_bot_writes_to_its_channel(slack: SlackServer) -> None:
    slack.answer = '{"ok": true}'
    base = slack.url.replace("/services/T0/B0/secretpartofurl", "/api/")
    SlackBot(SlackBotSettings("xoxb-token", "#search"), base).send(MESSAGE)
    assert slack.tokens == ["Bearer xoxb-token"] and len(slack.texts) == 1
    slack.answer = '{"ok": false, "error": "channel_not_found"}'
    with pytest.raises(NotDeliveredError, match="channel_not_found"):
        SlackBot(SlackBotSettings("xoxb-token", "#search"), base).send(MESSAGE)


def test_a_mail_reaches_all_recipients_in_any_script() -> None:
    with mail_server() as server:
        mail_to(server.port).send(MESSAGE)
        [mail] = server.mails
    assert (mail["Subject"], mail["To"]) == (MESSAGE.subject, ", ".join(RECIPIENTS))
    assert mail.get_content().strip() == MESSAGE.text


def test_a_mail_goes_by_starttls_and_a_login_where_the_server_wants_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    signed = authority.sign("mail", "127.0.0.1")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(signed.cert, signed.key)
    with mail_server(starttls=context, login=("anna", "geheim")) as server:
        with pytest.raises(NotDeliveredError, match="SSLCertVerificationError"):
            mail_to(server.port, SmtpSecurity.STARTTLS, "geheim").send(MESSAGE)
        monkeypatch.setenv("SSL_CERT_FILE", authority.ca)
        mail_to(server.port, SmtpSecurity.STARTTLS, "geheim").send(MESSAGE)
        with pytest.raises(NotDeliveredError, match="535") as raised:
            mail_to(server.port, SmtpSecurity.STARTTLS, "falsch").send(MESSAGE)
        assert len(server.mails) == 1
    assert "falsch" not in str(raised.value)


def test_a_mail_server_that_is_not_there_or_refuses_or_says_nothing_is_told() -> None:
    with pytest.raises(NotDeliveredError, match="ConnectionRefusedError"):
        mail_to(choose_port()).send(MESSAGE)
    with mail_server() as server:
        server.refusing = True
        with pytest.raises(NotDeliveredError, match="SMTPRecipientsRefused"):
            mail_to(server.port).send(MESSAGE)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.MonkeyPatch.context() as patched:
        patched.setattr("vector_pipeline.orchestration.alerts.channels._SMTP_SECONDS", 0.2)
        with pytest.raises(NotDeliveredError, match="SMTPServerDisconnected"):
            mail_to(silent.getsockname()[1]).send(MESSAGE)


def test_the_command_sends_a_trial_by_each_channel_and_tells_which_does_not_take_it(
    slack: SlackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VECTOR_PIPELINE_SLACK_WEBHOOK", slack.url)
    for name, value in {
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(choose_port()),
        "SMTP_SECURITY": "none",
        "ALERT_MAIL_FROM": "vectors@example.org",
        "ALERT_MAIL_TO": "ops@example.org",
    }.items():
        monkeypatch.setenv(f"VECTOR_PIPELINE_{name}", value)
    ended = CliRunner().invoke(alerts, ["--send"])
    assert ended.exit_code == 1
    assert "Slack: sent" in ended.output and "e-mail: not sent" in ended.output
    assert len(slack.texts) == 1
