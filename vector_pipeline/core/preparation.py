"""Making an index ready to be synced: its declaration is held against MySQL's catalogue and the model, then its tables
are created. Nothing is created for a declaration that is wrong."""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from vector_pipeline.core.declaration import (
    catalogue_problems,
    condition_problems,
    key_content_problems,
    static_problems,
)
from vector_pipeline.core.documents.problems import length_problems
from vector_pipeline.core.embedding.choose import ChosenModel, choose_model, provider_block
from vector_pipeline.core.embedding.local_model import LOCAL_DIMENSIONS
from vector_pipeline.core.embedding.prices import budget_problems
from vector_pipeline.core.embedding.provider import EmbeddingProvider
from vector_pipeline.core.embedding.requesting import HARMLESS_TEXT, request_with_patience
from vector_pipeline.core.errors import ConfigurationError, DeclarationProblem, IndexSpecError, ProviderRefusedError
from vector_pipeline.core.generations import declared_generation, refuse_another_key
from vector_pipeline.core.schema_changes import keep_schema, refuse_schema_changes
from vector_pipeline.core.settings import EmbeddingSettings
from vector_pipeline.core.source.catalog import SourceTable, read_table
from vector_pipeline.core.source.catalog_rows import look_at_catalog
from vector_pipeline.core.source.connection import Connection as SourceConnection
from vector_pipeline.core.spec import IndexSpec, OpenAIProviderSpec
from vector_pipeline.core.store import declared_indexes, generations, registry, schema, text_index, view
from vector_pipeline.core.store.fingerprint import WantedSpace
from vector_pipeline.core.store.registry import RegisteredIndex

_ATTEMPTS = 3


def right_table(source: SourceConnection, spec: IndexSpec, database: str, origin: str) -> SourceTable:
    """The table of a declaration that fits it.

    Raises:
        IndexSpecError: naming every field that is wrong.
    """
    table, problems = look_at_table(source, spec, database)
    if problems or table is None:
        raise IndexSpecError(origin, problems)
    return table


def look_at_table(
    source: SourceConnection, spec: IndexSpec, database: str
) -> tuple[SourceTable | None, list[DeclarationProblem]]:
    """The declared table and what is wrong with the declaration, whatever the table holds; None if it can't be read."""
    problems = static_problems(spec)
    if problems:
        return None, problems
    if spec.source.catalog is not None:
        table, problems = look_at_catalog(source, spec.source.catalog)
        if table is None:
            return None, problems
    else:
        table = read_table(source, database, spec.source.table)
    problems = catalogue_problems(spec, database, table)
    if table is not None and not problems:
        problems = condition_problems(source, spec, table)
    return table, problems


def wanted_space(spec: IndexSpec, settings: EmbeddingSettings, given: EmbeddingProvider | None) -> WantedSpace:
    """The vector space that declaration and environment ask for, or that of the provider that is given instead."""
    if given is None:
        chosen = choose_model(spec.embedding, settings)
    else:
        chosen = ChosenModel(given.name.split(":", 1)[0], given.model)
    # Declared dimensions are the index's own; the environment's padding is for indexes that declare none.
    padded_to = None if spec.embedding.dimensions else settings.expected_dimensions
    embedding = spec.embedding
    return WantedSpace(
        chosen.kind,
        chosen.model,
        embedding.dimensions,
        padded_to,
        chosen.pooling,
        query_prefix=embedding.query_prefix,
        document_prefix=embedding.document_prefix,
        storage=embedding.storage,
    )


def expected_model(spec: IndexSpec, settings: EmbeddingSettings) -> tuple[str | None, int | None]:
    """The model that an index will be built with, and the length of its stored vectors, as far as both are known before
    anything is asked of a provider."""
    try:
        wanted = wanted_space(spec, settings, None)
    except ConfigurationError:
        return spec.embedding.model, spec.embedding.dimensions
    of_the_model = LOCAL_DIMENSIONS if wanted.provider == "local" else None
    return wanted.model, wanted.dimensions or wanted.padded_to or of_the_model


def with_provider(spec: IndexSpec, settings: EmbeddingSettings) -> IndexSpec:
    """The declaration with the provider that the environment gives it, as the registry keeps it: what was built from it
    can be searched when the environment names another."""
    block = provider_block(spec.embedding, settings)
    if isinstance(block, OpenAIProviderSpec) and block.host is None:
        block = block.model_copy(update={"host": settings.host})
    return spec.model_copy(update={"embedding": spec.embedding.model_copy(update={"provider": block})})


