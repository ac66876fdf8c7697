"""Runs the application: in this process, or in several that share one port (server/workers/)."""

import asyncio
import ipaddress
import logging
from socket import AF_INET, AF_INET6, create_server, socket

from server.app import create_app
from server.listening import Server, run
from server.node import open_bus, open_store
from server.settings import Settings
from server.settings_checks import doubts
from server.workers.supervisor import Supervisor

__all__ = ["serve"]

logger = logging.getLogger("cowrite")


def serve(settings: Settings) -> int:
    """Serve until a signal; return 0 when everything accepted is durable, 1 otherwise."""
    if not _is_loopback(settings.host):
        logger.warning("listening on %s: anybody who reaches it can read and edit everything", settings.host)
    for doubt in doubts(settings):
        logger.warning(doubt)
    # Fails in one sentence, where uvicorn would print a traceback.
    asyncio.run(_try_parts(settings))
    return _serve_alone(settings) if settings.workers == 1 else _serve_with_workers(settings)


def _serve_alone(settings: Settings) -> int:
    try:
        return run(_Server(settings, create_app(settings)))
    except SystemExit:
        # uvicorn could not listen, and has said why.
        return 1


def _serve_with_workers(settings: Settings) -> int:
    family = AF_INET6 if ":" in settings.host else AF_INET
    with create_server((settings.host, settings.port), family=family) as listener:
        logger.info("serving on %s with %d processes", _url_of(listener), settings.workers)
        return Supervisor(settings, listener).run()


class _Server(Server):
    """Says where it listens once it does: port 0 is whatever is free."""

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            for listening in self.servers[0].sockets:
                logger.info("serving on %s", _url_of(listening))


async def _try_parts(settings: Settings) -> None:
    async with open_bus(settings, takes_lease=False), open_store(settings):
        logger.info("documents in %s", settings.place)


def _url_of(listening: socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
