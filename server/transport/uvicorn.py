"""WebSockets on uvicorn: the opening handshake, and then a direct path from the socket to the connection.

uvicorn gives us the request and runs the app. When the app asks for the direct path, the socket gets another
protocol, ``UvicornTransport``, and everything that the handshake needed can go: it was 26 KB for each
connection (references/patterns.md, P19).
"""

import asyncio
import logging
from collections.abc import Callable
from enum import Enum, auto
from typing import TypeAlias
from urllib.parse import unquote

from starlette.types import Message, Scope
from uvicorn.config import Config
from uvicorn.protocols.utils import ClientDisconnected, get_remote_addr, is_ssl
from uvicorn.server import ServerState

from crdt.errors import CloseCode
from server.transport import DIRECT
from server.transport.direct import UvicornTransport
from server.transport.handshake import Opening, Refusal, closing_response, read_opening
from server.transport.receive_budget import ReceiveBudget

__all__ = ["CowriteProtocol"]

_logger = logging.getLogger("cowrite.transport")

_FORBIDDEN = closing_response(b"403 Forbidden")
_FAILED = closing_response(b"500 Internal Server Error")


PassOn: TypeAlias = Callable[[asyncio.Transport, bytes, bytes], bool]


class _Phase(Enum):
    BEFORE_REQUEST = auto()
    ASKED = auto()
    """The app has the request, and has not answered."""
    ACCEPTED = auto()
    """The client is in; nothing is read until the app has asked for the direct path."""
    OVER = auto()
    """Refused, lost, handed over, or passed on."""


class CowriteProtocol(asyncio.Protocol):
    """One opening handshake (``ws=CowriteProtocol``), and the call of the app that answers it.

    ``scope["extensions"][DIRECT]["open"](write_budget_bytes, receive_budget)`` gives the
    ``UvicornTransport`` of an accepted connection, which lives on when the app returns; with
    ``largest_bytes`` besides, one that takes no larger messages. That is the only way to go on: to
    ``receive`` messages and to ``send`` them raises ``RuntimeError``. uvicorn's own protocol reads each
    request twice and makes a parser, a queue and an event for it, which was 150 µs of the 400 that a joiner
    cost.

    ``pass_on`` may give the connection to another process, with the path and the whole of the request, before
    anything is answered; it returns whether it did.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        pass_on: PassOn | None = None,
    ) -> None:
        self._config = config
        self._server = server_state
        self._app_state = app_state
        self._pass_on = pass_on
        # uvicorn waits for all of them when it stops; it knows its own protocols only.
        self._peers: set[object] = server_state.connections  # type: ignore[assignment]
        self._phase = _Phase.BEFORE_REQUEST
        self._is_connect_received = False
        self._direct: UvicornTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket."""
        # uvloop's transports are no subclasses of asyncio's.
        self._tcp: asyncio.Transport = transport  # type: ignore[assignment]
        self._peers.add(self)

    def data_received(self, data: bytes) -> None:
        """Take the request, which uvicorn hands over whole."""
        if self._phase is not _Phase.BEFORE_REQUEST:
            self._tcp.abort()  # RFC 6455, 4.1: the client must wait for our response
            return
        opening = read_opening(data)
        if isinstance(opening, Refusal):
            self._end(opening.response)
            return
        if self._pass_on is not None and self._pass_on(self._tcp, opening.path, data):
            self._phase = _Phase.OVER
            return
        self._opening = opening
        self._phase = _Phase.ASKED
        task = asyncio.get_running_loop().create_task(self._run(self._scope_of(opening)))
        self._server.tasks.add(task)
        task.add_done_callback(self._server.tasks.discard)

    def connection_lost(self, exc: Exception | None) -> None:
        """Learn that the client is gone; the app learns it from what it does next."""
        self._peers.discard(self)
        self._phase = _Phase.OVER

    def shutdown(self) -> None:
        """Tell the peer that the server restarts (uvicorn calls this when it stops)."""
        if self._phase is _Phase.ACCEPTED:
            self._hand_over().shutdown()
        else:
            self._end(_FAILED)

    def _scope_of(self, opening: Opening) -> Scope:
        return {
            "type": "websocket",
            "asgi": {"version": self._config.asgi_version, "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "wss" if is_ssl(self._tcp) else "ws",
            "client": get_remote_addr(self._tcp),
            "root_path": self._config.root_path,
            "path": self._config.root_path + unquote(opening.path.decode("ascii")),
            "raw_path": self._config.root_path.encode("ascii") + opening.path,
            "query_string": opening.query,
            "headers": opening.headers,
            "subprotocols": opening.subprotocols,
            "state": self._app_state.copy(),
            "extensions": {DIRECT: {"open": self._open}},
        }

    async def _run(self, scope: Scope) -> None:
        try:
            await self._config.loaded_app(scope, self._receive, self._send)
        except ClientDisconnected:
            pass
        except Exception:
            _logger.exception("the application failed")
        finally:
            self._conclude()

    def _conclude(self) -> None:
        """End what the app has left open."""
        if self._direct is not None and not self._direct.is_serving:
            # The app has failed, unless it has closed by itself.
            self._direct.close(CloseCode.FAILURE, CloseCode.FAILURE.phrase)
        elif self._phase is _Phase.ACCEPTED:
            self._hand_over().close(CloseCode.FAILURE, CloseCode.FAILURE.phrase)
        else:
            self._end(_FAILED)

    async def _receive(self) -> Message:
        if self._is_connect_received:
            raise RuntimeError("messages come the direct way")
        self._is_connect_received = True
        return {"type": "websocket.connect"}

    async def _send(self, message: Message) -> None:
        match self._phase, message["type"]:
            case _Phase.ASKED, "websocket.accept":
                self._accept(message)
            case _Phase.ASKED, "websocket.close":
                self._end(_FORBIDDEN)
            case _Phase.ACCEPTED, "websocket.close":
                self._hand_over().close(message.get("code", 1000), message.get("reason") or "")
            case _Phase.OVER, _:
                raise ClientDisconnected
            case _, kind:
                raise RuntimeError(f"{kind} is not possible here: messages go the direct way")

    def _accept(self, message: Message) -> None:
        headers = [*self._server.default_headers, *message.get("headers", [])]
        self._tcp.write(self._opening.accepted(message.get("subprotocol"), headers))
        self._tcp.pause_reading()
        self._phase = _Phase.ACCEPTED

    def _open(
        self, write_budget_bytes: int, receive_budget: ReceiveBudget, largest_bytes: int | None = None
    ) -> UvicornTransport:
        """Give the direct way to this connection; once, after ``websocket.accept``."""
        direct = self._hand_over(largest_bytes)
        direct.limit(write_budget_bytes, receive_budget)
        return direct

    def _hand_over(self, largest_bytes: int | None = None) -> UvicornTransport:
        limit_bytes = min(self._config.ws_max_size, largest_bytes or self._config.ws_max_size)
        direct = self._direct = UvicornTransport(self._tcp, self._peers, limit_bytes)
        if self._phase is _Phase.OVER:
            direct.connection_lost(None)
        else:
            direct.take_over()
            self._peers.discard(self)
        self._phase = _Phase.OVER
        return direct

    def _end(self, response: bytes) -> None:
        """Answer with a refusal; nothing happens where the client is gone or in."""
        if self._phase is not _Phase.OVER:
            self._phase = _Phase.OVER
            self._tcp.write(response)
            self._tcp.close()
