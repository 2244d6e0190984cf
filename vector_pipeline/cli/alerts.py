"""`vector-pipeline alerts`: where alerts go, and a trial."""

from __future__ import annotations

import time

import click

from vector_pipeline.cli.printing import console
from vector_pipeline.core.errors import ConfigurationError
from vector_pipeline.orchestration.alerts.channels import NotDeliveredError, build_channels
from vector_pipeline.orchestration.alerts.message import compose
from vector_pipeline.orchestration.alerts.settings import MAIL_TO, SLACK_WEBHOOK, SMTP_HOST, read_alert_settings
from vector_pipeline.orchestration.alerts.trouble import News, Trouble


@click.command()
@click.option("--send", is_flag=True, help="Send a trial message by each of them.")
def alerts(send: bool) -> None:
    """Tell where alerts go, and with --send try it: status 1 if one of the channels does not take the message."""
    settings = read_alert_settings()
    if not settings.on:
        raise ConfigurationError(
            f"alerts go nowhere: set {SLACK_WEBHOOK}, or {SMTP_HOST} and {MAIL_TO} (see .env.example)"
        )
    trial = Trouble(
        key="trial", index=None, what="a trial of alerts", detail="Nothing fails.", since=time.time(), serious=False
    )
    failed = False
    for name, channel in build_channels(settings).items():
        if not send:
            console.print(name)
            continue
        try:
            channel.send(compose([News(trouble=trial)], settings))
        except NotDeliveredError as error:
            failed = True
            console.print(f"{name}: [bold red]not sent[/]: {error}", highlight=False, soft_wrap=True)
        else:
            console.print(f"{name}: sent")
    if failed:
        raise SystemExit(1)
