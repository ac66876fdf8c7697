"""A measured server of this machine: a process, and how it is connected to; and systems that are just one."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from tests.bench.process import Process, ProcessError
from tests.bench.systems.contract import Costs, Dialect, Server
from tests.support.ports import free_ports

__all__ = ["LocalServer", "Single", "document_url", "running"]


def document_url(prefix: str) -> Callable[[int, str], str]:
    """Return what makes the URL of a document from a port: the name follows ``prefix``."""
    return lambda port, document: f"ws://127.0.0.1:{port}{prefix}{quote(document, safe='')}"


class LocalServer:
    """A server on 127.0.0.1, as the contract has it."""

    def __init__(
        self,
        process: Process,
        dialect: Dialect,
        url: Callable[[int, str], str],
        *,
        redis: Costs | None = None,
    ) -> None:
        self._process = process
        self._url = url
        self.dialect = dialect
        """What it speaks."""
        self.redis = redis
        """The Redis that it shares with others."""
        self.start_s = 0.0
        """Seconds until it was ready, at the first start."""

    async def start(self) -> None:
        """Start it for the first time."""
        self.start_s = await self._process.start()

    def url(self, document: str) -> str:
        """Return where ``document`` is connected to."""
        return self._url(self._process.port, document)

    def cpu_s(self) -> Mapping[int, float]:
        """Return the CPU seconds of each of its processes since the last start."""
        return self._process.cpu_s()

    def rss_bytes(self) -> int:
        """Return its resident memory."""
        return self._process.rss_bytes()

    def peak_rss_bytes(self) -> int:
        """Return what its processes had resident at most."""
        return self._process.peak_rss_bytes()

    async def kill(self) -> None:
        """Kill it."""
        await self._process.kill()

    async def restart(self) -> float:
        """Start it again and return the seconds until it is ready."""
        return await self._process.start()


@asynccontextmanager
async def running(servers: Sequence[LocalServer]) -> AsyncIterator[list[Server]]:
    """Start ``servers`` one after the other, and kill them at exit."""
    try:
        for server in servers:
            await server.start()
        yield list(servers)
    finally:
        for server in servers:
            await server.kill()


@dataclass(frozen=True, slots=True)
class Single:
    """A system that is one process on one node, as the contract has it."""

    name: str
    command: Callable[[int, Path], list[str]]
    """Makes the command line from the port and the folder for its data."""
    url: Callable[[int, str], str]
    """Makes the URL of a document from the port and its name."""
    is_durable: bool = False
    dialect: Dialect = Dialect.Y_WEBSOCKET
    environment: Mapping[str, str] = field(default_factory=dict)
    can_cross: bool = False

    @asynccontextmanager
    async def serve(
        self, folder: Path, *, nodes: int = 1, workers: int | None = None
    ) -> AsyncIterator[list[Server]]:
        """Run one server."""
        if nodes > 1 or workers is not None:
            raise ProcessError(f"{self.name} has one node of one process")
        [port] = free_ports(1)
        process = Process(
            self.command(port, folder),
            port=port,
            log=folder / f"{self.name}.log",
            environment=self.environment,
        )
        async with running([LocalServer(process, self.dialect, self.url)]) as servers:
            yield servers
