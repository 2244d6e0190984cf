"""The ledger: what embedding an index has cost, by the day (UTC), and what its budget leaves of today.

PostgreSQL's clock alone tells the day, so that runs on several machines share one budget. A sum is set aside before a
request is sent and settled when its answer is there; as both lock the day's row, runs side by side can't overdraw it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import psycopg

from vector_pipeline.core.reports import Spent
from vector_pipeline.core.store.registry import RegisteredIndex


@dataclass(frozen=True)
class Usage:
    """What requests have used. `tokens_estimated` are those of `tokens` that no provider counted; `cost` is in USD,
    None where the price isn't known."""

    requests: int = 0
    texts: int = 0
    tokens: int = 0
    tokens_estimated: int = 0
    cost: Decimal | None = Decimal(0)

    def __add__(self, other: Usage) -> Usage:
        unknown = self.cost is None or other.cost is None
        return Usage(
            self.requests + other.requests,
            self.texts + other.texts,
            self.tokens + other.tokens,
            self.tokens_estimated + other.tokens_estimated,
            None if unknown else (self.cost or Decimal(0)) + (other.cost or Decimal(0)),
        )


@dataclass(frozen=True)
class BudgetDay:
    """What is paid and under way today, in USD, and the last sum that was refused, None if none was."""

    paid: Decimal
    in_flight: Decimal
    refused: Decimal | None

    def pauses(self, budget: float | None) -> bool:
        """Whether the sum that was refused would be refused again."""
        if budget is None or self.refused is None:
            return False
        return self.paid + self.in_flight + self.refused > Decimal(str(budget))


def today(connection: psycopg.Connection) -> date:
    """The day by PostgreSQL's clock, in UTC."""
    row = connection.execute("SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date").fetchone()
    assert row is not None
    day: date = row[0]
    return day


def add(connection: psycopg.Connection, index: RegisteredIndex, usage: Usage, day: date | None = None) -> None:
    """Enters what the index's generation has used, today if no day is given."""
    space = index.generation.space
    connection.execute(
        """
        INSERT INTO vector_pipeline.spending AS s
            (index_id, day, space, generation, model, requests, texts, tokens, tokens_estimated, tokens_unpriced, cost)
        VALUES (%(index)s, coalesce(%(day)s, (clock_timestamp() AT TIME ZONE 'UTC')::date), %(space)s, %(generation)s,
                %(model)s, %(requests)s, %(texts)s, %(tokens)s, %(estimated)s, %(unpriced)s, %(cost)s)
        ON CONFLICT (index_id, day, space, generation) DO UPDATE
        SET requests = s.requests + excluded.requests,
            texts = s.texts + excluded.texts,
            tokens = s.tokens + excluded.tokens,
            tokens_estimated = s.tokens_estimated + excluded.tokens_estimated,
            tokens_unpriced = s.tokens_unpriced + excluded.tokens_unpriced,
            cost = s.cost + excluded.cost
        """,
        {
            "index": index.index_id,
            "day": day,
            "space": space.number,
            "generation": index.generation.number,
            "model": space.model,
            "requests": usage.requests,
            "texts": usage.texts,
            "tokens": usage.tokens,
            "estimated": usage.tokens_estimated,
            "unpriced": usage.tokens if usage.cost is None else 0,
            "cost": usage.cost or Decimal(0),
        },
    )


def reserve(
    connection: psycopg.Connection,
    index: RegisteredIndex,
    cost: Decimal,
    budget: Decimal,
    *,
    note_refusal: bool = True,
) -> date | None:
    """Sets a sum aside for a request. Returns the day whose budget it is of; None where that leaves less.

    Args:
        note_refusal: whether embedding pauses where there is less left.
    """
    with connection.transaction():
        day, in_flight = _lock_day(connection, index, today(connection))
        if _paid(connection, index, day) + in_flight + cost > budget:
            if note_refusal:
                connection.execute(
                    "UPDATE vector_pipeline.budget_days SET refused = %s WHERE index_id = %s AND day = %s",
                    (cost, index.index_id, day),
                )
            return None
        _move(connection, index, day, cost)
        return day


def settle(connection: psycopg.Connection, index: RegisteredIndex, reserved: Decimal, day: date, usage: Usage) -> None:
    """Enters what a request has used in place of what was set aside for it."""
    with connection.transaction():
        _lock_day(connection, index, day)
        _move(connection, index, day, -reserved)
        add(connection, index, usage, day)


