"""Programs from Debian's and Ubuntu's packages: installed by root, or fetched and unpacked by anybody.

An unpacked package needs no rights and starts no service. With it comes what it depends on and the machine lacks, as
apt itself works it out: the names of libraries differ from one release to the next.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

_LACKED = "Inst "  # how a line of `apt-get --simulate install` begins that names a package


class PackagesError(Exception):
    """apt-get could not bring the packages. Holds its last words."""


def can_be_had() -> bool:
    """Whether the programs are here that fetch and unpack packages."""
    return shutil.which("apt-get") is not None and shutil.which("dpkg-deb") is not None


def install(packages: Sequence[str]) -> None:
    """Installs them, as root.

    Raises:
        PackagesError: that fails.
    """
    arguments = ["install", "--yes", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120", *packages]
    try:
        _apt_get(arguments)
    except PackagesError:  # no package lists yet, or so old that they name packages that are gone
        _apt_get(["update"])
        _apt_get(arguments)


def unpack(packages: Sequence[str], root: Path) -> None:
    """Fetches them with what they depend on, and unpacks them below `root`, which is there once all of it is.

    Raises:
        PackagesError: that fails.
    """
    download = root.with_name(f"{root.name}.download")
    shutil.rmtree(download, ignore_errors=True)
    download.mkdir(parents=True)
    try:
        _fetch(packages, download)
    except PackagesError:  # the machine's lists are missing or old, and only root may renew them
        _fetch(packages, download, _own_lists(download))
    making = root.with_name(f"{root.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    for package in sorted(download.glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", package, making], check=True)
    shutil.rmtree(root, ignore_errors=True)
    making.rename(root)
    shutil.rmtree(download, ignore_errors=True)


def libraries(root: Path) -> str:
    """The folders of shared libraries among what was unpacked, as LD_LIBRARY_PATH takes them."""
    return os.pathsep.join(map(str, [*root.glob("usr/lib/*-linux-gnu*"), *root.glob("lib/*-linux-gnu*")]))


def _fetch(packages: Sequence[str], download: Path, options: Sequence[str] = ()) -> None:
    planned = _apt_get([*options, "--simulate", "install", "--no-install-recommends", *packages])
    lacked = [line.split()[1] for line in planned.splitlines() if line.startswith(_LACKED)]
    _apt_get([*options, "download", *dict.fromkeys([*packages, *lacked])], download)


def _own_lists(download: Path) -> list[str]:
    """Package lists of our own, as options of apt-get."""
    lists, cache = download / "lists", download / "cache"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    (cache / "archives/partial").mkdir(parents=True, exist_ok=True)
    options = ["-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={cache}"]
    _apt_get([*options, "update"])
    return options


def _apt_get(arguments: Sequence[str], folder: Path | None = None) -> str:
    """What it printed."""
    ended = subprocess.run(
        ["apt-get", "--quiet", *arguments],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ended.returncode != 0:
        last_words = "\n".join(ended.stdout.strip().splitlines()[-5:])
        raise PackagesError(f"apt-get {' '.join(arguments)} failed:\n{last_words}")
    return ended.stdout
