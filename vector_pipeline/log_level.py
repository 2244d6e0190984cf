"""APP_DEBUG: how much the command line and `make dev` log. A level's name, or just on or off."""

from __future__ import annotations

import logging
import os

from vector_pipeline.core.errors import ConfigurationError
from vector_pipeline.core.store.api_keys import without_keys

VARIABLE = "APP_DEBUG"
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_ON = frozenset({"1", "TRUE", "YES", "ON"})
_OFF = frozenset({"", "0", "FALSE", "NO", "OFF"})
# At DEBUG these print the texts that are embedded, and every frame on the wire.
_TALKATIVE = ("openai", "httpcore")


def read_log_level(default: str = "WARNING") -> str:
    """The level that APP_DEBUG names, `default` where it says nothing.

    Raises:
        ConfigurationError: it is neither a level nor on or off.
    """
    given = os.environ.get(VARIABLE, "").strip()
    level = given.upper()
    if level in _OFF:
        return default
    if level in _ON:
        return "DEBUG"
    if level not in LEVELS:
        raise ConfigurationError(f"{VARIABLE} is {given!r}: name one of {', '.join(LEVELS)}, or true or false")
    return level


class WithoutKeys(logging.Filter):
    """Masks API keys of the service, wherever a message has one from. For handlers: loggers pass theirs to no other."""

    def filter(self, record: logging.LogRecord) -> bool:
        told = record.getMessage()
        masked = without_keys(told)
        if masked != told:
            record.msg, record.args = masked, None
        return True


def set_up_logging() -> None:
    """Logs to standard error at the level of APP_DEBUG."""
    logging.basicConfig(level=read_log_level())
    for handler in logging.getLogger().handlers:
        handler.addFilter(WithoutKeys())
    quieten()


def quieten() -> None:
    """Keeps texts and frames out of the log, however much else is logged."""
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.INFO, logging.getLogger().level))
