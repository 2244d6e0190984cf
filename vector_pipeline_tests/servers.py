"""Bare connections to the test servers, as an administrator of databases has them: none of ours is tested by them."""

from __future__ import annotations

import psycopg
import pymysql

from vector_pipeline.core.settings import SourceSettings, TargetSettings


def postgres(target: TargetSettings) -> psycopg.Connection:
    """A session in autocommit mode."""
    return psycopg.connect(
        host=target.host,
        port=target.port,
        user=target.user,
        password=target.password,
        dbname=target.database,
        autocommit=True,
    )


def mysql_administrator(server: SourceSettings) -> pymysql.Connection:  # type: ignore[type-arg]
    """A session in autocommit mode, in no database."""
    return pymysql.connect(
        host=server.host,
        port=server.port,
        user=server.user,
        password=server.password,
        autocommit=True,
        ssl_disabled=True,  # or the driver reads the system's authorities: 25 ms
    )
