"""What a model's tokens cost, in USD per million: as declared, else as its maker asks, else unknown.

A model that is known by name costs what its maker asks for it, whoever serves it; one that runs in this process costs
nothing. Prices change and contracts differ, so a declared one always wins.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from vector_pipeline.core.errors import DeclarationProblem
from vector_pipeline.core.spec import EmbeddingSpec

TOKENS_PER_PRICE = 1_000_000

# The makers' list prices, as BerriAI/litellm's model_prices_and_context_window.json and others repeat them.
_USD_PER_MILLION_TOKENS = {
    "text-embedding-3-small": "0.02",
    "text-embedding-3-large": "0.13",
    "text-embedding-ada-002": "0.10",
    "embed-v4.0": "0.12",
    "embed-english-v3.0": "0.10",
    "embed-english-light-v3.0": "0.10",
    "embed-multilingual-v3.0": "0.10",
    "embed-multilingual-light-v3.0": "0.10",
    "mistral-embed": "0.10",
    "codestral-embed": "0.15",
    "codestral-embed-2505": "0.15",
    "voyage-3": "0.06",
    "voyage-3-lite": "0.02",
    "voyage-3-large": "0.18",
    "voyage-3.5": "0.06",
    "voyage-3.5-lite": "0.02",
    "voyage-code-3": "0.18",
}


def price_of(provider: str, model: str, declared: float | None = None) -> Decimal | None:
    """USD per million tokens; None where nobody has told.

    Args:
        provider: its kind, as the declaration writes it.
        declared: `embedding.price_per_million_tokens`.
    """
    if declared is not None:
        return Decimal(str(declared))
    if provider == "local":
        return Decimal(0)
    known = _USD_PER_MILLION_TOKENS.get(model.rsplit("/", 1)[-1])
    return Decimal(known) if known is not None else None


def cost_of(tokens: int, price: Decimal) -> Decimal:
    """USD."""
    return tokens * price / TOKENS_PER_PRICE


def budget_problems(embedding: EmbeddingSpec, provider: str, model: str) -> Iterator[DeclarationProblem]:
    """A budget can be kept only where it is known what a token costs."""
    price = price_of(provider, model, embedding.price_per_million_tokens)
    if embedding.budget_per_day is not None and price is None:
        yield DeclarationProblem(
            "embedding.budget_per_day",
            f"a budget is declared, and what model {model!r} costs is not known",
            "declare embedding.price_per_million_tokens (USD; 0 if it costs nothing), or leave the budget out",
        )
