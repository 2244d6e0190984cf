"""Where alerts go is set by the environment, and what is set wrongly is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from vector_pipeline.core.errors import ConfigurationError
from vector_pipeline.core.settings import read_secrets
from vector_pipeline.orchestration.alerts.settings import MailSettings, SmtpSecurity, read_alert_settings

MAIL = {
    "VECTOR_PIPELINE_SMTP_HOST": "mail.example.org",
    "VECTOR_PIPELINE_ALERT_MAIL_FROM": "vectors@example.org",
    "VECTOR_PIPELINE_ALERT_MAIL_TO": "anna@example.org, ops@example.org",
}


def test_nothing_is_sent_where_nothing_is_set() -> None:
    assert not read_alert_settings({}).on


def test_mail_goes_to_all_who_are_named_by_starttls_unless_told_otherwise() -> None:
    recipients = ("anna@example.org", "ops@example.org")
    expected = MailSettings("mail.example.org", 587, SmtpSecurity.STARTTLS, "vectors@example.org", recipients)
    assert read_alert_settings(MAIL).mail == expected
    assert read_alert_settings(MAIL | {"VECTOR_PIPELINE_SMTP_SECURITY": "ssl"}).mail == MailSettings(
        "mail.example.org", 465, SmtpSecurity.SSL, "vectors@example.org", recipients
    )


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"VECTOR_PIPELINE_SMTP_HOST": "mail"}, "VECTOR_PIPELINE_ALERT_MAIL_TO"),
        ({"VECTOR_PIPELINE_ALERT_MAIL_TO": "a@example.org"}, "VECTOR_PIPELINE_SMTP_HOST"),
        (MAIL | {"VECTOR_PIPELINE_SMTP_PORT": "smtp"}, "VECTOR_PIPELINE_SMTP_PORT"),
        (MAIL | {"VECTOR_PIPELINE_SMTP_SECURITY": "tls"}, "VECTOR_PIPELINE_SMTP_SECURITY"),
        (MAIL | {"VECTOR_PIPELINE_SMTP_USER": "anna"}, "VECTOR_PIPELINE_SMTP_PASSWORD"),
        ({"VECTOR_PIPELINE_SLACK_TOKEN": "xoxb-secret"}, "VECTOR_PIPELINE_SLACK_CHANNEL"),
        ({"VECTOR_PIPELINE_SLACK_WEBHOOK": "hooks.slack.com/secret"}, "VECTOR_PIPELINE_SLACK_WEBHOOK"),
    ],
)
def test_what_is_missing_or_unusable_is_named_and_no_secret_with_it(environment: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named) as raised:
        read_alert_settings(environment)
    assert "secret" not in str(raised.value)


def test_secrets_may_stand_in_files_and_never_show(tmp_path: Path) -> None:
    files = {}
    for name in ("SLACK_WEBHOOK", "SMTP_PASSWORD"):
        file = tmp_path / name
        file.write_text(f"https://hooks.example.org/{name}\n")
        files[f"VECTOR_PIPELINE_{name}_FILE"] = str(file)
    environment = MAIL | files | {"VECTOR_PIPELINE_SMTP_USER": "anna"}
    settings = read_alert_settings(environment | read_secrets(environment))
    assert settings.mail is not None and settings.mail.password.endswith("/SMTP_PASSWORD")
    assert "hooks.example.org" not in repr(settings)
