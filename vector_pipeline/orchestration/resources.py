"""Resources: where MySQL, PostgreSQL and the embedding provider are, bound to environment variables.

The location loads with nothing set; a run then fails naming every missing variable at once (Dagster would name those
of the first resource alone). Values of variables never show in the UI, only their names.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg

from vector_pipeline.core.errors import ConfigurationError, ProviderError, without_words
from vector_pipeline.core.index import VectorIndex, open_index
from vector_pipeline.core.search.query_cache import QueryCache
from vector_pipeline.core.settings import (
    EmbeddingSettings,
    Settings,
    SourceSettings,
    TargetSettings,
    read_threshold,
    read_tls,
)
from vector_pipeline.declarations import Declaration
from vector_pipeline.orchestration.interrupts import keyboard_interrupts


class MySQLResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The source."""

    host: str
    port: int = 3306
    user: str
    password: str = ""
    database: str
    ssl_mode: str | None = None
    ssl_ca: str | None = None
    ssl_cert: str | None = None
    ssl_key: str | None = None

    def settings(self) -> SourceSettings:
        """Where the source is.

        Raises:
            ConfigurationError: naming the variable of TLS that is unusable.
        """
        tls = read_tls(self.ssl_mode, self.ssl_ca, self.ssl_cert, self.ssl_key)
        return SourceSettings(self.host, self.port, self.user, self.password, self.database, tls)


class PostgreSQLResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The target, with pgvector."""

    host: str
    port: int = 5432
    user: str
    password: str = ""
    database: str

    def settings(self) -> TargetSettings:
        return TargetSettings(self.host, self.port, self.user, self.password, self.database)


class EmbeddingResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The provider of indexes that name none of their own; without a host the local model."""

    host: str | None = None
    api_key: str | None = None
    model: str | None = None
    expected_dimensions: int | None = None

    def settings(self) -> EmbeddingSettings:
        return EmbeddingSettings(self.host, self.api_key, self.model, self.expected_dimensions)


class IndexesResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Opens declared indexes over the three."""

    mysql: dg.ResourceDependency[MySQLResource]
    postgresql: dg.ResourceDependency[PostgreSQLResource]
    embedding: dg.ResourceDependency[EmbeddingResource]
    similarity_threshold: str | None = None

    def settings(self) -> Settings:
        """The environment as the core takes it.

        Raises:
            ConfigurationError: naming every variable that is missing.
        """
        needed = {
            "DB_HOST": self.mysql.host,
            "DB_USER": self.mysql.user,
            "DB_NAME": self.mysql.database,
            "PG_HOST": self.postgresql.host,
            "PG_USER": self.postgresql.user,
            "PGVECTOR_DB_NAME": self.postgresql.database,
        }
        missing = [name for name, value in needed.items() if not value]
        if missing:
            raise ConfigurationError(
                f"not set: {', '.join(missing)}; set them in the environment or in .env (see .env.example) "
                "and reload the code location, or start the embedded stack: vector-pipeline stack up"
            )
        return Settings(
            self.mysql.settings(),
            self.postgresql.settings(),
            self.embedding.settings(),
            read_threshold(self.similarity_threshold),
        )

    @contextmanager
    def open(self, declaration: Declaration, query_cache: QueryCache | None = None) -> Iterator[VectorIndex]:
        """Opens an index. Where its texts are not to be shown, errors of the block don't quote the provider.

        Raises:
            IndexSpecError: its file alone shows that the declaration is wrong.
        """
        declaration.refuse_if_wrong()
        try:
            with open_index(
                declaration.spec,
                self.settings(),
                origin=declaration.origin,
                folder=declaration.folder,
                query_cache=query_cache,
            ) as index:
                yield index
        except ProviderError as error:
            if not declaration.spec.document.previews:
                error.args = (without_words(str(error)),)
            raise

    @contextmanager
    def open_for_run(self, declaration: Declaration, run_id: str) -> Iterator[VectorIndex]:
        """Opens an index and says, for as long as this process lives, that the run is at work.

        Raises:
            KeyboardInterrupt: somebody cancels the run.
        """
        with keyboard_interrupts(), self.open(declaration) as index, index.hold_run(run_id):
            yield index


def indexes_from_environment() -> IndexesResource:
    """The resource bound to the variables of `.env.example`."""
    return IndexesResource(
        mysql=MySQLResource(
            host=_text("DB_HOST", ""),
            port=_whole_number("DB_PORT", 3306),
            user=_text("DB_USER", ""),
            password=_text("DB_PASSWORD", ""),
            database=_text("DB_NAME", ""),
            ssl_mode=_text("DB_SSL_MODE", None),
            ssl_ca=_text("DB_SSL_CA", None),
            ssl_cert=_text("DB_SSL_CERT", None),
            ssl_key=_text("DB_SSL_KEY", None),
        ),
        postgresql=PostgreSQLResource(
            host=_text("PG_HOST", ""),
            port=_whole_number("PG_PORT", 5432),
            user=_text("PG_USER", ""),
            password=_text("PG_PASSWORD", ""),
            database=_text("PGVECTOR_DB_NAME", ""),
        ),
        embedding=EmbeddingResource(
            host=_text("EMBEDDING_MODEL_HOST", None),
            api_key=_text("EMBEDDING_API_KEY", None),
            model=_text("EMBEDDING_MODEL_NAME", None),
            expected_dimensions=_whole_number("EMBEDDING_EXPECTED_DIM", None),
        ),
        similarity_threshold=_text("SIMILARITY_THRESHOLD", None),
    )


def _text(name: str, default: str | None) -> Any:
    """A variable that may be unset: Dagster refuses an EnvVar that is."""
    return dg.EnvVar(name) if os.environ.get(name) else default


def _whole_number(name: str, default: int | None) -> Any:
    return dg.EnvVar.int(name) if os.environ.get(name) else default
