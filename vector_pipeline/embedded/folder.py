"""What lies where in the folder of a stack, and how its private files are written.

Everything that a stack is lies in one folder: deleting the folder (after `stack down`) deletes the stack.
Files that hold a password are readable by their owner alone from the first byte on. The servers may run as
another account than the supervisor: that account owns `data/` and nothing else.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from vector_pipeline.core.errors import VectorPipelineError

Phase = Literal["starting", "ready", "failed", "stopped"]


class StackError(VectorPipelineError):
    """The embedded stack cannot do what it was asked."""


@dataclass(frozen=True)
class Passwords:
    """Made once per stack and kept with it."""

    postgres: str = field(repr=False)
    mysql: str = field(repr=False)
    mysql_root: str = field(repr=False)


@dataclass
class ServerState:
    """What the supervisor says about one server. The port outlives the server: it is used again."""

    port: int
    pid: int | None = None
    restarts: int = 0


@dataclass
class StackState:
    """What the supervisor says about itself, for whoever looks into the folder."""

    pid: int
    phase: Phase = "starting"
    message: str = ""
    servers: dict[str, ServerState] = field(default_factory=dict)


def default_folder() -> Path:
    """VECTOR_PIPELINE_STACK, or `.stack` in the project (else the folder) that this is called in."""
    named = os.environ.get("VECTOR_PIPELINE_STACK")
    if named:
        return Path(named).expanduser().resolve()
    here = Path.cwd()
    project = next((folder for folder in (here, *here.parents) if (folder / "pyproject.toml").exists()), here)
    return project / ".stack"


@dataclass(frozen=True)
class StackFolder:
    """Names of the files and folders of a stack."""

    path: Path

    @property
    def data(self) -> Path:
        """Owned by the account that runs the servers, closed to all others."""
        return self.path / "data"

    @property
    def packages(self) -> Path:
        """Where Debian packages are unpacked if they cannot be installed.

        VECTOR_PIPELINE_PACKAGES names a place that several stacks share.
        """
        shared = os.environ.get("VECTOR_PIPELINE_PACKAGES")
        return Path(shared) if shared else self.path / "packages"

    @property
    def environment(self) -> Path:
        """The addresses as a dotenv file."""
        return self.path / "environment"

    def log(self, name: str) -> Path:
        """The log of a server or of the supervisor."""
        return self.path / f"{name}.log"

    def create(self) -> None:
        """Makes the folder if it is not there: others may pass through to `data/`, but see nothing.

        A folder that is there already keeps its mode, whatever it is.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.path.mkdir(mode=0o700)
        except FileExistsError:
            return
        self.path.chmod(0o711 if os.geteuid() == 0 else 0o700)

    def passwords(self) -> Passwords:
        """The stack's passwords, made up at the first call."""
        file = self.path / "passwords.json"
        try:
            return Passwords(**json.loads(file.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            made = Passwords(secrets.token_hex(20), secrets.token_hex(20), secrets.token_hex(20))
            write_private(file, json.dumps(asdict(made)))
            return made

    def read_state(self) -> StackState | None:
        """What the last supervisor wrote, whether or not it still lives."""
        try:
            values = json.loads((self.path / "state.json").read_text())
            servers = {name: ServerState(**server) for name, server in values.pop("servers").items()}
            return StackState(**values, servers=servers)
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return None

    def write_state(self, state: StackState) -> None:
        """Replaces the state at once, so that a reader never sees half of it."""
        write_private(self.path / "state.json", json.dumps(asdict(state)))

    def supervised(self) -> bool:
        """Whether a supervisor lives: it holds this lock as long as it does, however it may die."""
        try:
            with (self.path / "supervisor.lock").open() as lock:
                return not _try_lock(lock.fileno())
        except FileNotFoundError:
            return False

    def take_supervision(self) -> int | None:
        """The descriptor that holds the supervisor's lock, or None where another supervisor has it."""
        descriptor = os.open(self.path / "supervisor.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        for _ in range(20):
            if _try_lock(descriptor):
                return descriptor
            time.sleep(0.02)  # `supervised` holds the lock for a moment, too
        os.close(descriptor)
        return None

    @contextmanager
    def being_changed(self) -> Iterator[None]:
        """One `up` or `down` at a time; a second one waits here."""
        descriptor = os.open(self.path / "change.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def write_private(file: Path, text: str) -> None:
    """Replaces the file at once; only its owner can read it, at any moment."""
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(text)
    beside.replace(file)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
