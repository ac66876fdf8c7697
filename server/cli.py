"""The command line: ``cowrite serve``, ``cowrite compact`` and ``cowrite worker``."""

import asyncio
import logging
import os
import signal
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version

from crdt.errors import CowriteError
from server.compaction import Compactor
from server.logs import configure
from server.memory import give_large_blocks_back
from server.node import open_bus, open_store
from server.serving import serve
from server.settings import Settings, SettingsError, add_options, read_settings
from server.storage.sqlite import FILE_NAME

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
    add_options(
        commands.add_parser("worker", help="fold logs for several nodes, and serve nobody"),
        "redis",
        "store",
        "sweep_s",
        "log_level",
    )
    arguments = parser.parse_args()
    try:
        settings = read_settings(arguments, os.environ)
        if arguments.command == "worker":
            _check_worker(settings)
    except CowriteError as error:
        parser.exit(2, f"cowrite: {error}\n")
    configure(settings.log_level)
    try:
        sys.exit(_COMMANDS[arguments.command](settings))
    except (CowriteError, OSError) as error:
        parser.exit(1, f"cowrite: {error}\n")


def _compact(settings: Settings) -> int:
    return asyncio.run(_compact_all(settings))


async def _compact_all(settings: Settings) -> int:
    if settings.store != "sqlite":
        # Beside nodes that run it could pass over what only a stream has yet (B9).
        raise CowriteError(
            "compact is for a data folder; nodes fold by themselves, or let cowrite worker do it"
        )
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


def _check_worker(settings: Settings) -> None:
    if settings.redis is None:
        # Its snapshots would cover positions of entries that only the streams have yet (D12).
        raise SettingsError(
            "--redis: a worker needs it, for without the streams it could pass over what the store lacks yet"
        )


def _work(settings: Settings) -> int:
    with suppress(KeyboardInterrupt, asyncio.CancelledError):
        asyncio.run(_work_until_stopped(settings))
    return 0


async def _work_until_stopped(settings: Settings) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    give_large_blocks_back()
    async with open_bus(settings, takes_lease=False) as bus, open_store(settings) as store:
        compactor = Compactor(store, bus, sweep_s=settings.sweep_s)
        try:
            await compactor.run()
        finally:
            compactor.close()


_COMMANDS: dict[str, Callable[[Settings], int]] = {"serve": serve, "compact": _compact, "worker": _work}
