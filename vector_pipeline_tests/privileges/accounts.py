"""Accounts with the privileges that the scripts of sql/ give, and no others, made by those very scripts."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

from psycopg import sql
from pymysql.constants import CLIENT

from vector_pipeline.core.settings import SourceSettings, TargetSettings
from vector_pipeline.embedded.postgres import binaries
from vector_pipeline_tests.conftest import PROJECT
from vector_pipeline_tests.servers import mysql_administrator, postgres

SCRIPTS = PROJECT / "sql"


def run_in_psql(superuser: TargetSettings, script: str, **variables: str) -> None:
    """As an administrator does: in the database of `superuser`."""
    named = [word for name, value in variables.items() for word in ("-v", f"{name}={value}")]
    environment = os.environ | {
        "PGHOST": superuser.host,
        "PGPORT": str(superuser.port),
        "PGUSER": superuser.user,
        "PGPASSWORD": superuser.password,
        "PGDATABASE": superuser.database,
    }
    command = [binaries() / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", *named, "-f", SCRIPTS / "postgres" / script]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


@contextmanager
def role(superuser: TargetSettings) -> Iterator[TargetSettings]:
    """A role that may do nothing in a database that is closed to the public. Its objects go with the block."""
    name, password = f"role_{uuid.uuid4().hex[:12]}", "a secret word"
    identifier = sql.Identifier(name)
    with postgres(superuser) as connection:
        connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(superuser.database)))
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(identifier, sql.Literal(password)))
    yield replace(superuser, user=name, password=password)
    with postgres(superuser) as connection:
        connection.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(identifier))
        connection.execute(sql.SQL("DROP ROLE {}").format(identifier))


@contextmanager
def account(administrator: SourceSettings, *scripts: str) -> Iterator[SourceSettings]:
    """An account of MySQL that the scripts have made."""
    name, password = f"u{uuid.uuid4().hex[:12]}", "it's a secret \\ word"
    with (
        closing(mysql_administrator(administrator, client_flag=CLIENT.MULTI_STATEMENTS)) as connection,
        connection.cursor() as cursor,
    ):
        values = (name, password, administrator.database)
        cursor.execute("SET @account = %s, @password = %s, @rows = %s", values)
        for script in scripts:
            cursor.execute((SCRIPTS / "mysql" / script).read_text())
            while cursor.nextset():
                pass
    yield replace(administrator, user=name, password=password)
    with mysql_administrator(administrator) as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP USER {name}@'%'")
