"""What a declaration says of texts: the rendering that it asks for, and which of its settings make other texts."""

from __future__ import annotations

from vector_pipeline.core.documents.longest_texts import LONGEST_OF_ALL, longest_text
from vector_pipeline.core.documents.normalising import in_order
from vector_pipeline.core.documents.rendering import Rendering, Strategy
from vector_pipeline.core.documents.splitting import Splitting
from vector_pipeline.core.embedding.tokens import most_tokens
from vector_pipeline.core.spec import EmbeddingSpec, IndexSpec, OpenAIProviderSpec


def declared_strategy(embedding: EmbeddingSpec) -> Strategy:
    """The strategy that is declared; `template` where one is, `separate` where nothing is said."""
    return "template" if embedding.template is not None else embedding.strategy or "separate"


def searched_fields(spec: IndexSpec) -> tuple[str, ...]:
    """The fields by which the declared index is searched."""
    return Rendering(declared_strategy(spec.embedding), tuple(spec.document.text)).fields


def declared_rendering(spec: IndexSpec, model: str) -> Rendering:
    """How the declaration turns a row into texts for that model."""
    embedding = spec.embedding
    return Rendering(
        declared_strategy(embedding),
        tuple(spec.document.text),
        embedding.template,
        in_order(embedding.normalise),
        _splitting(embedding, model),
    )


def room_for_a_text(embedding: EmbeddingSpec, model: str) -> int:
    """Tokens that a text may have for the model to take it with its prefix; not positive if the prefix is too long."""
    prefix = embedding.document_prefix
    return longest_input(embedding, model) - (most_tokens(prefix) if prefix else 0)


def longest_input(embedding: EmbeddingSpec, model: str) -> int:
    """Tokens that the model and its provider take at once, as declared or as known."""
    longest, limit = embedding.longest_tokens or longest_text(model), _declared_limit(embedding)
    return longest if limit is None else min(longest, limit)


def _declared_limit(embedding: EmbeddingSpec) -> int | None:
    """What the provider takes of one text; its default is no limit of a model that takes more."""
    block = embedding.provider
    if not isinstance(block, OpenAIProviderSpec):
        return None
    limits = {"tokens_per_text": block.tokens_per_text, "tokens_per_request": block.tokens_per_request}
    return min((limit for name, limit in limits.items() if name in block.model_fields_set), default=None)


def _splitting(embedding: EmbeddingSpec, model: str) -> Splitting:
    room = room_for_a_text(embedding, model)
    if embedding.split is not None:
        return Splitting(min(embedding.split.tokens, room), model, embedding.split.overlap)
    return Splitting(room, model, too_long=embedding.too_long)


def text_facts(embedding: EmbeddingSpec) -> dict[str, object]:
    """The settings by which other texts are made, where they are declared: what isn't there leaves indexes what they
    were before there was such a setting."""
    split, limit = embedding.split, _declared_limit(embedding)
    known = embedding.longest_tokens or (longest_text(embedding.model) if embedding.model else LONGEST_OF_ALL)
    facts: dict[str, object] = {
        "template": embedding.template,
        "normalise": list(in_order(embedding.normalise)) or None,
        "split": {"tokens": split.tokens, "overlap": split.overlap} if split is not None else None,
        "too long": None if embedding.too_long == "split" else embedding.too_long,
        "longest tokens": embedding.longest_tokens,
        "provider's longest tokens": limit if limit is not None and limit < known else None,
    }
    return {name: fact for name, fact in facts.items() if fact is not None}
