"""Machines of a cluster, as far as one can stand for them: each has a network, a folder and processes of its own.

Where this is root, a machine is a network namespace, whose processes reach the servers of this test session by a cable
and see no file of the other machines. Elsewhere it is a folder, and its processes are ordinary ones.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

_APART = 'mount --bind "$1" "$2" && mount -t tmpfs none "$3" && cd "$2" && shift 3 && exec "$@"'
_NAMESPACE = "vp-machine{}"
_NEAR = "vp-near{}"
# Network namespaces outlive whoever made them. Who made one holds this lock, which does not.
_LOCKS, _LOCK = Path("/run"), "vp-machine{}.lock"
_STOP_SECONDS = 30.0


@dataclass
class Machine:
    """One machine.

    Attributes:
        name: for people, and for logs.
        folder: all that is on its disk, as this process sees it.
        disk: the same folder, as its own processes see it.
        gateway: the address at which it reaches what listens on this process's 127.0.0.1.
    """

    name: str
    folder: Path
    disk: Path
    gateway: str = "127.0.0.1"
    _prefix: Sequence[str] = ()
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def is_apart(self) -> bool:
        """Whether it has a network of its own."""
        return bool(self._prefix)

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Starts a process in the machine's folder; its output goes to the machine's log."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [*self._prefix, *command],
                cwd=self.folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def kill(self) -> None:
        """Kills all of its processes at once, as a loss of power does."""
        for process in self._processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def stop(self) -> None:
        """Asks its processes to end, and kills what does not."""
        for process in self._processes:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_SECONDS)
        self.kill()

    @property
    def log(self) -> Path:
        return self.folder / "log"


@contextmanager
def machine(name: str, cluster: Path, hidden: Path, ports: Sequence[int]) -> Iterator[Machine]:
    """A machine for as long as the block; nothing of it runs on.

    Args:
        cluster: a folder outside of `hidden`, for the folders of all machines.
        hidden: what no machine sees of this session's files.
        ports: of 127.0.0.1, that it may reach.
    """
    folder = cluster / name
    folder.mkdir(parents=True)
    if os.geteuid() != 0:
        yield from _stopped(Machine(name, folder, folder))
        return
    with _new_namespace() as number:
        namespace, near, far = _NAMESPACE.format(number), _NEAR.format(number), f"vp-far{number}"
        here, there = f"10.213.{number}.1", f"10.213.{number}.2"
        disk = cluster / f"disk-{number}"
        disk.mkdir()
        apart = ["sh", "-c", _APART, "sh", str(folder), str(disk), str(hidden)]
        for command in (
            f"ip link add {near} type veth peer name {far}",
            f"ip link set {far} netns {namespace}",
            f"ip address add {here}/30 dev {near}",
            f"ip link set {near} up",
            f"ip -n {namespace} address add {there}/30 dev {far}",
            f"ip -n {namespace} link set {far} up",
            f"ip -n {namespace} link set lo up",
        ):
            subprocess.run(command.split(), check=True, capture_output=True)
        relay = [sys.executable, "-m", "vector_pipeline_tests.relay", here, *map(str, ports)]
        with subprocess.Popen(relay, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as relaying:
            assert relaying.stdout is not None
            assert relaying.stdout.readline() == b"listening\n"
            prefix = ["ip", "netns", "exec", namespace, "unshare", "--mount", *apart]
            try:
                yield from _stopped(Machine(name, folder, disk, here, prefix))
            finally:
                relaying.terminate()


@contextmanager
def _new_namespace() -> Iterator[int]:
    """The number of a namespace, and so of a network, that no other session has: they are the whole machine's. What
    sessions have left that were killed is removed first."""
    for lock in _LOCKS.glob(_LOCK.format("*")):
        number = int(lock.name.removeprefix("vp-machine").removesuffix(".lock"))
        with _claimed(number) as is_nobodys:
            if is_nobodys:
                _remove_namespace(number)
    for number in range(1, 255):
        with _claimed(number) as is_nobodys:
            if not is_nobodys or not _succeeds("ip", "netns", "add", _NAMESPACE.format(number)):
                continue
            try:
                yield number
            finally:
                _remove_namespace(number)
            return
    raise RuntimeError("there is no network left for another machine: look at `ip netns list`")


@contextmanager
def _claimed(number: int) -> Iterator[bool]:
    """Claims the number for as long as the block, or this process; False where another session has it."""
    path = _LOCKS / _LOCK.format(number)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Who had it may have removed it in between, and a third one made it anew.
            claimed = path.stat().st_ino == os.fstat(file.fileno()).st_ino
        except (BlockingIOError, FileNotFoundError):
            claimed = False
        try:
            yield claimed
        finally:
            if claimed:
                path.unlink()


def _remove_namespace(number: int) -> None:
    """With the processes that are in it."""
    namespace = _NAMESPACE.format(number)
    inside = subprocess.run(["ip", "netns", "pids", namespace], check=False, capture_output=True, text=True)
    for process in map(int, inside.stdout.split()):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    _succeeds("ip", "link", "delete", _NEAR.format(number))
    _succeeds("ip", "netns", "delete", namespace)


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def _stopped(one: Machine) -> Iterator[Machine]:
    try:
        yield one
    finally:
        one.stop()
