"""uvicorn, as this server runs it."""

import signal
from socket import socket

import uvicorn
from starlette.applications import Starlette

from server.settings import Settings
from server.transport.http import BoundedHttp
from server.transport.uvicorn import CowriteProtocol

__all__ = ["GRACEFUL_S", "Server", "run"]

GRACEFUL_S = 10
"""How long a stopping server waits for clients to answer the close frame."""


class Server(uvicorn.Server):
    """Serves ``app``; the node learns that it stops before the clients do, who leave then."""

    def __init__(self, settings: Settings, app: Starlette) -> None:
        super().__init__(_configuration(settings, app))
        self._app = app

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Stop."""
        self._app.state.node.begin_to_stop()
        await super().shutdown(sockets)


def _configuration(settings: Settings, app: Starlette) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=BoundedHttp,
        ws=CowriteProtocol,
        ws_max_size=settings.max_message_bytes,
        ws_per_message_deflate=False,
        # Liveness is ours: uvicorn's ping ends whoever is paused (references/protocol.md, T5).
        ws_ping_interval=None,
        lifespan="on",
        timeout_graceful_shutdown=GRACEFUL_S,
        log_config=None,
        access_log=False,
        # Whom to believe is a setting of ours; uvicorn believes everybody on this machine.
        proxy_headers=False,
    )


def run(server: uvicorn.Server, sockets: list[socket] | None = None) -> int:
    """Run a server until a signal; return 0 when everything accepted is durable, 1 otherwise.

    Raises ``SystemExit`` when it could not start, which uvicorn has logged.
    """

    def stop(*_: object) -> None:
        # Before uvicorn takes the signals, and again when it has stopped: it raises the signal once more,
        # but the exit code is to say whether all was stored.
        server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    server.run(sockets)
    has_stored_all = server.started and not server.lifespan.should_exit and not server.force_exit
    return 0 if has_stored_all else 1
