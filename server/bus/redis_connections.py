"""One open connection to each server for each lane: opened once, however many ask for it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from server.bus import BusUnavailable
from server.bus.redis_connection import RedisConnection
from server.bus.redis_url import Address

__all__ = ["Lane", "RedisConnections"]

REMEMBERED_S = 0.5
"""How long a failure to connect stands for all who ask, but no longer than the attempt took: where it was
refused at once, the server may be back already."""

PATIENCE_S = 0.25
"""How long anybody waits for an attempt that follows a failed one, which goes on meanwhile: whoever asks many
servers, or one after another, must not wait for the same dead one again and again."""


class Lane(Enum):
    """What a connection is for, so that one kind of work does not wait for another."""

    APPEND = "append"
    ASK = "ask"
    READ = "read"
    """For replies that may be large: what is small, the lease above all, never waits behind them."""
    BELL = "bell"


@dataclass(frozen=True, slots=True)
class _Attempt:
    task: asyncio.Task[RedisConnection]
    patience_s: float | None

    @property
    def has_failed(self) -> bool:
        return self.task.done() and (self.task.cancelled() or self.task.exception() is not None)

    @property
    def is_good(self) -> bool:
        """Whether it is under way, or has led to a connection that is still open."""
        return not self.task.done() or (not self.has_failed and self.task.result().is_open)


_Key: TypeAlias = tuple[Address, Lane]


class RedisConnections:
    """The connections of one client; ``connect`` opens one."""

    def __init__(self, connect: Callable[[Address, Lane], Awaitable[RedisConnection]]) -> None:
        self._connect = connect
        self._attempts: dict[_Key, _Attempt] = {}
        self._remembered_until: dict[_Key, float] = {}
        self._is_closed = False

    async def get(self, address: Address, lane: Lane) -> RedisConnection:
        """Return the open connection; all who ask while it is opened share the outcome.

        Raises ``BusUnavailable``.
        """
        if self._is_closed:
            raise BusUnavailable("the bus is closed")
        attempt = self._attempt((address, lane))
        if not attempt.task.done():
            await asyncio.wait([attempt.task], timeout=attempt.patience_s)
        if not attempt.task.done() or attempt.task.cancelled():
            raise BusUnavailable(f"cannot connect to Redis at {address}")
        error = attempt.task.exception()
        if isinstance(error, BusUnavailable):
            raise BusUnavailable(str(error)) from error  # one of its own for each who waits
        return attempt.task.result()

    def opened(self, lane: Lane) -> list[Address]:
        """Return the servers to which a connection of a lane is open or being opened."""
        return [
            address for (address, of), attempt in self._attempts.items() if of is lane and attempt.is_good
        ]

    def close(self) -> None:
        """End all connections; idempotent."""
        self._is_closed = True
        for attempt in self._attempts.values():
            if not attempt.task.done():
                attempt.task.cancel()
            elif not attempt.has_failed:
                attempt.task.result().close()

    def _attempt(self, key: _Key) -> _Attempt:
        attempt = self._attempts.get(key)
        has_failed = attempt is not None and attempt.has_failed
        is_remembered = has_failed and asyncio.get_running_loop().time() < self._remembered_until[key]
        if attempt is None or not (attempt.is_good or is_remembered):
            # Nobody owns it alone, so nobody who gives up ends it; ``close`` does.
            task = asyncio.create_task(self._open(key))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            attempt = self._attempts[key] = _Attempt(task, PATIENCE_S if has_failed else None)
        return attempt

    async def _open(self, key: _Key) -> RedisConnection:
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        try:
            return await self._connect(*key)
        finally:
            now = loop.time()
            self._remembered_until[key] = now + min(REMEMBERED_S, now - began_at)
