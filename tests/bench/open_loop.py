"""Requests that are sent when they are due, whatever became of those before (open loop)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

START_S = 0.2
"""From the call to the first request, s."""


async def ask_when_due(
    ask: Callable[[int, float], Awaitable[None]],
    *,
    rate_per_s: float,
    count: int,
    wait_s: float,
) -> int:
    """Send request i at start + i / rate, and wait for all answers.

    A latency counts from the time when its request was due, so a pause shows in every request that
    was due during the pause.

    Args:
        ask: sends the request of a number and waits for its answer; is also given when it was due,
            s by `time.perf_counter`. What it raises is raised at the end.
        rate_per_s: requests a second.
        count: how many.
        wait_s: how long to wait for answers after the last request.

    Returns:
        How many requests had no answer by then; they are cancelled.
    """
    start_s = time.perf_counter() + START_S
    tasks = []
    for at in range(count):
        due_s = start_s + at / rate_per_s
        if (left_s := due_s - time.perf_counter()) > 0:
            await asyncio.sleep(left_s)
        tasks.append(asyncio.ensure_future(ask(at, due_s)))
    answered, late = await asyncio.wait(tasks, timeout=wait_s)
    for task in late:
        task.cancel()
    for task in answered:
        task.result()
    return len(late)
