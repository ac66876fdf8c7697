"""The WebSocket endpoint: who may connect to which document, then a connection in a room.

A refusal is a close code, never an HTTP status: a browser cannot see why an upgrade failed, and stock
clients would try for ever (references/protocol.md, C2).
"""

import asyncio
import logging
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from crdt.errors import CloseCode, CowriteError
from crdt.limits import Limits
from server.bus import BusUnavailable
from server.connection import Connection
from server.health import Health
from server.names import BadName, document_name
from server.node import Node
from server.room import Room
from server.storage import DocumentUnreadable, StoreUnavailable
from server.transport import Transport
from server.transport.asgi import open_transport

__all__ = ["DocumentEndpoint"]

logger = logging.getLogger("cowrite.endpoint")

PATH_SHOWN = 300
"""Characters of a refused path that are logged."""


class Refused(CowriteError):
    """The connection gets no room; the text is for the log."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class DocumentEndpoint:
    """``/ws/{document}``: one document for each WebSocket, in the dialect of y-websocket."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._limits = Limits.of(node.settings.max_message_bytes)
        self._coming = 0
        """WebSockets that wait for their document."""
        self._on_left = node.forget
        """One for all: a bound method is 80 bytes."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one WebSocket: until it ends, or until it lives on without the server's call."""
        await receive()
        # A client that offers subprotocols fails the handshake unless one is chosen.
        offered = scope["subprotocols"]
        await send({"type": "websocket.accept", "subprotocol": offered[0] if offered else None})
        try:
            room = await self._acquire(self._admit(scope))
        except Refused as refused:
            fields = {"path": scope["path"][:PATH_SHOWN], "code": int(refused.code)}
            logger.warning("refused: %s", refused, extra=fields)
            await send({"type": "websocket.close", "code": refused.code, "reason": refused.code.phrase})
            return
        budget_bytes = self._node.settings.write_budget_bytes
        transport = open_transport(scope, receive, send, budget_bytes, self._node.receive_budget)
        await self._serve(room, transport)

    def _admit(self, scope: Scope) -> str:
        headers = Headers(scope=scope)
        if not _is_allowed(headers, self._node.settings.allow_origin):
            raise Refused(CloseCode.FORBIDDEN, f"foreign origin {headers['origin'][:100]!r}")
        if self._node.is_draining:
            raise Refused(CloseCode.RESTART, "stopping")
        if self._coming + len(self._node.connections) >= self._node.settings.max_connections:
            raise Refused(CloseCode.OVERLOADED, "too many connections")
        try:
            return document_name(scope["path_params"]["document"])
        except BadName as error:
            raise Refused(CloseCode.MALFORMED, str(error)) from error

    async def _acquire(self, name: str) -> Room:
        self._coming += 1
        try:
            return await self._node.rooms.acquire(name)
        except (StoreUnavailable, DocumentUnreadable, BusUnavailable) as error:
            raise Refused(CloseCode.UNREADABLE, str(error)) from error
        finally:
            self._coming -= 1

    async def _serve(self, room: Room, transport: Transport) -> None:
        health = Health(asyncio.get_running_loop().time(), self._node.settings.slow_client_s)
        connection = Connection(transport, room, self._node.dialect, health, self._limits, self._on_left)
        self._node.connections.add(connection)
        try:
            room.join(connection)
            await transport.serve(connection)
        except BaseException:
            connection.leave(clean=False)
            raise


def _is_allowed(headers: Headers, allowed: tuple[str, ...]) -> bool:
    """S11: any page in a browser can reach a server on 127.0.0.1; programs send no Origin."""
    origin = headers.get("origin")
    if origin is None or "*" in allowed or origin in allowed:
        return True
    try:
        return bool(origin != "null" and urlsplit(origin).netloc == headers.get("host"))
    except ValueError:
        return False
