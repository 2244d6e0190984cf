"""What the command line reads beside the environment: `.env`, and what the embedded stack wrote. The first one wins."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values

from vector_pipeline.core.settings import read_secrets
from vector_pipeline.embedded.folder import StackFolder, default_folder

# A server's other variables, such as its port and password, begin so too.
_SERVERS = {"DB_HOST": "DB_", "PG_HOST": "PG"}


def load_environment() -> None:
    """The environment, then `.env` in this folder, then what the stack wrote; last, secrets in files."""
    dot_env = dotenv_values(Path.cwd() / ".env")
    os.environ.update(beside(os.environ, dot_env))
    of_stack = dotenv_values(StackFolder(default_folder()).environment)
    os.environ.update(beside(os.environ, of_unnamed_servers(os.environ, of_stack)))
    os.environ.update(read_secrets())


def beside(environment: Mapping[str, str], others: Mapping[str, str | None]) -> dict[str, str]:
    """Those that the environment has not."""
    return {name: value for name, value in others.items() if value is not None and name not in environment}


def of_unnamed_servers(environment: Mapping[str, str], of_stack: Mapping[str, str | None]) -> dict[str, str | None]:
    """What the stack wrote of servers whose host the environment does not name. One that it names is not reached at the
    stack's port, and is not told the stack's password."""
    named = tuple(prefix for host, prefix in _SERVERS.items() if environment.get(host))
    return {name: value for name, value in of_stack.items() if not name.startswith(named)}
