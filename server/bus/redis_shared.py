"""One question for all who ask it at the same time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from server.bus import BusUnavailable

__all__ = ["Shared"]

_Answer = TypeVar("_Answer")


class Shared(Generic[_Answer]):
    """Calls ``ask`` for many who want the same answer, never twice at a time.

    Nobody is given the answer to a question that was put before they came.
    """

    def __init__(self, ask: Callable[[], Awaitable[_Answer]]) -> None:
        self._ask = ask
        self._under_way: asyncio.Task[_Answer] | None = None
        self._next: asyncio.Task[_Answer] | None = None

    async def answer(self) -> _Answer:
        """Return the answer to the next question; raises ``BusUnavailable`` as ``ask`` does."""
        if self._next is None:
            # Nobody owns it alone, so nobody who gives up ends it; what it waits for has a bound of its own.
            self._next = asyncio.create_task(self._ask_next())
            self._next.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            return await asyncio.shield(self._next)
        except BusUnavailable as error:
            raise BusUnavailable(str(error)) from error  # one of its own for each who waits

    async def _ask_next(self) -> _Answer:
        if self._under_way is not None:
            await asyncio.wait([self._under_way])
        self._under_way, self._next = self._next, None
        return await self._ask()
