"""What was found, as the text that a language model is given."""

from __future__ import annotations

from collections.abc import Sequence

from vector_pipeline.serving.contract.models import FoundDocument

NOTHING_FOUND = "No relevant information found in the knowledge base."


def as_context(found: Sequence[FoundDocument]) -> str:
    """The documents, best first, in the lines that clients' prompts rely on."""
    lines = []
    for place, document in enumerate(found, start=1):
        lines += [f"Result {place}:", f"Question: {document.question}", f"Answer: {document.answer}"]
        if document.link:
            lines.append(f"Source: {document.link}")
        if document.date:
            lines.append(f"Date: {document.date}")
        lines += [f"Relevance: {document.similarity_score:.3f}", ""]
    return "\n".join(lines)
