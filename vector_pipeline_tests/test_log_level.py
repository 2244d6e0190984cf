"""APP_DEBUG: a level's name, or on or off."""

from __future__ import annotations

import logging

import pytest

from vector_pipeline.core.errors import ConfigurationError
from vector_pipeline.log_level import WithoutKeys, read_log_level


@pytest.mark.parametrize(
    ("given", "level"),
    [("", "WARNING"), ("false", "WARNING"), ("0", "WARNING"), ("true", "DEBUG"), ("1", "DEBUG"), ("info", "INFO")],
)
def test_a_level_is_named_or_switched_on_or_off(given: str, level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_DEBUG", given)
    assert read_log_level() == level


def test_a_level_that_is_none_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_DEBUG", "loud")
    with pytest.raises(ConfigurationError, match="APP_DEBUG is 'loud': name one of DEBUG, INFO"):
        read_log_level()


@pytest.mark.parametrize("how", [("key %s, wrong", "vp_" + "x" * 43), ("key vp_" + "x" * 43 + ", wrong",)])
def test_an_api_key_in_a_message_is_masked(how: tuple[str, ...]) -> None:
    record = logging.LogRecord("any", logging.INFO, __file__, 1, how[0], how[1:], None)
    assert WithoutKeys().filter(record)
    assert record.getMessage() == "key vp_***, wrong"


def test_another_message_is_left_as_it_is() -> None:
    record = logging.LogRecord("any", logging.INFO, __file__, 1, "%d rows", (3,), None)
    assert WithoutKeys().filter(record)
    assert (record.msg, record.args) == ("%d rows", (3,))
