"""What is wrong with what a declaration says of texts: their template, their splitting, their prefix."""

from __future__ import annotations

from collections.abc import Iterator

from vector_pipeline.core.documents.declared import declared_strategy, longest_input, room_for_a_text
from vector_pipeline.core.documents.template import TextTemplateError, read_template
from vector_pipeline.core.errors import DeclarationProblem
from vector_pipeline.core.spec import EmbeddingSpec, IndexSpec

# So few tokens of a text say nothing of it.
_LEAST_ROOM = 16


def text_problems(spec: IndexSpec) -> Iterator[DeclarationProblem]:
    """What is wrong whichever model is asked."""
    yield from _template_problems(spec)
    split = spec.embedding.split
    if split is None:
        return
    if split.overlap >= split.tokens:
        yield DeclarationProblem(
            "embedding.split.overlap",
            f"passages of {split.tokens} tokens can't repeat {split.overlap} of the one before",
            "declare an overlap that is smaller than embedding.split.tokens: a tenth of it is common",
        )
    if declared_strategy(spec.embedding) == "average":
        yield DeclarationProblem(
            "embedding.split",
            "with the strategy `average` a row has one vector, so that no passage of it can be found",
            "leave split out, or declare another strategy",
        )


def _template_problems(spec: IndexSpec) -> Iterator[DeclarationProblem]:
    source, field = spec.embedding.template, "embedding.template"
    if source is None:
        return
    if spec.embedding.strategy is not None:
        yield DeclarationProblem(
            field, "a strategy is declared as well, and a template stands instead of one", "leave one of them out"
        )
    try:
        read_template(source).refuse_unknown(spec.document.text)
    except TextTemplateError as error:
        yield DeclarationProblem(field, str(error), "correct the template (Jinja, over the served texts)")


def length_problems(embedding: EmbeddingSpec, model: str) -> Iterator[DeclarationProblem]:
    """What doesn't fit the length of text that the model takes."""
    room = room_for_a_text(embedding, model)
    longest = longest_input(embedding, model)
    if room < _LEAST_ROOM:
        yield DeclarationProblem(
            "embedding.document_prefix",
            f"{model!r} takes {longest} tokens, and with the prefix there is no room left for a text",
            "shorten the prefix, or set embedding.longest_tokens if the model takes more",
        )
    elif embedding.split is not None and embedding.split.tokens > room:
        yield DeclarationProblem(
            "embedding.split.tokens",
            f"{embedding.split.tokens} are declared, but {model!r} takes {longest}, with the prefix {room}",
            f"declare {room} or fewer, or set embedding.longest_tokens if the model takes more",
        )
