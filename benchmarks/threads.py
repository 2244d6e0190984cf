"""Where the CPU time goes while a block runs: this process by its threads, and other processes as a whole."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil

_SAMPLE_SECONDS = 0.02


@dataclass
class Profile:
    """CPU seconds by what used them."""

    seconds: dict[str, float] = field(default_factory=dict)


@contextmanager
def profiled(others: Mapping[str, psutil.Process]) -> Iterator[Profile]:
    """Fills the profile when the block ends. `others` are processes by name, their children included."""
    profile, over = Profile(), threading.Event()
    threads: dict[int, tuple[str, float, float]] = {}
    sampler = threading.Thread(target=_sample, args=(threads, over), name="sampler")
    before = {name: _with_children(process) for name, process in others.items()}
    sampler.start()
    try:
        yield profile
    finally:
        over.set()
        sampler.join()
        by_name: defaultdict[str, float] = defaultdict(float)
        for name, first, last in threads.values():
            by_name[name] += last - first
        for name, process in others.items():
            by_name[name] += _with_children(process) - before[name]
        profile.seconds = dict(by_name)


def _sample(threads: dict[int, tuple[str, float, float]], over: threading.Event) -> None:
    """Thread by thread: its name, and its CPU seconds when it was first and last seen."""
    process = psutil.Process()
    known = {thread.id for thread in process.threads()}
    while not over.wait(_SAMPLE_SECONDS):
        names = {thread.native_id: thread.name for thread in threading.enumerate()}
        for thread in process.threads():
            used = thread.user_time + thread.system_time
            name = names.get(thread.id)
            if thread.id in threads:
                threads[thread.id] = (threads[thread.id][0], threads[thread.id][1], used)
            elif name is not None and name != "sampler":
                threads[thread.id] = (name.rsplit("_", 1)[0], used if thread.id in known else 0.0, used)


def _with_children(process: psutil.Process) -> float:
    """CPU seconds of a process, its living children and those that it has waited for."""
    times = process.cpu_times()
    total = times.user + times.system + times.children_user + times.children_system
    for child in process.children(recursive=True):
        try:
            used = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += used.user + used.system
    return total
