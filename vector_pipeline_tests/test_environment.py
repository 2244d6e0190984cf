"""What the command line reads beside the environment."""

from __future__ import annotations

import pytest

from vector_pipeline.cli.environment import beside, of_unnamed_servers

OF_STACK = {
    "DB_HOST": "127.0.0.1",
    "DB_PORT": "20001",
    "PG_HOST": "127.0.0.1",
    "PG_PASSWORD": "secret",
    "PG_DB_NAME": "d",
}


@pytest.mark.parametrize(
    ("environment", "taken"),
    [
        ({}, {"DB_HOST", "DB_PORT", "PG_HOST", "PG_PASSWORD", "PG_DB_NAME"}),
        ({"PGVECTOR_DB_NAME": "another"}, {"DB_HOST", "DB_PORT", "PG_HOST", "PG_PASSWORD", "PG_DB_NAME"}),
        ({"PG_HOST": "pg.example.org"}, {"DB_HOST", "DB_PORT"}),
        ({"DB_HOST": "mysql.example.org", "PG_HOST": "pg.example.org"}, set()),
    ],
)
def test_a_server_that_is_named_is_not_told_the_port_and_password_of_the_stacks(
    environment: dict[str, str], taken: set[str]
) -> None:
    assert set(of_unnamed_servers(environment, OF_STACK)) == taken


def test_what_is_set_wins_over_files() -> None:
    assert beside({"A": "", "B": "set"}, {"A": "1", "B": "2", "C": "3", "D": None}) == {"C": "3"}
