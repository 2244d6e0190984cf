"""What an index serves: its columns, fields and model, and its documents by their keys. Needs PostgreSQL alone."""

from __future__ import annotations

from collections.abc import Sequence

from vector_pipeline.core.index.opened import OpenedIndex, in_our_words
from vector_pipeline.core.reports import FilterColumn, IndexDescription, StoredDocument
from vector_pipeline.core.search.restricting import operators_of
from vector_pipeline.core.store import ann_index, names, registry, source_columns, stored_documents
from vector_pipeline.core.store.metadata_columns import metadata_columns


class DescribedIndex(OpenedIndex):
    """What users ask of it before they search, and after."""

    @in_our_words
    def describe(self) -> IndexDescription:
        """What is served at this moment.

        Raises:
            NotYetSyncedError: nothing is.
        """
        index = self._registered
        accepted = registry.accepted_declaration(self._target, index)
        columns = metadata_columns(accepted, source_columns.load(self._target, index))
        space, rendering = index.generation.space, index.generation.rendering
        orders = ann_index.present_orders(self._target, index)
        return IndexDescription(
            index=index.name,
            generation=index.generation.number,
            texts=tuple(rendering.names),
            fields=tuple(rendering.fields),
            metadata=tuple(
                FilterColumn(column.name, column.kind.value, operators_of(column.kind)) for column in columns.values()
            ),
            strategy=rendering.strategy,
            provider=space.provider,
            model=space.model,
            dimensions=space.stored_dimensions,
            native_dimensions=space.native_dimensions,
            storage=space.storage,
            methods={field: str(orders[field]) if field in orders else ann_index.EXACT for field in rendering.fields},
            view=f"public.{names.bounded(index.name)}",
        )

    @in_our_words
    def documents(self, keys: Sequence[str]) -> list[StoredDocument]:
        """The documents with these keys, in the order of the keys; those that aren't there are left out."""
        return stored_documents.read(self._target, self._registered, keys)

    @in_our_words
    def page_of_documents(self, limit: int, after: str | None = None) -> list[StoredDocument]:
        """The documents behind a key, or from the first, in the order of their keys as texts.

        Raises:
            SearchRequestError: no document can have such a key.
        """
        return stored_documents.read_page(self._target, self._registered, limit, after)
