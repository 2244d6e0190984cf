"""Where MariaDB's programs are, and how they come onto a machine that has none.

Root installs two Debian packages, which start no service. An ordinary user has the same packages fetched and
unpacked into the stack's folder, which needs no rights at all.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vector_pipeline.embedded.accounts import BARE_ENVIRONMENT
from vector_pipeline.embedded.folder import StackError, StackFolder

INSTALLED = ("mariadb-server-core", "mariadb-client-core")
# With the libraries that a minimal Debian lacks: nobody resolves dependencies for an unpacked package.
UNPACKED = (*INSTALLED, "mariadb-common", "libmariadb3", "libaio1", "liburing2", "libnuma1")

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
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise StackError(f"There is no MariaDB here, and no apt-get to bring it. {ANOTHER_WAY}")
    if os.geteuid() == 0:
        progress(f"Installing MariaDB with apt-get: {' '.join(INSTALLED)}")
        _install()
    else:
        progress(f"Unpacking MariaDB into {folder.packages} (not root, so nothing is installed)")
        folder.packages.mkdir(parents=True, exist_ok=True)
        with (folder.packages / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # other stacks may share the place
            if find(folder) is None:
                _unpack(folder.packages)
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
    libraries = [*root.glob("usr/lib/*-linux-gnu*"), *root.glob("lib/*-linux-gnu*")]
    environment = {**BARE_ENVIRONMENT, "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries))}
    return MariaDBPrograms(server, root / "usr/bin/mariadb-install-db", root / "usr", environment)


def _install() -> None:
    install = ["install", "--yes", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120", *INSTALLED]
    if not _apt_get(install, check=False):
        # No package lists yet, or so old that they name packages that are gone.
        _apt_get(["update"])
        _apt_get(install)


def _unpack(packages: Path) -> None:
    """Fetches and unpacks; with package lists of its own where the machine has none to use."""
    download = packages / "download"
    shutil.rmtree(download, ignore_errors=True)
    download.mkdir(parents=True)
    if not _apt_get(["download", *UNPACKED], folder=download, check=False):
        (packages / "lists/partial").mkdir(parents=True, exist_ok=True)
        (packages / "cache/archives/partial").mkdir(parents=True, exist_ok=True)
        own = ["-o", f"Dir::State::lists={packages}/lists", "-o", f"Dir::Cache={packages}/cache"]
        _apt_get([*own, "update"], folder=download)
        _apt_get([*own, "download", *UNPACKED], folder=download)
    unpacking = packages / "mariadb.making"
    shutil.rmtree(unpacking, ignore_errors=True)
    for package in sorted(download.glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", package, unpacking], check=True)
    shutil.rmtree(packages / "mariadb", ignore_errors=True)
    unpacking.rename(packages / "mariadb")
    for leftover in (download, packages / "lists", packages / "cache"):
        shutil.rmtree(leftover, ignore_errors=True)


def _apt_get(arguments: Sequence[str], folder: Path | None = None, check: bool = True) -> bool:
    ended = subprocess.run(
        ["apt-get", "--quiet", *arguments],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if check and ended.returncode != 0:
        last_words = "\n".join(ended.stdout.strip().splitlines()[-5:])
        raise StackError(f"apt-get {' '.join(arguments)} failed:\n{last_words}\n{ANOTHER_WAY}")
    return ended.returncode == 0
