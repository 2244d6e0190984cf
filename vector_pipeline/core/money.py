"""What embedding an index costs: the price that counts, today's budget, and the words for both."""

from __future__ import annotations

from decimal import Decimal

import psycopg

from vector_pipeline.core.counted import counted
from vector_pipeline.core.embedding.prices import price_of
from vector_pipeline.core.reports import DailyBudget, Spent
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.core.store import generations, registry, spending
from vector_pipeline.core.store.contents import count_waiting, texts_wait
from vector_pipeline.core.store.registry import RegisteredIndex

# A run over fewer texts tells more of its beginning and end than of its pace.
TEXTS_THAT_TELL_A_PACE = 100


def price_as_built(
    target: psycopg.Connection, index: RegisteredIndex, spec: IndexSpec, declared_model: str
) -> Decimal | None:
    """USD per million tokens of the model of a generation; None if unknown.

    A declared price is that of the declared model. While another one is still served, its own declaration counts.
    """
    space = index.generation.space
    if space.model != declared_model:
        spec = registry.accepted_declaration(target, index)
    return price_of(space.provider, space.model, spec.embedding.price_per_million_tokens)


def budget(
    target: psycopg.Connection, index: RegisteredIndex, limit: float | None, *, counting: bool = True
) -> DailyBudget:
    """How today's budget stands. Texts are counted only while it pauses, and only if asked for."""
    day = spending.budget_day(target, index)
    refuses = day.pauses(limit) and any(texts_wait(target, one) for one in generations.live(target, index))
    waiting: int | None = 0
    if refuses:
        waiting = sum(count_waiting(target, one) for one in generations.live(target, index)) if counting else None
    refused = None if day.refused is None else float(day.refused)
    return DailyBudget(index.name, limit, float(day.paid), float(day.in_flight), refuses, waiting, refused)


def describe_budget(found: DailyBudget) -> str:
    """What to know and what to do, a sentence each."""
    if found.limit is None:
        return "no budget is declared (embedding.budget_per_day)"
    paid = f"{in_usd(found.paid)} of today's {in_usd(found.limit)} are spent"
    if not found.pauses:
        return paid
    flight = f", and requests under way may cost {in_usd(found.in_flight)}" if found.in_flight else ""
    ends = "Embedding goes on at 00:00 UTC, or when embedding.budget_per_day is raised"
    if found.next is not None and found.next > found.limit:
        ends = (
            f"A single text may cost {in_usd(found.next)}, which no day's budget covers: raise embedding.budget_per_day"
        )
    return (
        f"The budget pauses embedding: {paid}{flight}, which leaves too little for the next request. "
        f"{_texts(found.texts_waiting)}; documents, deletions and search go on. {ends}"
    )


def _texts(count: int | None) -> str:
    return "Texts wait" if count is None else counted(count, "text waits", "texts wait")


def in_usd(amount: float) -> str:
    """Cents where they tell enough, else two digits of what there is."""
    return f"{amount:,.2f} USD" if amount >= 1 or amount == 0 else f"{Decimal(f'{amount:.2g}'):f} USD"


def in_short(spent: Spent) -> str:
    """A cost for a table; what was embedded at an unknown price is no zero."""
    if not spent.tokens_unpriced:
        return in_usd(spent.cost)
    return f"{in_usd(spent.cost)} + ?" if spent.cost else "unknown"
