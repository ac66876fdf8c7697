"""WebSockets on uvicorn: its handshake, and then a direct path from the socket to the connection and back.

uvicorn's protocol does the opening handshake and runs the app. When the app asks for the direct path,
the socket gets another protocol, ``UvicornTransport``, and everything that the handshake needed can go:
request, headers, queue, parser and a waiting task were 26 KB for each connection
(references/patterns.md, P19).
"""

import asyncio

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.protocol import State

from crdt.errors import CloseCode
from server.transport import DIRECT
from server.transport.direct import UvicornTransport
from server.transport.parser import Parser

__all__ = ["CowriteProtocol"]

_TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class CowriteProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol (``ws=CowriteProtocol``), offering the direct path in the scope.

    ``scope["extensions"][DIRECT]["open"](write_budget_bytes)`` gives the ``UvicornTransport`` of an
    accepted connection, which lives on when the app returns. Between the acceptance and what the app
    does next nothing is read. An app that goes on with ``receive`` gets uvicorn's ordinary way.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn = Parser(config.ws_max_size, State.CONNECTING)
        self.conn.available_extensions = []
        self._direct: UvicornTransport | None = None
        self._is_app_to_choose = False
        """Whether the connection is accepted, and the app has not yet chosen a way."""

    async def run_asgi(self) -> None:
        """Run the app with the direct path in its scope."""
        app, scope = self.app, self.scope
        scope["extensions"][DIRECT] = {"open": self.open}

        async def with_whole_scope(_scope: object, receive: object, send: object) -> object:
            return await app(scope, receive, send)

        # T8: uvicorn logs path and query of self.scope; only the app may see the query.
        self.scope = {**scope, "query_string": b""}
        self.app = with_whole_scope
        await super().run_asgi()
        if self._direct is not None and not self._direct.is_serving:
            # The app has failed, unless it has closed by itself.
            self._direct.close(CloseCode.FAILURE, CloseCode.FAILURE.phrase)

    def open(self, write_budget_bytes: int) -> UvicornTransport:
        """Give the direct way to this connection; once, after ``websocket.accept``."""
        direct = self._hand_over()
        direct.limit_writing(write_budget_bytes)
        return direct

    def _hand_over(self) -> UvicornTransport:
        assert self.handshake_complete
        if self._direct is None:
            self._is_app_to_choose = False
            path = self.scope["path"]
            peers: set[object] = self.connections  # type: ignore[assignment]  # which knows its own protocols only
            self._direct = UvicornTransport(self.transport, peers, path, self.config.ws_max_size)
            if self.disconnected:
                self._direct.connection_lost(None)
            else:
                self._direct.take_over()
                peers.discard(self)
            self.transport = _HANDED_OVER
        return self._direct

    async def receive(self) -> ASGIReceiveEvent:
        """Give the next event; after the acceptance this chooses uvicorn's ordinary way."""
        if self._is_app_to_choose:
            self._is_app_to_choose = False
            self.transport.resume_reading()
        return await super().receive()

    async def send(self, message: ASGISendEvent) -> None:
        """Take an event; a refusal, which closes what was just accepted, goes the direct way."""
        if message["type"] == "websocket.close" and self._is_app_to_choose:
            self._hand_over().close(message.get("code", 1000), message.get("reason") or "")
            return
        await super().send(message)
        if message["type"] == "websocket.accept" and self.handshake_complete:
            self._is_app_to_choose = True
            self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        """Take the handshake, and everything where the app has chosen uvicorn's ordinary way."""
        if self.handshake_initiated and not self.handshake_complete:
            self.transport.abort()  # RFC 6455, 4.1: the client must wait for our response
            return
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            # The parser gives up on a line above 8 KB without a word, and the client would wait for ever.
            self.transport.write(_TOO_LONG)
            self.transport.close()

    def shutdown(self) -> None:
        """Tell the peer that the server restarts (uvicorn calls this when it stops)."""
        if self._is_app_to_choose:
            self._hand_over().shutdown()
        else:
            super().shutdown()


class _HandedOver(asyncio.Transport):
    """Stands for the socket that has another protocol, for uvicorn closes it when the app returns."""

    def close(self) -> None:
        """Do nothing."""

    def is_closing(self) -> bool:
        """Always True: uvicorn has nothing to write."""
        return True


_HANDED_OVER = _HandedOver()
