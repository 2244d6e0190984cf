"""The environment that leads a process to the servers of a test."""

from __future__ import annotations

import os

from vector_pipeline.core.settings import Settings, SourceSettings, TargetSettings

_OURS = ("DB_", "PG_", "PGVECTOR_", "EMBEDDING_", "VECTOR_PIPELINE_", "SIMILARITY_", "APP_")


def variables_of_servers(source: SourceSettings, target: TargetSettings) -> dict[str, str]:
    """The variables that name these two."""
    return {
        "DB_HOST": source.host,
        "DB_PORT": str(source.port),
        "DB_USER": source.user,
        "DB_PASSWORD": source.password,
        "DB_NAME": source.database,
        "PG_HOST": target.host,
        "PG_PORT": str(target.port),
        "PG_USER": target.user,
        "PG_PASSWORD": target.password,
        "PGVECTOR_DB_NAME": target.database,
    }


def variables_of(settings: Settings) -> dict[str, str]:
    """The variables from which `read_settings` makes these settings, whatever else is set: an empty one is not set."""
    embedding = settings.embedding
    return variables_of_servers(settings.source, settings.target) | {
        "EMBEDDING_MODEL_HOST": embedding.host or "",
        "EMBEDDING_API_KEY": embedding.api_key or "",
        "EMBEDDING_MODEL_NAME": embedding.model or "",
        "EMBEDDING_EXPECTED_DIM": str(embedding.expected_dimensions or ""),
        "SIMILARITY_THRESHOLD": str(settings.similarity_threshold),
    }


def environment_of(settings: Settings) -> dict[str, str]:
    """This process's environment with these variables, and no other one of ours."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)} | variables_of(settings)
