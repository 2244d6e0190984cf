"""Under which account the servers run: PostgreSQL refuses root, and a database should not be root anyway.

An ordinary user runs them as itself (where the system has no name for it, as happens in containers, under the
name of nobody, since initdb wants one). Root tries, in this order, and takes the first way in which an account
without rights can reach both the programs and the stack's folder:

1. as nobody, without any capability;
2. where the folder or the packages lie under a closed home (/root is mode 0700, and its mode is not ours to
   change): in a user namespace in which root looks like nobody. Containers often deny making one;
3. as nobody with one capability, that of passing through closed folders.

Whatever the way, the program is executed in place of the launchers, so that the process that was started *is*
the server, and it gets a signal when the supervisor dies, so that no server is ever left behind.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vector_pipeline.embedded.folder import StackError

# Nothing of the caller's environment reaches a server: it may hold passwords, or variables like PGDATA.
BARE_ENVIRONMENT: Mapping[str, str] = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}

NOBODY = 65534  # `nobody` and `nogroup` on every Debian; the kernel's overflow ids elsewhere too


@dataclass(frozen=True)
class Account:
    """A way to run a server.

    Attributes:
        description: for people.
        launcher: what is put before a command.
        uid, gid: who owns the files as seen from outside.
    """

    description: str
    launcher: tuple[str, ...]
    uid: int
    gid: int

    def command(self, arguments: Sequence[str | Path], signal_when_orphaned: signal.Signals | None = None) -> list[str]:
        """The command line that runs `arguments` under this account."""
        words = [*self.launcher]
        setpriv = shutil.which("setpriv")
        if signal_when_orphaned is not None and setpriv is not None:
            # A change of user clears this setting, so it must be made last.
            words += [setpriv, "--pdeathsig", signal_when_orphaned.name.removeprefix("SIG")]
        return [*words, *map(str, arguments)]

    def own(self, path: Path) -> None:
        """Makes a folder of the stack belong to this account, closed to others, with all that is in it."""
        path.mkdir(mode=0o700, exist_ok=True)
        if path.stat().st_uid == self.uid or os.geteuid() != 0:
            return
        for parent, folders, files in os.walk(path):
            for name in (*folders, *files):
                os.chown(Path(parent, name), self.uid, self.gid, follow_symlinks=False)
        os.chown(path, self.uid, self.gid)  # last, so that a walk that was cut short is done again


def choose_account(folder: Path, programs: Mapping[Path, Mapping[str, str]]) -> Account:
    """The first way in which each program starts and the folder is within reach.

    Args:
        programs: executables that understand `--version`, with the environment that each needs.
    """
    tried = []
    for account in _ways_for_root() if os.geteuid() == 0 else _ways_for_others():
        problem = _problem(account, folder, programs)
        if problem is None:
            return account
        tried.append(f"{account.description}: {problem}")
    raise StackError(
        f"The database servers cannot be run here ({'; '.join(tried)}). PostgreSQL refuses to run as root: "
        "run this as an ordinary user that has a name, or move the project (or, with VECTOR_PIPELINE_STACK, "
        "the stack's folder) out of folders that are closed to others."
    )


def _ways_for_others() -> list[Account]:
    return [
        Account("as this user", (), os.geteuid(), os.getegid()),
        Account("as this user, under another name", _namespace(), os.geteuid(), os.getegid()),
    ]


def _ways_for_root() -> list[Account]:
    setpriv = shutil.which("setpriv") or "/usr/bin/setpriv"
    as_nobody = (setpriv, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    # access(2) leaves capabilities out of account unless the securebit is set, and initdb uses it.
    pass_through = (
        "--securebits=+no_setuid_fixup",
        "--inh-caps=-all,+dac_override",
        "--ambient-caps=-all,+dac_override",
    )
    return [
        Account("as nobody", as_nobody, NOBODY, NOBODY),
        Account("in a user namespace", _namespace(), 0, 0),
        Account("as nobody, passing closed folders", (*as_nobody, *pass_through), NOBODY, NOBODY),
    ]


def _namespace() -> tuple[str, ...]:
    unshare = shutil.which("unshare") or "/usr/bin/unshare"
    return (unshare, "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}")


def _problem(account: Account, folder: Path, programs: Mapping[Path, Mapping[str, str]]) -> str | None:
    attempts: list[tuple[list[str | Path], Mapping[str, str]]] = [
        (["/bin/sh", "-c", 'cd "$0" && id -un', folder], BARE_ENVIRONMENT)
    ]
    for program, environment in programs.items():
        # Through a shell: setpriv itself still has root's rights when it executes a program.
        attempts.append((["/bin/sh", "-c", '"$0" --version', program], environment))
    for arguments, environment in attempts:
        try:
            ended = subprocess.run(
                account.command(arguments),
                env=dict(environment),
                cwd="/",
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        if ended.returncode != 0:
            return (ended.stderr.strip().splitlines() or [f"exit status {ended.returncode}"])[-1]
    return None
