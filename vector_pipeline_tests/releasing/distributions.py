"""The wheel and the sdist, built from what git knows of this folder, as it is now."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from vector_pipeline_tests.conftest import PROJECT


@dataclass(frozen=True)
class Distributions:
    """The two files, and the names of what is in them."""

    wheel: Path
    sdist: Path

    @property
    def in_wheel(self) -> set[str]:
        with zipfile.ZipFile(self.wheel) as opened:
            return set(opened.namelist())

    @property
    def in_sdist(self) -> set[str]:
        with tarfile.open(self.sdist) as opened:
            return {member.name.partition("/")[2] for member in opened.getmembers()}


def known_files() -> set[str]:
    """Those of this folder that git knows, or would if it were told of them."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True).stdout.splitlines()
    return {name for name in listed if (PROJECT / name).exists() or (PROJECT / name).is_symlink()}


def copy_source(folder: Path) -> Path:
    """A copy of what git knows, which nothing else changes meanwhile."""
    source = folder / "source"
    source.mkdir()
    packed = subprocess.run(["tar", "c", *sorted(known_files())], cwd=PROJECT, check=True, capture_output=True)
    subprocess.run(["tar", "x"], cwd=source, input=packed.stdout, check=True)
    return source


def build(source: Path, folder: Path) -> Distributions:
    """Both, without asking anybody for the builder."""
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    [wheel], [sdist] = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return Distributions(wheel, sdist)