def measure_dimensions(spec: IndexSpec, wanted: WantedSpace, provider: EmbeddingProvider, origin: str) -> int:
    """Asks the model for one vector and tells its length.

    Raises:
        IndexSpecError: the declared or expected length is not one that the model has, texts are declared longer than
            it takes, or there is a budget and no price.
        ProviderError: the provider is down or refuses us.
    """
    problems = [
        *length_problems(spec.embedding, wanted.model),
        *budget_problems(spec.embedding, wanted.provider, wanted.model),
    ]
    if problems:
        raise IndexSpecError(origin, problems)
    declared = spec.embedding.dimensions
    try:
        batch = request_with_patience(provider, [HARMLESS_TEXT], _ATTEMPTS)
    except ProviderRefusedError as error:
        if declared is None:
            raise
        raise IndexSpecError(
            origin,
            [
                DeclarationProblem(
                    "embedding.dimensions",
                    f"{declared} are declared, and {provider.name} refuses even {HARMLESS_TEXT!r} with them ({error})",
                    "leave it out, declare a length that the model has, or set embedding.provider.dimensions_field "
                    "(docs/providers.md)",
                )
            ],
        ) from None
    native = int(batch.lengths[0])
    if declared is not None and native != declared:
        raise IndexSpecError(
            origin,
            [
                DeclarationProblem(
                    "embedding.dimensions",
                    f"{declared} are declared, but {provider.name} returns vectors of {native} numbers",
                    f"declare {native}, leave it out, or choose a model that has {declared}",
                )
            ],
        )
    if wanted.padded_to is not None and native > wanted.padded_to:
        raise IndexSpecError(
            origin,
            [
                DeclarationProblem(
                    "embedding.dimensions",
                    f"EMBEDDING_EXPECTED_DIM is {wanted.padded_to}, but {provider.name} returns vectors of "
                    f"{native} numbers",
                    f"set EMBEDDING_EXPECTED_DIM to {native} or more, or unset it",
                )
            ],
        )
    return native


def refuse_unknown_languages(target: psycopg.Connection, spec: IndexSpec, origin: str) -> None:
    """Raises:
    IndexSpecError: a text-search configuration is declared that the server hasn't got.
    """
    problems = list(text_index.language_problems(target, spec.search))
    if problems:
        raise IndexSpecError(origin, problems)


def prepare(
    source: SourceConnection,
    target: psycopg.Connection,
    spec: IndexSpec,
    table: SourceTable,
    wanted: WantedSpace,
    provider: Callable[[], EmbeddingProvider],
    settings: EmbeddingSettings,
    origin: str,
) -> RegisteredIndex:
    """Registers the index and creates its tables, or checks that what is there can be kept true by the declaration.

    Args:
        provider: called only for an index that is not there yet; making one takes its time.

    Raises:
        IndexSpecError, ProviderError, TargetUnavailableError.
        NotDeclaredHereError: it was declared at run time, and somebody has removed it since.
    """
    refuse_unknown_languages(target, spec, origin)
    schema.create_registry(target)
    index = registry.load(target, spec.name)
    if index is None:
        view.refuse_a_stranger(target, spec.name)
        problems = key_content_problems(source, spec, table)
        if problems:
            raise IndexSpecError(origin, problems)
        native = measure_dimensions(spec, wanted, provider(), origin)
        index = registry.register(
            target,
            with_provider(spec, settings),
            wanted,
            native,
            lambda: origin != declared_indexes.ORIGIN or declared_indexes.is_declared(target, spec.name),
        )
    records = generations.load_records(target, index)
    refuse_another_key(index, records, spec, origin)
    refuse_schema_changes(target, index, spec, table, origin)
    unique_on = index.generation.column_of(spec.document.unique_on)
    if unique_on is not None:
        schema.ensure_unique_on(target, index.index_id, index.schema, unique_on)
    without_a_price = list(budget_problems(spec.embedding, wanted.provider, wanted.model))
    if without_a_price:
        raise IndexSpecError(origin, without_a_price)
    if (declared := declared_generation(records, spec, wanted)) is not None:
        registry.keep_declaration(target, index, declared.number, with_provider(spec, settings))
    keep_schema(target, index, spec, table)
    return index
