"""Counts the calls under way of a store whose calls are coroutines, so that closing can wait for them."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from server.storage import StoreClosed

__all__ = ["Calls"]


class Calls:
    """The calls that have begun and not ended."""

    def __init__(self) -> None:
        self._count = 0
        self._is_closed = False
        self._idle = asyncio.Event()
        self._idle.set()

    @contextmanager
    def one(self) -> Iterator[None]:
        """Be a call for as long as the block runs; raises ``StoreClosed`` after ``end``."""
        if self._is_closed:
            raise StoreClosed("the store is closed")
        self._count += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._count -= 1
            if self._count == 0:
                self._idle.set()

    async def end(self) -> None:
        """Let no call begin any more, and wait until the last one has ended; idempotent."""
        self._is_closed = True
        await self._idle.wait()
