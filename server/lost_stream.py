"""Publishes a document again whose stream was lost with Redis, or its end (references/protocol.md, B6)."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from crdt.coverage import Coverage
from server.bus import Bus, Position
from server.room import Room
from server.slices import in_slices

__all__ = ["fill_again"]

logger = logging.getLogger("cowrite.bus")

REPUBLISH_WITHIN_S = 1.0
"""All nodes notice a lost stream at once; they fill it again one after another."""


async def fill_again(
    room: Room, bus: Bus, turn: asyncio.Lock, read_on: Callable[[], Awaitable[None]]
) -> None:
    """Publish all that ``room`` holds, unless another node was faster and has published as much.

    ``turn`` is held by the one of the node's rooms that does so; ``read_on`` brings what the stream has by
    then. Raises ``BusUnavailable``, ``DocumentBroken``, and what ``read_on`` raises.
    """
    logger.warning("the stream was lost, publishing the document", extra={"document": room.name})
    await asyncio.sleep(random.uniform(0, REPUBLISH_WITHIN_S))
    async with turn:
        await room.log_has_space()
        await read_on()
        reading = await bus.read(room.name, Position(0))
        coverage = Coverage((entry.update for entry in reading.entries), room.document)
        await in_slices(coverage.steps())
        if not (reading.is_gapless and coverage.is_whole):
            room.republish()
