"""What a scenario sees of a system that it measures. Knows no system."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Protocol

__all__ = ["Costs", "Dialect", "Measured", "Server", "System"]


class Dialect(Enum):
    """What clients speak with a server."""

    Y_WEBSOCKET = auto()
    HOCUSPOCUS = auto()


class Costs(Protocol):
    """What running processes have used, all their children included; nothing while none runs."""

    def cpu_s(self) -> Mapping[int, float]:
        """Return the user and system CPU seconds of each process since the last start, by its id."""
        ...

    def rss_bytes(self) -> int:
        """Return the resident memory at this moment."""
        ...

    def peak_rss_bytes(self) -> int:
        """Return the sum of what each living process had resident at most."""
        ...


class Server(Costs, Protocol):
    """One running server, perhaps of several processes, which keeps its port and data over restarts."""

    @property
    def dialect(self) -> Dialect:
        """What it speaks."""
        ...

    @property
    def start_s(self) -> float:
        """Seconds from the execution of the command until it was ready, at the first start."""
        ...

    @property
    def redis(self) -> Costs | None:
        """The Redis that this server shares with others, where there is one; its costs come on top."""
        ...

    def url(self, document: str) -> str:
        """Return where ``document`` is connected to; Hocuspocus has one URL, its frames name the document."""
        ...

    async def kill(self) -> None:
        """Kill all its processes as ``kill -9`` does; nothing happens where none runs."""
        ...

    async def restart(self) -> float:
        """Start it again, killed first if it runs, and return the seconds until it is ready."""
        ...


class System(Protocol):
    """A server program that can be measured."""

    @property
    def name(self) -> str:
        """What it is called on the command line and in the results."""
        ...

    @property
    def is_durable(self) -> bool:
        """Whether documents are there again after the server was killed."""
        ...

    @property
    def can_cross(self) -> bool:
        """Whether ``serve`` takes more than one node or worker."""
        ...

    @property
    def dialect(self) -> Dialect:
        """What its servers speak."""
        ...

    def serve(
        self, folder: Path, *, nodes: int = 1, workers: int | None = None
    ) -> AbstractAsyncContextManager[list[Server]]:
        """Run ``nodes`` servers with their data and logs in ``folder``; at exit all of it is gone.

        Several nodes, or nodes with ``workers`` processes each, be it one, share a Redis. Raises
        ``ProcessError`` where one of them does not get ready.
        """
        ...


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run of a scenario found."""

    figures: dict[str, float]
    """By name, which ends in the unit: ``cpu_us_per_delivery``, ``peak_mb``."""
    latencies_ms: list[float] = field(default_factory=list)
    """From each edit until it was on a screen."""
    notes: list[str] = field(default_factory=list)
    """What a reader of the figures must know, a sentence each."""
