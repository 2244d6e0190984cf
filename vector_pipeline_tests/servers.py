"""Bare connections to the test servers, as an administrator of databases has them: none of ours is tested by them."""

from __future__ import annotations

from typing import Any

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


def mysql(source: SourceSettings, *, autocommit: bool = True, **more: Any) -> pymysql.Connection:  # type: ignore[type-arg]
    """A session in the settings' database; `more` is for the driver."""
    return mysql_administrator(source, database=source.database, **{"autocommit": autocommit, **more})


def mysql_administrator(server: SourceSettings, **more: Any) -> pymysql.Connection:  # type: ignore[type-arg]
    """A session in autocommit mode, in no database, unless `more`, which is for the driver, says otherwise."""
    usual: dict[str, Any] = {
        "autocommit": True,
        "charset": "utf8mb4",
        "ssl_disabled": True,  # or the driver reads the system's authorities: 25 ms
    }
    return pymysql.connect(
        host=server.host, port=server.port, user=server.user, password=server.password, **(usual | more)
    )
