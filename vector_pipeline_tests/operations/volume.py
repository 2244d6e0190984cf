"""A small volume of its own for a server, to be full when a test wants it to be."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Volume:
    """A file system of some hundred megabytes; `problem` says why this is none, but a folder like any other."""

    path: Path
    problem: str | None

    def fill(self, leaving: int) -> None:
        """Leaves so many bytes."""
        found = os.statvfs(self.path)
        with self._ballast.open("wb") as ballast:
            os.posix_fallocate(ballast.fileno(), 0, found.f_bavail * found.f_frsize - leaving)

    def make_room(self) -> None:
        """Takes that back."""
        self._ballast.unlink(missing_ok=True)

    @property
    def _ballast(self) -> Path:
        return self.path / "ballast"


# Mounts, says so, and unmounts at the end of the pipe, which is the end of the process that has it too. It stands in
# the folder, since another session may rename what one that was killed has left.
_KEEPER = 'mount -t tmpfs -o "size=$1m,mode=0755" tmpfs "$0" 2>&1 && echo mounted; cat >/dev/null; umount --lazy "$0"'


@contextmanager
def small_volume(path: Path, megabytes: int) -> Iterator[Volume]:
    """Mounts one, where that is permitted. It goes with the block, and with this process however that ends."""
    path.mkdir()
    with subprocess.Popen(
        ["sh", "-c", _KEEPER, path.name, str(megabytes)],
        cwd=path.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as keeper:
        assert keeper.stdout is not None
        said = keeper.stdout.readline().strip()
        yield Volume(path, None if said == "mounted" else f"no file system can be mounted here: {said}")
        keeper.communicate()
