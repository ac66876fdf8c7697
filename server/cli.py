"""The command line: ``cowrite serve`` and ``cowrite compact``."""

import asyncio
import ipaddress
import logging
import os
import signal
import sys
from argparse import ArgumentParser
from importlib.metadata import version
from socket import socket

import uvicorn

from crdt.errors import CowriteError
from server.app import create_app
from server.compaction import Compactor
from server.logs import configure
from server.node import open_store
from server.settings import Settings, add_options, read_settings
from server.storage.sqlite import FILE_NAME
from server.transport.uvicorn import CowriteProtocol

__all__ = ["main"]

logger = logging.getLogger("cowrite")


def main() -> None:
    """Run the command that the arguments name; exits 0, 1 (it failed) or 2 (it was asked wrongly)."""
    parser = ArgumentParser(prog="cowrite", description="A collaborative-editor server for Yjs documents.")
    parser.add_argument("--version", action="version", version=version("cowrite"))
    commands = parser.add_subparsers(dest="command", required=True)
    add_options(commands.add_parser("serve", help="serve documents and the page"))
    add_options(
        commands.add_parser("compact", help="fold every log into its snapshot; no server may run"),
        "data",
        "synchronous",
        "log_level",
    )
    arguments = parser.parse_args()
    try:
        settings = read_settings(arguments, os.environ)
    except CowriteError as error:
        parser.exit(2, f"cowrite: {error}\n")
    configure(settings.log_level)
    try:
        sys.exit(_serve(settings) if arguments.command == "serve" else asyncio.run(_compact(settings)))
    except (CowriteError, OSError) as error:
        parser.exit(1, f"cowrite: {error}\n")


def _serve(settings: Settings) -> int:
    # Fails in one sentence, where uvicorn would print a traceback.
    asyncio.run(_try_store(settings))
    if not _is_loopback(settings.host):
        logger.warning("listening on %s: anybody who reaches it can read and edit everything", settings.host)
    config = uvicorn.Config(
        create_app(settings),
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
        timeout_graceful_shutdown=10,
        log_config=None,
        access_log=False,
    )
    server = _Server(config)
    # uvicorn raises the signal again after it has stopped; the exit code is to say whether all was stored.
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, lambda *_: None)
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


async def _try_store(settings: Settings) -> None:
    async with open_store(settings):
        where = settings.data.resolve() if settings.store == "sqlite" else "memory, gone at exit"
        logger.info("documents in %s", where)


async def _compact(settings: Settings) -> int:
    if not (settings.data / FILE_NAME).is_file():
        raise CowriteError(f"{settings.data} holds no documents")
    async with open_store(settings) as store:
        compactor = Compactor(store)
        try:
            backlog = await store.backlog()
            folded = [await compactor.compact(waiting.document) for waiting in backlog]
            await store.reclaim()
        finally:
            compactor.close()
    print(f"folded {sum(folded)} of {len(folded)} documents")
    return 0 if all(folded) else 1


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
