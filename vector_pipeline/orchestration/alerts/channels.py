"""Ways to tell people: Slack and e-mail.

Dagster's own sensors (`make_slack_on_run_failure_sensor`, `make_email_on_run_failure_sensor`) tell of failed runs only,
each run anew, and a message that can't be sent is gone, since their cursor moves on. So what is sent, and when, is
decided here, and Slack is spoken to through the library of Dagster's integration. Their mail would need a login, and
wait for a silent server for as long as it likes.
"""

from __future__ import annotations

import logging
import re
import smtplib
import ssl
from email import policy
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Protocol

from dagster_slack import SlackResource
from slack_sdk.errors import SlackApiError
from slack_sdk.webhook import WebhookClient

from vector_pipeline.orchestration.alerts.message import Message
from vector_pipeline.orchestration.alerts.settings import (
    AlertSettings,
    MailSettings,
    SlackBotSettings,
    SlackWebhookSettings,
    SmtpSecurity,
)

# A tick has 60 s, for all channels; a mail takes several exchanges.
_SLACK_SECONDS = 10
_SMTP_SECONDS = 5.0
# Slack's own words for an error, such as `channel_is_archived`. Anything else might come from a proxy.
_SLACK_WORD = re.compile(r"[a-z][a-z_]{0,60}")


class NotDeliveredError(Exception):
    """A channel did not take a message. Says why in words that hold no secret."""


class Deliverer(Protocol):
    """A way to tell people."""

    def send(self, message: Message) -> None:
        """Sends a message, or has it taken by a server that promises to.

        Raises:
            NotDeliveredError: it has not been.
        """


def build_channels(settings: AlertSettings) -> dict[str, Deliverer]:
    """The channels that are set, by the names that people know them by."""
    channels: dict[str, Deliverer] = {}
    if isinstance(settings.slack, SlackWebhookSettings):
        channels["Slack"] = SlackWebhook(settings.slack)
    elif settings.slack is not None:
        channels["Slack"] = SlackBot(settings.slack)
    if settings.mail is not None:
        channels["e-mail"] = Mail(settings.mail)
    return channels


class SlackWebhook:
    """An incoming webhook."""

    def __init__(self, settings: SlackWebhookSettings) -> None:
        # The library's own logger writes the URL, which is the secret, where the application logs at DEBUG.
        quiet = logging.getLogger(f"{__name__}.webhook")
        quiet.setLevel(logging.WARNING)
        self._client = WebhookClient(settings.url, timeout=_SLACK_SECONDS, logger=quiet, retry_handlers=[])

    def send(self, message: Message) -> None:
        try:
            answer = self._client.send(text=_for_slack(message), unfurl_links=False)
        except Exception as error:
            raise NotDeliveredError(f"Slack cannot be reached ({_reason(error)})") from None
        if answer.status_code != 200:
            word = answer.body.strip() if _SLACK_WORD.fullmatch(answer.body.strip()) else ""
            raise NotDeliveredError(f"Slack answers with HTTP {answer.status_code} {word}".rstrip())


class SlackBot:
    """A bot that writes to a channel."""

    def __init__(self, settings: SlackBotSettings, base_url: str | None = None) -> None:
        self._channel = settings.channel
        self._client = SlackResource(token=settings.token).get_client()
        self._client.timeout = _SLACK_SECONDS
        self._client.retry_handlers = []
        if base_url is not None:
            self._client.base_url = base_url

    def send(self, message: Message) -> None:
        try:
            self._client.chat_postMessage(channel=self._channel, text=_for_slack(message), unfurl_links=False)
        except SlackApiError as error:
            word = str(error.response.get("error") or "")
            said = word if _SLACK_WORD.fullmatch(word) else "an error"
            raise NotDeliveredError(f"Slack answers with {said}") from None
        except Exception as error:
            raise NotDeliveredError(f"Slack cannot be reached ({_reason(error)})") from None


def _for_slack(message: Message) -> str:
    text = f"*{message.subject}*\n{message.text}"
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class Mail:
    """A mail server."""

    def __init__(self, settings: MailSettings) -> None:
        self._settings = settings

    def send(self, message: Message) -> None:
        try:
            with self._connect() as server:
                if self._settings.user is not None:
                    server.login(self._settings.user, self._settings.password)
                refused = server.send_message(self._written(message), to_addrs=list(self._settings.recipients))
        except Exception as error:
            raise NotDeliveredError(f"{self._where} does not take the mail ({_reason(error)})") from None
        if refused:
            logging.getLogger(__name__).warning(
                "%s takes no mail for %d of %d recipients", self._where, len(refused), len(self._settings.recipients)
            )

    @property
    def _where(self) -> str:
        return f"the mail server {self._settings.host}:{self._settings.port}"

    def _connect(self) -> smtplib.SMTP:
        host, port = self._settings.host, self._settings.port
        context = ssl.create_default_context()
        if self._settings.security is SmtpSecurity.SSL:
            return smtplib.SMTP_SSL(host, port, timeout=_SMTP_SECONDS, context=context)
        server = smtplib.SMTP(host, port, timeout=_SMTP_SECONDS)
        if self._settings.security is SmtpSecurity.STARTTLS:
            try:
                server.starttls(context=context)
            except BaseException:
                server.close()
                raise
        return server

    def _written(self, message: Message) -> EmailMessage:
        # Folded at 78 characters, a long subject would begin with the fold, which some programs show as a space.
        mail = EmailMessage(policy.SMTP.clone(max_line_length=500))
        mail["From"] = self._settings.sender
        mail["To"] = ", ".join(self._settings.recipients)
        mail["Subject"] = message.subject
        mail["Date"] = formatdate()
        mail["Message-ID"] = make_msgid(domain="vector-pipeline.invalid")
        # Nobody's automatic answer is wanted.
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text + "\n")
        return mail


def _reason(error: Exception) -> str:
    """What kind of error it was. Its own words could hold the URL, the login, or a page of a proxy's."""
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{type(error).__name__}, {error.smtp_code}"
    cause = getattr(error, "reason", None)
    inner = cause if isinstance(cause, OSError) else error
    if isinstance(inner, OSError) and inner.strerror:
        return f"{type(inner).__name__}: {inner.strerror}"
    return type(inner).__name__
