"""Cowrite as an operator runs it: ``cowrite serve`` with its defaults, so with SQLite on disk.

Several nodes or workers share a Redis that keeps everything in an append-only file, synced by the second.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.bench.process import Process, answers, server_cores
from tests.bench.systems.contract import Dialect, Server
from tests.bench.systems.local import LocalServer, document_url, running
from tests.support.ports import free_ports
from tests.support.redis_server import binary

__all__ = ["Cowrite"]

COMMAND = str(Path(sys.executable).with_name("cowrite"))
"""The console script of this environment."""


class Cowrite:
    """The system that this repository is."""

    name = "cowrite"
    is_durable = True
    can_cross = True
    dialect = Dialect.Y_WEBSOCKET

    @asynccontextmanager
    async def serve(
        self, folder: Path, *, nodes: int = 1, workers: int | None = None
    ) -> AsyncIterator[list[Server]]:
        """Run ``nodes`` servers of ``workers`` processes each."""
        processes = nodes * (workers or 1)
        redis = self._redis(folder, processes) if nodes > 1 or workers is not None else None
        async with AsyncExitStack() as stack:
            if redis is not None:
                stack.push_async_callback(redis.kill)
                await redis.start()
            servers = [
                self._server(folder / f"node{number}", workers or 1, processes, redis)
                for number in range(nodes)
            ]
            yield await stack.enter_async_context(running(servers))

    def _server(self, data: Path, workers: int, processes: int, redis: Process | None) -> LocalServer:
        [port] = free_ports(1)
        command = [COMMAND, "serve", "--port", str(port), "--data", str(data)]
        if redis is not None:
            command += ["--redis", f"redis://127.0.0.1:{redis.port}", "--workers", str(workers)]
        process = Process(
            command,
            port=port,
            log=data.with_suffix(".log"),
            ready=answers("/readyz"),
            cores=server_cores(processes),
        )
        return LocalServer(process, self.dialect, document_url("/ws/"), redis=redis)

    def _redis(self, folder: Path, processes: int) -> Process:
        [port] = free_ports(1)
        command = [binary(), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
        command += ["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"]
        return Process(command, port=port, log=folder / "redis.log", cores=server_cores(processes + 1))
