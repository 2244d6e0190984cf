"""Log lines of the service: for people, or an object of JSON each. Every line of a request has its id.

What libraries log, uvicorn first of all, has the same form. Keys are masked wherever they stand.
"""

from __future__ import annotations

import logging
import sys

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from vector_pipeline.core.store.api_keys import without_keys
from vector_pipeline.log_level import WithoutKeys, quieten, read_log_level
from vector_pipeline.serving.observing.request import current_id
from vector_pipeline.serving.observing.settings import LogFormat

# Each of these tells at INFO of every request that it makes or gets, which the access log does already.
_TALKATIVE = ("httpx", "httpx2", "httpcore", "mcp")

_NO_REQUEST = "-"


def set_up_service_logging(form: LogFormat) -> None:
    """Logs to standard error at the level of APP_DEBUG, INFO if it names none; replaces what was set up before."""
    level = read_log_level("INFO")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(form))
    handler.addFilter(WithRequestId())
    handler.addFilter(WithoutKeys())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    quieten()
    if level != "DEBUG":
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.WARNING)


def formatter(form: LogFormat) -> logging.Formatter:
    """Writes lines in that form."""
    if form == "json":
        return _JsonLines(
            "%(levelname)s %(name)s %(message)s %(request_id)s",
            rename_fields={"levelname": "level", "name": "logger"},
            timestamp="time",
            json_ensure_ascii=False,
            reserved_attrs=[*RESERVED_ATTRS, "color_message"],  # uvicorn's messages a second time, with colours
        )
    return _PlainLines("%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s")


class WithRequestId(logging.Filter):
    """Puts the id of the request into each record. For handlers, which see the records of all loggers."""

    def filter(self, record: logging.LogRecord) -> bool:
        if not hasattr(record, "request_id"):
            record.request_id = current_id() or _NO_REQUEST
        return True


class _PlainLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return without_keys(super().format(record))


class _JsonLines(JsonFormatter):
    def format(self, record: logging.LogRecord) -> str:
        return without_keys(super().format(record))
