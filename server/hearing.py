"""What other nodes tell of who is with them, on its way into a room (references/protocol.md, A12, B8)."""

import asyncio
import logging

from crdt.errors import ProtocolError
from server.bus import Bus
from server.room import Room

__all__ = ["hear", "hear_everybody"]

logger = logging.getLogger("cowrite.bus")


def hear(room: Room, node: str, update: bytes) -> None:
    """Pass on what another node tells of its connections."""
    try:
        room.presence.hear_node(node, update, asyncio.get_running_loop().time())
    except ProtocolError as error:
        logger.error("bad presence from node %s: %s", node, error, extra={"document": room.name})


async def hear_everybody(room: Room, bus: Bus) -> None:
    """Take what the other nodes keep of their presence; raises ``BusUnavailable``."""
    loop = asyncio.get_running_loop()
    asked_at = loop.time()
    living = await bus.living_nodes()
    kept = await bus.presence(room.name)
    try:
        room.presence.hear_all(kept, living, asked_at, loop.time())
    except ProtocolError as error:
        logger.error("bad presence: %s", error, extra={"document": room.name})
