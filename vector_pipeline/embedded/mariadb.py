"""MariaDB as the MySQL-protocol server of the stack, with the row log that a change detector may read.

The server listens on 127.0.0.1 alone and has no unix socket. Its accounts are set by a file that it executes
before it accepts the first connection, so that there is no moment in which root has no password.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pymysql

from vector_pipeline.embedded.accounts import Account
from vector_pipeline.embedded.folder import StackFolder
from vector_pipeline.embedded.mariadb_programs import MariaDBPrograms
from vector_pipeline.embedded.server import run_to_the_end

USER = "genie"
DATABASE = "genie"

OPTIONS = {
    "bind-address": "127.0.0.1",
    "socket": "",
    "server-id": "1",
    "binlog-format": "ROW",
    "binlog-row-metadata": "FULL",
    "binlog-row-image": "FULL",
    "binlog-expire-logs-seconds": "172800",
    "character-set-server": "utf8mb4",
    "default-time-zone": "+00:00",
    "innodb-buffer-pool-size": "256M",
    "innodb-log-file-size": "32M",
    # Survives kill -9 of the server; up to a second is lost only if the machine itself loses power.
    "innodb-flush-log-at-trx-commit": "2",
    "max-allowed-packet": "64M",
    "max-connections": "100",
    "performance-schema": "OFF",
    "local-infile": "OFF",
    "symbolic-links": "OFF",
}


@dataclass(frozen=True)
class MariaDBServer:
    """The source's server."""

    folder: StackFolder
    programs: MariaDBPrograms

    name = "mariadb"
    stop_signal = signal.SIGTERM

    @property
    def environment(self) -> Mapping[str, str]:
        return self.programs.environment

    @property
    def _data(self) -> Path:
        return self.folder.data / self.name

    @property
    def _temporary(self) -> Path:
        return self._data.with_suffix(".tmp")

    @property
    def _accounts_file(self) -> Path:
        return self._data.with_suffix(".accounts.sql")

    def initialise(self, account: Account) -> None:
        self._temporary.mkdir(mode=0o700, exist_ok=True)
        os.chown(self._temporary, account.uid, account.gid)
        if not self._data.exists():
            making = self._data.with_suffix(".making")
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir(mode=0o700)
            os.chown(making, account.uid, account.gid)
            run_to_the_end(
                account,
                [
                    self.programs.install_db,
                    "--no-defaults",
                    *self._base,
                    f"--datadir={making}",
                    # Several that are being made at once would take each other's temporary tables away.
                    f"--tmpdir={self._temporary}",
                    "--auth-root-authentication-method=normal",
                    "--skip-test-db",
                    "--skip-name-resolve",
                    f"--innodb-log-file-size={OPTIONS['innodb-log-file-size']}",
                ],
                self.environment,
                "Creating MariaDB's data folder",
            )
            making.rename(self._data)
        self._accounts_file.unlink(missing_ok=True)
        self._accounts_file.touch(mode=0o600)
        os.chown(self._accounts_file, account.uid, account.gid)
        self._accounts_file.write_text(self._accounts())

    def _accounts(self) -> str:
        """One statement a line, as `init-file` wants it. Passwords are hexadecimal: nothing to escape."""
        passwords = self.folder.passwords()
        return "\n".join(
            (
                "SET sql_log_bin = 0;",
                "DELETE FROM mysql.global_priv WHERE User <> 'mariadb.sys' AND Host <> '127.0.0.1';",
                "FLUSH PRIVILEGES;",
                f"CREATE OR REPLACE USER root@'127.0.0.1' IDENTIFIED BY '{passwords.mysql_root}';",
                "GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;",
                f"CREATE DATABASE IF NOT EXISTS {DATABASE};",
                f"CREATE OR REPLACE USER {USER}@'127.0.0.1' IDENTIFIED BY '{passwords.mysql}';",
                f"GRANT ALL ON {DATABASE}.* TO {USER}@'127.0.0.1';",
                # What reading the row log takes.
                f"GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO {USER}@'127.0.0.1';",
                "",
            )
        )

    def remove_stale_lock(self) -> None:
        """Nothing to do: MariaDB locks its files, and a lock ends with its process."""

    def command(self, port: int) -> Sequence[str | Path]:
        options = {
            **OPTIONS,
            "datadir": self._data,
            "port": port,
            "log-bin": self._data / "binlog",
            "pid-file": self._data / "mariadb.pid",
            "tmpdir": self._temporary,
            "secure-file-priv": self._temporary,
            "init-file": self._accounts_file,
        }
        return [
            self.programs.server,
            "--no-defaults",
            *self._base,
            "--skip-name-resolve",
            *(f"--{name}={value}" for name, value in options.items()),
        ]

    @property
    def _base(self) -> list[str]:
        return [f"--basedir={self.programs.base}"]

    def accepts_connections(self, port: int) -> bool:
        try:
            pymysql.connect(
                host="127.0.0.1",
                port=port,
                user=USER,
                password=self.folder.passwords().mysql,
                database=DATABASE,
                connect_timeout=5,
                read_timeout=5,
            ).close()
        except pymysql.MySQLError:
            return False
        return True

    def create_databases(self, port: int) -> None:
        """Nothing to do: the accounts' file has done it."""
