"""The clients of one scenario."""

import asyncio
import resource
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self, TypeVar

from tests.bench.load.client import Client, Lost

__all__ = ["Crowd"]

SYNC_LIMIT_S = 60.0
AT_ONCE = 20
POLL_S = 0.001

C = TypeVar("C", bound=Client)


class Crowd:
    """Lets clients join; all have left when the context ends."""

    def __init__(self) -> None:
        self._clients: set[Client] = set()

    async def __aenter__(self) -> Self:
        # As many sockets as the system grants.
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.dismiss_all()
        await asyncio.sleep(0)

    async def join(self, client: C) -> C:
        """Connect ``client`` and return it when it is synced."""
        self._clients.add(client)
        async with asyncio.timeout(SYNC_LIMIT_S):
            await client.connect()
            await client.synced
        return client

    async def join_all(self, clients: Sequence[Client]) -> None:
        """Let ``clients`` join in their order, a few at a time; raises the first failure alone."""
        try:
            for start in range(0, len(clients), AT_ONCE):
                async with asyncio.TaskGroup() as group:
                    for client in clients[start : start + AT_ONCE]:
                        group.create_task(self.join(client))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures

    def dismiss(self, client: Client) -> None:
        """Let one of them go."""
        self._clients.discard(client)
        client.leave()

    def dismiss_all(self) -> None:
        """Let everybody go."""
        for client in self._clients:
            client.leave()
        self._clients.clear()

    async def until(self, condition: Callable[[], object], limit_s: float) -> bool:
        """Wait until ``condition`` gives something true; False: it took too long. Raises ``Lost``."""
        end = time.perf_counter() + limit_s
        while not condition():
            self.check()
            if time.perf_counter() > end:
                return False
            await asyncio.sleep(POLL_S)
        return True

    def check(self) -> None:
        """Raise ``Lost`` when the server ended a connection."""
        lost = [client.lost for client in self._clients if client.lost is not None]
        if lost:
            raise Lost(f"the server ended {len(lost)} of {len(self._clients)} connections: {lost[0]}")
