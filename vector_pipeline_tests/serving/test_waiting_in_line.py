"""How long work waits for a free thread is told to the work itself."""

from __future__ import annotations

import asyncio
import threading
import time

from vector_pipeline.serving.threads import run_blocking, seconds_in_line


def test_work_knows_how_long_it_has_waited_for_a_thread() -> None:
    # There is one thread for `metrics`.
    begun, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        let_go.wait(30)

    async def work() -> tuple[float, float]:
        first = asyncio.create_task(run_blocking("metrics", hold))
        await asyncio.to_thread(begun.wait, 30)
        second = asyncio.create_task(run_blocking("metrics", seconds_in_line))
        await asyncio.sleep(0)
        submitted = time.perf_counter()
        await asyncio.to_thread(time.sleep, 0.02)
        held = time.perf_counter() - submitted
        let_go.set()
        await first
        return await second, held

    waited, held = asyncio.run(work())
    assert waited >= held
    assert seconds_in_line() == 0.0
