"""Where the servers of a test session keep their data: in memory where there is enough of it, else on the disk.

Each test has databases of its own, of some three hundred files each; on a disk making them takes three times as long.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

MEMORY = Path("/dev/shm")
_NAME = "vector-pipeline-tests"
_ENOUGH = 6 << 30
"""Bytes that have to be free, of the file system and of the machine's memory: a session of three takes some two GiB."""


@contextmanager
def server_folder(factory: pytest.TempPathFactory, name: str) -> Iterator[Path]:
    """A folder that is gone with the block; what a killed session has left in memory goes when the next one starts."""
    if not _is_enough():
        folder = factory.mktemp(name)
    else:
        _remove_leftovers()
        folder = MEMORY / f"{_NAME}-{os.getpid()}-{name}"
        folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_enough() -> bool:
    return (
        os.access(MEMORY, os.W_OK)
        and shutil.disk_usage(MEMORY).free >= _ENOUGH
        and psutil.virtual_memory().available >= _ENOUGH
    )


def _remove_leftovers() -> None:
    for folder in MEMORY.glob(f"{_NAME}-*"):
        owner = int(folder.name.removeprefix(f"{_NAME}-").split("-")[0])
        if not psutil.pid_exists(owner):
            shutil.rmtree(folder, ignore_errors=True)
