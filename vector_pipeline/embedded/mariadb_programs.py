"""Where MariaDB's programs are, and how they come onto a machine that has none.

Root installs two packages, which start no service. An ordinary user has the same packages fetched and unpacked into the
stack's folder, which needs no rights at all.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from vector_pipeline.embedded import debian_packages
from vector_pipeline.embedded.accounts import BARE_ENVIRONMENT
from vector_pipeline.embedded.debian_packages import PackagesError
from vector_pipeline.embedded.folder import StackError, StackFolder

PACKAGES = ("mariadb-server-core", "mariadb-client-core")

ANOTHER_WAY = (
    "Install MariaDB (its server programs are enough), or name a MySQL server that is there "
    "in DB_HOST, DB_PORT, DB_USER, DB_PASSWORD and DB_NAME."
)


@dataclass(frozen=True)
class MariaDBPrograms:
    """The programs, the folder that they belong to, and the environment that they need."""

    server: Path
    install_db: Path
    base: Path
    environment: Mapping[str, str]


def find(folder: StackFolder) -> MariaDBPrograms | None:
    """MariaDB's programs on this machine, or those unpacked in the stack's folder."""
    return _find_installed() or _find_unpacked(folder.packages / "mariadb")


def provide(folder: StackFolder, progress: Callable[[str], None]) -> MariaDBPrograms:
    """MariaDB's programs, installed or unpacked if there are none."""
    found = find(folder)
    if found is not None:
        return found
    if not debian_packages.can_be_had():
        raise StackError(f"There is no MariaDB here, and no apt-get to bring it. {ANOTHER_WAY}")
    try:
        if os.geteuid() == 0:
            progress(f"Installing MariaDB with apt-get: {' '.join(PACKAGES)}")
            debian_packages.install(PACKAGES)
        else:
            progress(f"Unpacking MariaDB into {folder.packages} (not root, so nothing is installed)")
            folder.packages.mkdir(parents=True, exist_ok=True)
            with (folder.packages / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # other stacks may share the place
                if find(folder) is None:
                    debian_packages.unpack(PACKAGES, folder.packages / "mariadb")
    except PackagesError as error:
        raise StackError(f"{error}\n{ANOTHER_WAY}") from None
    found = find(folder)
    if found is None:
        raise StackError(f"MariaDB's packages came without its programs. {ANOTHER_WAY}")
    return found


def _find_installed() -> MariaDBPrograms | None:
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/usr/libexec"))
    server = shutil.which("mariadbd", path=path)
    install_db = shutil.which("mariadb-install-db", path=path)
    if server is None or install_db is None:
        return None
    base = Path(server).resolve().parent.parent
    return MariaDBPrograms(Path(server), Path(install_db), base, BARE_ENVIRONMENT)


def _find_unpacked(root: Path) -> MariaDBPrograms | None:
    server = root / "usr/sbin/mariadbd"
    if not server.exists():
        return None
    environment = {**BARE_ENVIRONMENT, "LD_LIBRARY_PATH": debian_packages.libraries(root)}
    return MariaDBPrograms(server, root / "usr/bin/mariadb-install-db", root / "usr", environment)
