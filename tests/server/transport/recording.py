"""What a transport delivers, as the test sees it."""

import asyncio
import functools
import time
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

from tests.support.polling import PATIENCE_S

__all__ = ["BUDGET", "MAX_SIZE", "RECEIVE_BUDGET", "RecordingSink", "on_uvloop", "until"]

MAX_SIZE = 1_000_000
BUDGET = 65_536
RECEIVE_BUDGET = 4 * MAX_SIZE


def on_uvloop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test on uvloop, as the server does, for a bounded time."""

    async def bounded(**arguments: Any) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await test(**arguments)

    @functools.wraps(test)
    def run(**arguments: Any) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(bounded(**arguments))

    return run


async def until(condition: Callable[[], bool], interval_s: float = 0.002) -> None:
    """Poll until ``condition`` holds, for a bounded time."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S:g} s"
        await asyncio.sleep(interval_s)


class RecordingSink:
    """Notes every call; a hook may act in the middle of a message."""

    def __init__(self, on_lost: Callable[[], None] = lambda: None) -> None:
        self._on_lost = on_lost
        self.events: list[Any] = []
        self.on_message: Callable[[bytes], None] = lambda payload: None

    @property
    def messages(self) -> list[bytes]:
        return [event for event in self.events if isinstance(event, bytes)]

    @property
    def is_over(self) -> bool:
        return "clean" in self.events or "unclean" in self.events

    def message_received(self, payload: bytes) -> None:
        assert type(payload) is bytes
        self.events.append(payload)
        self.on_message(payload)

    def text_received(self) -> None:
        self.events.append("text")

    def malformed_received(self, code: int, reason: str) -> None:
        self.events.append((code, reason))

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")

    def connection_lost(self, *, clean: bool) -> None:
        self.events.append("clean" if clean else "unclean")
        self._on_lost()
