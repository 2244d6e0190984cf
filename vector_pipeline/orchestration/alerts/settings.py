"""Where alerts are sent, from the variables that `.env.example` documents. Nothing is sent where none is set."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from vector_pipeline.core.errors import ConfigurationError

SLACK_WEBHOOK = "VECTOR_PIPELINE_SLACK_WEBHOOK"
SLACK_TOKEN = "VECTOR_PIPELINE_SLACK_TOKEN"
SLACK_CHANNEL = "VECTOR_PIPELINE_SLACK_CHANNEL"
MAIL_TO = "VECTOR_PIPELINE_ALERT_MAIL_TO"
MAIL_FROM = "VECTOR_PIPELINE_ALERT_MAIL_FROM"
SMTP_HOST = "VECTOR_PIPELINE_SMTP_HOST"
SMTP_PORT = "VECTOR_PIPELINE_SMTP_PORT"
SMTP_SECURITY = "VECTOR_PIPELINE_SMTP_SECURITY"
SMTP_USER = "VECTOR_PIPELINE_SMTP_USER"
SMTP_PASSWORD = "VECTOR_PIPELINE_SMTP_PASSWORD"
DOCS = "VECTOR_PIPELINE_DOCS_URL"
_UI = ("VECTOR_PIPELINE_DAGSTER_PUBLIC_URL", "VECTOR_PIPELINE_DAGSTER_URL")


class SmtpSecurity(Enum):
    """How the mail server is spoken to. `NONE` is for a relay on the same machine or network."""

    SSL = "ssl"
    STARTTLS = "starttls"
    NONE = "none"

    @property
    def port(self) -> int:
        return {SmtpSecurity.SSL: 465, SmtpSecurity.STARTTLS: 587, SmtpSecurity.NONE: 25}[self]


@dataclass(frozen=True)
class SlackWebhookSettings:
    """An incoming webhook: its URL is the secret."""

    url: str = field(repr=False)


@dataclass(frozen=True)
class SlackBotSettings:
    """A bot that may write to a channel."""

    token: str = field(repr=False)
    channel: str


@dataclass(frozen=True)
class MailSettings:
    """A mail server. `user` None: it lets us send without saying who we are."""

    host: str
    port: int
    security: SmtpSecurity
    sender: str
    recipients: tuple[str, ...]
    user: str | None = None
    password: str = field(default="", repr=False)


@dataclass(frozen=True)
class AlertSettings:
    """Where alerts go, and where their links lead: to Dagster's UI, and to the runbooks."""

    slack: SlackWebhookSettings | SlackBotSettings | None = None
    mail: MailSettings | None = None
    ui_url: str = "http://127.0.0.1:3000"
    docs_url: str = "docs"

    @property
    def on(self) -> bool:
        return self.slack is not None or self.mail is not None


def read_alert_settings(environment: Mapping[str, str] | None = None) -> AlertSettings:
    """Reads the variables.

    Raises:
        ConfigurationError: naming the one that is missing beside the others, or is unusable.
    """
    variables = os.environ if environment is None else environment
    usual = AlertSettings()
    return AlertSettings(
        slack=_slack(variables),
        mail=_mail(variables),
        ui_url=next((variables[name] for name in _UI if variables.get(name)), usual.ui_url).rstrip("/"),
        docs_url=(variables.get(DOCS) or usual.docs_url).rstrip("/"),
    )


def _slack(variables: Mapping[str, str]) -> SlackWebhookSettings | SlackBotSettings | None:
    webhook, token, channel = (variables.get(name) for name in (SLACK_WEBHOOK, SLACK_TOKEN, SLACK_CHANNEL))
    if webhook and token:
        raise ConfigurationError(f"{SLACK_WEBHOOK} and {SLACK_TOKEN} are both set: set one of them")
    if webhook:
        if not webhook.startswith(("https://", "http://")):
            # Its value is the secret, so it is not quoted.
            raise ConfigurationError(f"{SLACK_WEBHOOK} is no URL: give the one that Slack shows for the webhook")
        return SlackWebhookSettings(webhook)
    if token and channel:
        return SlackBotSettings(token, channel)
    if token or channel:
        raise ConfigurationError(f"set both {SLACK_TOKEN} and {SLACK_CHANNEL}, or neither")
    return None


def _mail(variables: Mapping[str, str]) -> MailSettings | None:
    host, sender, listed = (variables.get(name) or "" for name in (SMTP_HOST, MAIL_FROM, MAIL_TO))
    recipients = tuple(address.strip() for address in listed.split(",") if address.strip())
    if not host and not recipients:
        return None
    missing = [name for name, value in ((SMTP_HOST, host), (MAIL_FROM, sender), (MAIL_TO, recipients)) if not value]
    if missing:
        raise ConfigurationError(f"not set: {', '.join(missing)}; alerts by e-mail need all of them")
    security = _security(variables.get(SMTP_SECURITY))
    user, password = variables.get(SMTP_USER) or None, variables.get(SMTP_PASSWORD) or ""
    if (user is None) != (password == ""):
        raise ConfigurationError(f"set both {SMTP_USER} and {SMTP_PASSWORD}, or neither")
    return MailSettings(host, _port(variables, security), security, sender, recipients, user, password)


def _security(text: str | None) -> SmtpSecurity:
    try:
        return SmtpSecurity((text or SmtpSecurity.STARTTLS.value).strip().lower())
    except ValueError:
        ways = ", ".join(way.value for way in SmtpSecurity)
        raise ConfigurationError(f"{SMTP_SECURITY} is {text!r}: give one of {ways}") from None


def _port(variables: Mapping[str, str], security: SmtpSecurity) -> int:
    text = variables.get(SMTP_PORT)
    if not text:
        return security.port
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise ConfigurationError(f"{SMTP_PORT} is {text!r}: give a whole number from 1 to 65535")
    return int(text)
