"""What tokens cost: as declared, as is known of the model, or unknown."""

from __future__ import annotations

from decimal import Decimal

import pytest

from vector_pipeline.core.embedding.prices import cost_of, price_of


@pytest.mark.parametrize(
    ("provider", "model", "declared", "price"),
    [
        ("openai", "text-embedding-3-small", None, "0.02"),
        ("openai", "openai/text-embedding-3-large", None, "0.13"),
        ("openai", "text-embedding-3-small", 0.01, "0.01"),
        ("openai", "text-embedding-3-small", 0, "0"),
        ("local", "use-multilingual", None, "0"),
        ("custom", "voyage-3.5", None, "0.06"),
    ],
)
def test_a_declared_price_counts_then_the_makers(provider: str, model: str, declared: float | None, price: str) -> None:
    assert price_of(provider, model, declared) == Decimal(price)


def test_the_price_of_another_model_is_unknown() -> None:
    assert price_of("openai", "Qwen3-Embedding-8B") is None


def test_a_cost_has_no_rounding_of_its_own() -> None:
    assert sum((cost_of(1, Decimal("0.02")) for _ in range(50)), Decimal(0)) == Decimal("0.000001")
