"""What an HTTP error of an embedding provider means for the caller.

Three answers exist: ask again later (`ProviderUnavailableError`), leave the text out
(`ProviderRefusedError`), or call a person (`ProviderRejectsUsError`), because no text can succeed with this
key, model or address.
"""

from __future__ import annotations

import email.utils
import json
import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from openai import APIStatusError

from vector_pipeline.core.embedding.allowance import read_allowance
from vector_pipeline.core.errors import (
    ProviderError,
    ProviderRefusedError,
    ProviderRejectsUsError,
    ProviderUnavailableError,
    without_secrets,
)

LONGEST_MESSAGE = 500

# The statuses that the openai client itself would retry, 425 (too early), and 424, by which text-embeddings-inference
# says that its model stumbled.
_LATER = frozenset({408, 409, 424, 425, 429})
_ABOUT_US = frozenset({401, 402, 403, 404, 405, 407, 410})
_MAY_BE_ABOUT_ENCODING = frozenset({400, 415, 422, 501})
# Servers that answer 400 where OpenAI answers 401 or 404 still send OpenAI's codes. Its 429 `insufficient_quota` means
# that the account has no money left: no pause helps.
_CODES_ABOUT_US = frozenset({"invalid_api_key", "model_not_found", "insufficient_quota"})


def explain_refusal(
    error: APIStatusError, who: str, api_key_variable: str, secrets: Iterable[str | None]
) -> ProviderError:
    """The error to raise for an HTTP status that is no success, with the provider's words but no secret.

    Args:
        who: the provider, for people.
        api_key_variable: the variable to look at if the key is refused.
        secrets: what must not show even if the server repeats it.
    """
    return explain_status(
        error.status_code, error.body, error.code, error.response.headers, who, api_key_variable, secrets
    )


def explain_status(
    status: int,
    body: object,
    code: object,
    headers: Mapping[str, str],
    who: str,
    api_key_variable: str,
    secrets: Iterable[str | None],
) -> ProviderError:
    """As `explain_refusal`, of a response with this status, parsed body, error code and headers."""
    words = _shorten(without_secrets(_words(body), secrets))
    said = f"HTTP {status}: {words}" if words else f"HTTP {status}"
    if (status in _LATER or status >= 500) and str(code) not in _CODES_ABOUT_US:
        return ProviderUnavailableError(
            f"{who} answered {said}", retry_after(headers), status=status, allowance=read_allowance(headers)
        )
    if status in _ABOUT_US or status < 400 or str(code) in _CODES_ABOUT_US:
        return ProviderRejectsUsError(
            f"{who} answered {said}; check the host, the model's name and the key in {api_key_variable}"
        )
    return ProviderRefusedError(said[:LONGEST_MESSAGE])


def is_about_encoding(error: APIStatusError) -> bool:
    """Whether a refusal speaks of `encoding_format`, be it in a message or in the place of a wrong field."""
    if error.status_code not in _MAY_BE_ABOUT_ENCODING:
        return False
    said = json.dumps(error.body, default=str).lower()
    return "encoding_format" in said or "base64" in said


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """The pause in seconds that the provider asks for, in any of the three ways in use."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        if math.isfinite(seconds):
            return max(seconds, 0.0)
    try:
        date = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
    except (ValueError, OverflowError):  # the latter for a time zone past all numbers
        return None
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max((date - (now or datetime.now(UTC))).total_seconds(), 0.0)


def _words(body: object) -> str:
    """What the server says: in OpenAI's shape, as FastAPI's `detail`, as a bare string or a web page."""
    if isinstance(body, Mapping):
        if isinstance(body.get("loc"), list) and body.get("msg"):  # pydantic: which field is wrong, and how
            return f"{'.'.join(map(str, body['loc']))}: {body['msg']}"
        for name in ("message", "detail", "error", "msg"):
            if body.get(name):
                return _words(body[name])
        return json.dumps(body, ensure_ascii=False, default=str) if body else ""
    if isinstance(body, list):
        return "; ".join(filter(None, map(_words, body)))
    text = "" if body is None else str(body)
    if text.lstrip().startswith("<"):
        text = re.sub(r"<(style|script)\b.*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL | re.IGNORECASE)
    return text


def _shorten(text: str) -> str:
    text = " ".join(text.split())
    # Room is left for `HTTP 422: ` within LONGEST_MESSAGE.
    limit = LONGEST_MESSAGE - 20
    return text if len(text) <= limit else text[: limit - 1] + "…"
