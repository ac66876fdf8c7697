"""Waiting for a condition, with a bound: what tests do instead of sleeping."""

import asyncio
import time
from collections.abc import Awaitable, Callable

__all__ = ["PATIENCE_S", "poll", "poll_blocking"]

PATIENCE_S = 120.0
"""The bound of a wait that says nothing of how long a thing may take: it only ends a hang.

A busy machine takes many times as long as an idle one. Where waiting longer would hide a fault, because
something else mends it in the end, the test looks at who mended it.
"""
INTERVAL_S = 0.02


async def poll(condition: Callable[[], Awaitable[object]], timeout_s: float, what: str) -> None:
    """Return once ``condition`` gives something true; fail with ``what`` after ``timeout_s`` seconds."""
    deadline = time.monotonic() + timeout_s
    while not await condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        await asyncio.sleep(INTERVAL_S)


def poll_blocking(condition: Callable[[], object], timeout_s: float, what: str) -> None:
    """Do the same from a thread, or where no event loop runs."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(INTERVAL_S)
