"""The WebSocket endpoint: a request that is admitted becomes a connection in a room, others are turned away.

A refusal is a close code, never an HTTP status: a browser cannot see why an upgrade failed, and stock
clients would try for ever (references/protocol.md, C1, L3).
"""

import asyncio

from starlette.types import Receive, Scope, Send

from crdt.errors import CloseCode
from crdt.limits import Limits
from server.admission import Admission
from server.bus import BusUnavailable
from server.callers import Caller
from server.connection import Connection
from server.health import Health
from server.node import Node
from server.refusals import HELD_MESSAGE_BYTES, Refused
from server.room import Room
from server.storage import DocumentUnreadable, StoreUnavailable
from server.transport import Transport
from server.transport.asgi import open_transport

__all__ = ["DocumentEndpoint"]

PATH_SHOWN = 300
"""Characters of a refused path that are logged."""

UNREADABLE = f"{CloseCode.UNREADABLE}: The document cannot be loaded now."


class DocumentEndpoint:
    """``/ws/{document}``: one document for each WebSocket, in the dialect of y-websocket."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._limits = Limits.of(node.settings.max_message_bytes)
        self._admission = Admission(node.settings)
        self._coming = 0
        """WebSockets that wait for their document."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one WebSocket: until it ends, or until it lives on without the server's call."""
        await receive()
        # A client that offers subprotocols fails the handshake unless one is chosen.
        offered = scope["subprotocols"]
        await send({"type": "websocket.accept", "subprotocol": offered[0] if offered else None})
        caller = self._admission.caller_of(scope)
        budget_bytes = self._node.settings.write_budget_bytes
        try:
            room = await self._acquire(self._admit(scope, caller))
        except Refused as refused:
            reason = str(refused)
            fields = {"path": scope["path"][:PATH_SHOWN], "address": caller.address}
            self._node.refusals.log((caller.address, reason), refused.code, reason, fields)
            transport = open_transport(
                scope, receive, send, budget_bytes, self._node.receive_budget, HELD_MESSAGE_BYTES
            )
            await self._node.refusals.turn_away(transport, self._node.dialect, refused, caller.address)
            return
        await self._serve(room, open_transport(scope, receive, send, budget_bytes, self._node.receive_budget))

    def _admit(self, scope: Scope, caller: Caller) -> str:
        connections = self._coming + len(self._node.connections)
        return self._admission.admit(scope, caller, connections, is_draining=self._node.is_draining)

    async def _acquire(self, name: str) -> Room:
        self._coming += 1
        try:
            return await self._node.rooms.acquire(name)
        except (StoreUnavailable, DocumentUnreadable, BusUnavailable) as error:
            raise Refused(CloseCode.UNREADABLE, UNREADABLE, f"cannot load: {error}") from error
        finally:
            self._coming -= 1

    async def _serve(self, room: Room, transport: Transport) -> None:
        health = Health(asyncio.get_running_loop().time(), self._node.settings.slow_client_s)
        connection = Connection(transport, room, self._node.dialect, health, self._limits, self._node)
        self._node.connections.add(connection)
        try:
            room.join(connection)
            await transport.serve(connection)
        except BaseException:
            connection.leave(clean=False)
            raise
