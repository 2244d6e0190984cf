"""Free ports of this machine that stay free.

Ports are taken from below the range that the kernel gives to outgoing connections (32768 and up on Linux), so
that none of those can sit on a server's port while the server restarts.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Container

LOWEST, HIGHEST = 20000, 32000
_RANDOM = random.SystemRandom()  # two test sessions with the same seed must not race for the same ports


def is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1 at this port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as attempt:
        # As servers do: a port whose last connections are still fading away counts as free.
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose_port(previous: int | None = None, besides: Container[int] = ()) -> int:
    """The previous port if it is free, so that addresses stay the same; else another free one."""
    if previous is not None and previous not in besides and is_free(previous):
        return previous
    while True:
        port = _RANDOM.randint(LOWEST, HIGHEST)
        if port not in besides and is_free(port):
            return port
