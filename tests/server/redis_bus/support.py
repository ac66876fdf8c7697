"""What the tests of the Redis bus share."""

from collections.abc import Sequence

from server.bus import BusUnavailable, Position
from server.bus.redis import RedisBus
from server.bus.redis_keys import RedisKeys
from tests.support.polling import PATIENCE_S, poll

__all__ = [
    "BELL",
    "STREAM",
    "TIMEOUT_S",
    "append",
    "append_until_done",
    "everything",
    "without_doubles",
]

TIMEOUT_S = 2.0
"""Short, as many tests wait for it, and longer than a busy machine stalls."""
STREAM, BELL = RedisKeys(0).of("a").stream, RedisKeys(0).of("a").bell


async def append(bus: RedisBus, *updates: bytes, document: str = "a") -> Sequence[Position]:
    return await bus.append([(document, update) for update in updates])


async def append_until_done(bus: RedisBus, *updates: bytes, document: str = "a") -> Sequence[Position]:
    """Repeat the same call as a writer does."""
    positions: Sequence[Position] = []

    async def is_done() -> bool:
        nonlocal positions
        try:
            positions = await append(bus, *updates, document=document)
        except BusUnavailable:
            return False
        return True

    await poll(is_done, PATIENCE_S, "the bus is back")
    return positions


async def everything(bus: RedisBus, document: str = "a") -> list[bytes]:
    return [entry.update for entry in (await bus.read(document, Position(0))).entries]


def without_doubles(updates: Sequence[bytes]) -> list[bytes]:
    return list(dict.fromkeys(updates))
