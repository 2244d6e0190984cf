"""Search: the nearest documents to a query."""

from vector_pipeline.core.search.answer import Hit, SearchAnswer, Snippet

__all__ = ["Hit", "SearchAnswer", "Snippet"]