def left(connection: psycopg.Connection, index: RegisteredIndex, budget: Decimal) -> Decimal:
    """USD of today's budget that are neither spent nor set aside."""
    day = budget_day(connection, index)
    return max(budget - day.paid - day.in_flight, Decimal(0))


def release(connection: psycopg.Connection, index: RegisteredIndex, cost: Decimal, day: date) -> None:
    """Frees a sum that was set aside. Call it in a transaction."""
    _lock_day(connection, index, day)
    _move(connection, index, day, -cost)


def _lock_day(connection: psycopg.Connection, index: RegisteredIndex, day: date) -> tuple[date, Decimal]:
    row = connection.execute(
        """
        INSERT INTO vector_pipeline.budget_days AS b (index_id, day) VALUES (%s, %s)
        ON CONFLICT (index_id, day) DO UPDATE SET in_flight = b.in_flight
        RETURNING b.day, b.in_flight
        """,
        (index.index_id, day),
    ).fetchone()
    assert row is not None
    return row[0], row[1]


def _move(connection: psycopg.Connection, index: RegisteredIndex, day: date, cost: Decimal) -> None:
    connection.execute(
        "UPDATE vector_pipeline.budget_days SET in_flight = in_flight + %s WHERE index_id = %s AND day = %s",
        (cost, index.index_id, day),
    )


def _paid(connection: psycopg.Connection, index: RegisteredIndex, day: date) -> Decimal:
    row = connection.execute(
        "SELECT coalesce(sum(cost), 0) FROM vector_pipeline.spending WHERE index_id = %s AND day = %s",
        (index.index_id, day),
    ).fetchone()
    assert row is not None
    return Decimal(row[0])


def budget_day(connection: psycopg.Connection, index: RegisteredIndex) -> BudgetDay:
    """How today's budget stands."""
    day = today(connection)
    row = connection.execute(
        "SELECT in_flight, refused FROM vector_pipeline.budget_days WHERE index_id = %s AND day = %s",
        (index.index_id, day),
    ).fetchone()
    in_flight, refused = row if row is not None else (Decimal(0), None)
    return BudgetDay(_paid(connection, index, day), in_flight, refused)


def note_pace(connection: psycopg.Connection, index: RegisteredIndex, texts: int, seconds: float) -> None:
    """Remembers how long a run has taken over so many texts of a generation that is in the ledger already."""
    connection.execute(
        """
        UPDATE vector_pipeline.spending
        SET timed_texts = timed_texts + %s, timed_seconds = timed_seconds + %s
        WHERE index_id = %s AND generation = %s AND day = (
            SELECT max(day) FROM vector_pipeline.spending WHERE index_id = %s AND generation = %s)
        """,
        (texts, seconds, *(2 * (index.index_id, index.generation.number))),
    )


def pace(connection: psycopg.Connection, index_id: int, model: str) -> float | None:
    """Texts a second of the index's runs with that model, of the last 30 days that had any; None where none did."""
    row = connection.execute(
        """
        SELECT sum(timed_texts) / nullif(sum(timed_seconds), 0)
        FROM (
            SELECT timed_texts, timed_seconds FROM vector_pipeline.spending
            WHERE index_id = %s AND model = %s AND timed_texts > 0
            ORDER BY day DESC LIMIT 30) timed
        """,
        (index_id, model),
    ).fetchone()
    return float(row[0]) if row is not None and row[0] is not None else None


def spent(
    connection: psycopg.Connection,
    index: RegisteredIndex,
    *,
    only_today: bool = False,
    only_this_generation: bool = False,
) -> Spent:
    """What the index has cost so far, with all its models."""
    row = connection.execute(
        """
        SELECT coalesce(sum(requests), 0)::bigint, coalesce(sum(texts), 0)::bigint, coalesce(sum(tokens), 0)::bigint,
               coalesce(sum(tokens_estimated), 0)::bigint, coalesce(sum(tokens_unpriced), 0)::bigint,
               coalesce(sum(cost), 0)::double precision
        FROM vector_pipeline.spending
        WHERE index_id = %s AND (NOT %s OR day = (clock_timestamp() AT TIME ZONE 'UTC')::date)
          AND (NOT %s OR generation = %s)
        """,
        (index.index_id, only_today, only_this_generation, index.generation.number),
    ).fetchone()
    assert row is not None
    return Spent(*row)
