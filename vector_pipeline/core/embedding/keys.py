"""Keys of embedding providers, before any header holds them."""

from __future__ import annotations

import hashlib

from vector_pipeline.core.errors import ConfigurationError

NO_KEY = "none"
"""Sent where no key is set: clients insist on one, servers without keys ignore it."""


def usable_key(key: str | None, variable: str) -> str | None:
    """The key without the white space that files and shells leave around it.

    Other characters that no HTTP header can hold are refused here, since the HTTP library would quote the
    whole header in its complaint.

    Raises:
        ConfigurationError: naming the variable, never the key.
    """
    stripped = (key or "").strip()
    if not (stripped.isascii() and stripped.isprintable()):
        raise ConfigurationError(f"{variable} has characters that a key cannot have; set it again")
    return stripped or None


def account_of(key: str | None) -> str:
    """What tells keys apart without telling any of them."""
    return hashlib.sha256((key or "").encode()).hexdigest()[:16]
