"""What the tests of every bus share."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from server.bus import Bus, Position, Reading

__all__ = ["LEASE_S", "World", "append", "everything", "updates_of"]

LEASE_S = 30.0


class World(Protocol):
    """What the nodes of one test share, and how to harm it."""

    def open(self, node: str, lease_s: float = LEASE_S) -> AbstractAsyncContextManager[Bus]: ...
    def forget(self, document: str) -> None: ...
    def poison(self, document: str) -> None:
        """Append what nobody can read to a stream that is there."""

    def forget_everything(self) -> None: ...


async def append(bus: Bus, document: str, *updates: bytes) -> Sequence[Position]:
    return await bus.append([(document, update) for update in updates])


async def everything(bus: Bus, document: str) -> Reading:
    return await bus.read(document, Position(0))


def updates_of(reading: Reading) -> list[bytes]:
    return [entry.update for entry in reading.entries]
