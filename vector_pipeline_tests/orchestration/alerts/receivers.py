"""Real servers that alerts are sent to: one that takes what Slack takes, and one for mail."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ssl import SSLContext
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword

from vector_pipeline.embedded.ports import choose_port


@dataclass
class SlackServer:
    """What came, and what is answered. The path is a webhook's secret."""

    url: str = ""
    status: int = 200
    answer: str = "ok"
    texts: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)


@contextmanager
def slack_server() -> Iterator[SlackServer]:
    """Answers as webhooks do at `/services/…`, and as Slack's Web API below `/api/`."""
    state = SlackServer()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Silence."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if state.status == 200:
                state.texts.append(str(json.loads(body)["text"]))
                state.tokens.append(self.headers.get("Authorization", ""))
            self.send_response(state.status)
            self.send_header("Content-Type", "application/json" if self.path.startswith("/api/") else "text/plain")
            self.end_headers()
            self.wfile.write(state.answer.encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}/services/T0/B0/secretpartofurl"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class MailServer:
    """The mails that came; `refusing` makes it refuse every recipient for now."""

    port: int
    mails: list[EmailMessage] = field(default_factory=list)
    refusing: bool = False

    async def handle_RCPT(
        self, _server: object, _session: object, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if self.refusing:
            return "451 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: object, _session: object, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        mail = BytesParser(EmailMessage, policy=default).parsebytes(envelope.content)
        self.mails.append(mail)
        return "250 taken"


@contextmanager
def mail_server(
    starttls: SSLContext | None = None, login: tuple[str, str] | None = None, implicit: SSLContext | None = None
) -> Iterator[MailServer]:
    """A server on 127.0.0.1, open to all, or one that wants TLS and a login first."""

    def authenticate(*arguments: Any) -> AuthResult:
        given = arguments[-1]
        assert isinstance(given, LoginPassword) and login is not None
        return AuthResult(success=(given.login.decode(), given.password.decode()) == login, handled=False)

    state = MailServer(choose_port())
    options: dict[str, Any] = {"tls_context": starttls, "require_starttls": True} if starttls else {}
    if login is not None:
        options |= {"authenticator": authenticate, "auth_required": True, "auth_require_tls": implicit is None}
    controller = Controller(state, hostname="127.0.0.1", port=state.port, ssl_context=implicit, **options)
    controller.start()
    try:
        yield state
    finally:
        controller.stop()
