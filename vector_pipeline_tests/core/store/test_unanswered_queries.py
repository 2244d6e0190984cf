"""Queries that found nothing, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from vector_pipeline.core.settings import TargetSettings
from vector_pipeline.core.store.unanswered_queries import (
    UnansweredQuery,
    forget,
    list_unanswered,
    record,
    remove_expired,
)
from vector_pipeline_tests.servers import postgres

NOW = datetime.now(UTC).replace(microsecond=0)
A_WEEK = timedelta(days=7)


@pytest.fixture
def registry(pg_database: TargetSettings) -> Iterator[psycopg.Connection]:
    """A registry with the index `faq`."""
    with postgres(pg_database) as connection:
        connection.execute(
            "INSERT INTO vector_pipeline.embedding_indexes (name, schema_name, active_generation)"
            " VALUES ('faq', 'faq', 1)"
        )
        yield connection


def asked(query: str, days_ago: float = 0, threshold: float | None = 0.7, filtered: bool = False) -> UnansweredQuery:
    moment = NOW - timedelta(days=days_ago)
    return UnansweredQuery("faq", query, 1, threshold, filtered, moment, moment)


def test_spellings_of_one_query_are_counted_together_the_most_frequent_first(registry: psycopg.Connection) -> None:
    record(registry, [asked("passport"), asked("Where is  the office?", 2, 0.7, filtered=True)], A_WEEK)
    record(registry, [asked("where is the OFFICE?", 1, 0.4)], A_WEEK)
    office, passport = list_unanswered(registry, "faq", 10)
    assert (office.query, office.times, office.threshold, office.filtered) == ("where is the OFFICE?", 2, 0.4, False)
    assert (office.first_asked_at, office.last_asked_at) == (NOW - timedelta(days=2), NOW - timedelta(days=1))
    assert (passport.query, passport.times) == ("passport", 1)
    assert [one.query for one in list_unanswered(registry, "faq", 1)] == [office.query]


def test_a_query_asked_by_words_alone_has_no_threshold_until_it_is_asked_with_one(registry: psycopg.Connection) -> None:
    record(registry, [asked("visa", threshold=None)], A_WEEK)
    assert list_unanswered(registry, "faq", 1)[0].threshold is None
    record(registry, [asked("visa", threshold=0.2)], A_WEEK)
    assert list_unanswered(registry, "faq", 1)[0].threshold == 0.2


def test_queries_whose_time_is_over_are_not_shown_and_are_removed(registry: psycopg.Connection) -> None:
    record(registry, [asked("old", 8), asked("new", 3)], A_WEEK)
    assert [one.query for one in list_unanswered(registry, "faq", 10)] == ["new"]
    assert (remove_expired(registry), remove_expired(registry)) == (1, 0)
    assert remove_expired(registry, timedelta(days=2)) == 1


def test_an_index_that_is_not_there_keeps_none_and_one_that_goes_takes_its_own_along(
    registry: psycopg.Connection,
) -> None:
    elsewhere = UnansweredQuery("gone", "visa", 1, 0.7, False, NOW, NOW)
    record(registry, [elsewhere, asked("a\0b")], A_WEEK)
    assert [one.query for one in list_unanswered(registry, "faq", 10)] == ["ab"]
    assert list_unanswered(registry, "gone", 10) == []
    registry.execute("DELETE FROM vector_pipeline.embedding_indexes")
    assert registry.execute("SELECT count(*) FROM vector_pipeline.unanswered_queries").fetchone() == (0,)


def test_all_of_an_index_can_be_forgotten(registry: psycopg.Connection) -> None:
    record(registry, [asked("visa"), asked("passport")], A_WEEK)
    assert (forget(registry, "gone"), forget(registry, "faq"), forget(registry, "faq")) == (0, 2, 0)
