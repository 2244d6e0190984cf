"""A look at all that the pipeline needs: MySQL, PostgreSQL with pgvector, and each embedding provider."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

import psycopg
import pymysql

from vector_pipeline.core.embedding.doctor import ProviderFindings, look_at_provider
from vector_pipeline.core.errors import ConfigurationError, VectorPipelineError
from vector_pipeline.core.findings import Finding, Verdict
from vector_pipeline.core.settings import Settings, SourceSettings, TargetSettings, read_embedding, read_settings
from vector_pipeline.core.source import connection as source_connection
from vector_pipeline.core.spec import EmbeddingSpec, IndexSpec
from vector_pipeline.core.store import connection as store_connection
from vector_pipeline.core.store.server_versions import look_at_pgvector, server_version


@dataclass(frozen=True)
class Diagnosis:
    """Everything that was looked at."""

    servers: tuple[Finding, ...]
    providers: tuple[ProviderFindings, ...]

    @property
    def healthy(self) -> bool:
        """Nothing is wrong; warnings don't count."""
        findings = [*self.servers, *(finding for provider in self.providers for finding in provider.findings)]
        return all(finding.verdict is not Verdict.WRONG for finding in findings)


def diagnose(specs: Sequence[IndexSpec], environment: Mapping[str, str] | None = None) -> Diagnosis:
    """Looks at the servers of the environment and at the providers of these indexes, or, for none, at its own.

    What is wrong is told and stops nothing else from being looked at.
    """
    variables = os.environ if environment is None else environment
    servers = _servers(variables)
    try:
        embedding = read_embedding(variables)
    except ConfigurationError as error:
        wrong = Finding("environment", Verdict.WRONG, str(error), "see .env.example")
        return Diagnosis((*servers, wrong) if wrong.found not in {one.found for one in servers} else servers, ())
    users: dict[str, tuple[EmbeddingSpec, list[str]]] = {}
    for spec in specs:
        asked = _asked_of_the_provider(spec.embedding)
        users.setdefault(asked.model_dump_json(), (asked, []))[1].append(spec.name)
    if not users:
        users[""] = (EmbeddingSpec(), [])
    return Diagnosis(
        servers,
        tuple(look_at_provider(asked, embedding, tuple(names), variables) for asked, names in users.values()),
    )


def _asked_of_the_provider(spec: EmbeddingSpec) -> EmbeddingSpec:
    """What matters to the provider, so that indexes which differ in their texts alone share a look."""
    return EmbeddingSpec(provider=spec.provider, model=spec.model, dimensions=spec.dimensions)


def _servers(variables: Mapping[str, str]) -> tuple[Finding, ...]:
    try:
        settings: Settings = read_settings(variables)
    except ConfigurationError as error:
        return (Finding("environment", Verdict.WRONG, str(error), "see .env.example"),)
    return (_mysql(settings.source), *_postgresql(settings.target))


def _mysql(settings: SourceSettings) -> Finding:
    try:
        with closing(source_connection.connect(settings)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT VERSION()")
            row = cursor.fetchone()
            encrypted = _is_encrypted(connection)
    except VectorPipelineError as error:
        return Finding("MySQL", Verdict.WRONG, str(error), "see the variables DB_* in .env.example")
    except pymysql.MySQLError as error:
        told = source_connection.source_error(settings, error)
        return Finding("MySQL", Verdict.WRONG, str(told), "see the variables DB_* in .env.example")
    assert row is not None
    return Finding("MySQL", Verdict.OK, f"{row[0]}, {'with' if encrypted else 'without'} TLS")


def _is_encrypted(connection: source_connection.Connection) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
        row = cursor.fetchone()
    return bool(row and row[1])


def _postgresql(settings: TargetSettings) -> list[Finding]:
    try:
        with closing(store_connection.connect(settings, "vector-pipeline doctor")) as connection:
            return [Finding("PostgreSQL", Verdict.OK, server_version(connection)), look_at_pgvector(connection)]
    except VectorPipelineError as error:
        return [Finding("PostgreSQL", Verdict.WRONG, str(error), "see the variables PG_* in .env.example")]
    except psycopg.Error as error:
        told = store_connection.target_error(settings, error)
        return [Finding("PostgreSQL", Verdict.WRONG, str(told), "see the variables PG_* in .env.example")]
