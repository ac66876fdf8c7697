"""Runs the application on uvicorn: in this process, or in several that share one port."""

import asyncio
import ipaddress
import logging
import os
import signal
import sys
from argparse import Namespace
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from socket import socket

import uvicorn
from starlette.applications import Starlette
from uvicorn.supervisors import Multiprocess

from server.app import create_app
from server.logs import configure
from server.node import open_bus, open_store
from server.parent import when_parent_ends
from server.settings import Settings, read_settings, to_environment
from server.transport.uvicorn import CowriteProtocol

__all__ = ["create_worker_app", "serve"]

logger = logging.getLogger("cowrite")

GRACEFUL_S = 10
"""How long a stopping server waits for clients to answer the close frame."""

STORED_ALL = {0, -signal.SIGINT, -signal.SIGTERM}
"""How a process of several ends that has stored everything: uvicorn raises the signal again."""


def serve(settings: Settings) -> int:
    """Serve until a signal; return 0 when everything accepted is durable, 1 otherwise."""
    if not _is_loopback(settings.host):
        logger.warning("listening on %s: anybody who reaches it can read and edit everything", settings.host)
    # Fails in one sentence, where uvicorn would print a traceback.
    asyncio.run(_try_parts(settings))
    if settings.workers > 1:
        return _serve_with_workers(settings)
    # uvicorn raises the signal again after it has stopped; the exit code is to say whether all was stored.
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, lambda *_: None)
    server = _Server(_config(settings, create_app(settings)))
    try:
        server.run()
    except SystemExit:
        # uvicorn could not listen, and has said why.
        return 1
    return 0 if server.started and not server.lifespan.should_exit else 1


class _Server(uvicorn.Server):
    """Says where it listens once it does: port 0 is whatever is free."""

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            for listening in self.servers[0].sockets:
                host, port = listening.getsockname()[:2]
                logger.info("serving on http://%s:%d", f"[{host}]" if ":" in host else host, port)


async def _try_parts(settings: Settings) -> None:
    async with open_bus(settings, takes_lease=False), open_store(settings):
        logger.info("documents in %s", settings.place)


def _serve_with_workers(settings: Settings) -> int:
    os.environ.update(to_environment(settings))
    config = _config(settings, "server.serving:create_worker_app")
    listener = config.bind_socket()
    logger.info("serving on http://%s:%d with %d processes", settings.host, settings.port, settings.workers)
    supervisor = Multiprocess(config, sockets=[listener])
    try:
        supervisor.run()
    finally:
        listener.close()
    return 0 if all(worker.exitcode in STORED_ALL for worker in supervisor.processes) else 1


def create_worker_app() -> Starlette:
    """Build the application of one of several processes, from the environment alone."""
    settings = read_settings(Namespace(), os.environ)
    configure(settings.log_level)
    when_parent_ends(lambda: os.kill(os.getpid(), signal.SIGTERM))
    app = create_app(settings)
    _end_with_1_on_failure(app)
    return app


def _end_with_1_on_failure(app: Starlette) -> None:
    """Have the process end with 1 where the end of the application's lifespan fails (D10).

    By then all parts have been stopped; all that uvicorn would still do is to end the process by the signal,
    as if everything had been stored.
    """
    lifespan = app.router.lifespan_context

    @asynccontextmanager
    async def ending(app: Starlette) -> AsyncIterator[None]:
        has_started = False
        try:
            async with lifespan(app):
                has_started = True
                yield
        except BaseException:
            if not has_started:
                raise
            logger.error("the process failed to stop in order", exc_info=True)
            logging.shutdown()
            os._exit(1)

    app.router.lifespan_context = ending


def _config(settings: Settings, app: Starlette | str) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        factory=isinstance(app, str),
        workers=settings.workers,
        host=settings.host,
        port=settings.port,
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        http="httptools",
        ws=CowriteProtocol,
        ws_max_size=settings.max_message_bytes,
        ws_per_message_deflate=False,
        # Liveness is ours: uvicorn's ping ends whoever is paused (references/protocol.md, T5).
        ws_ping_interval=None,
        lifespan="on",
        timeout_graceful_shutdown=GRACEFUL_S,
        log_config=None,
        access_log=False,
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
