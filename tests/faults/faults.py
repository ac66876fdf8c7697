"""Faults of all kinds, at random: nodes and servers that are killed, connections that are cut or stall."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import Random

from tests.support.postgres_server import PostgresServer
from tests.support.redis_server import RedisServer
from tests.support.server_process import ServerProcess
from tests.support.tcp_proxy import TcpProxy

__all__ = ["Faults"]

Fault = Callable[[], Awaitable[None]]

MOST_FAULTS = 200
"""More than ever happen, unless what is waited for never comes."""


class Faults:
    """What can be done to a cluster. Every fault is healed when its coroutine ends."""

    def __init__(
        self,
        random: Random,
        nodes: Sequence[ServerProcess],
        proxies: Sequence[TcpProxy],
        redis: RedisServer,
        postgres: PostgresServer | None = None,
    ) -> None:
        self._random = random
        self._nodes = nodes
        self._proxies = proxies
        self._redis = redis
        self._postgres = postgres
        self._kinds: list[Fault] = [
            self.kill_node,
            self.kill_node,
            self.kill_two_nodes,
            self.kill_redis,
            self.cut,
            self.delay,
            self.drop_replies,
            self.refuse,
        ]
        if postgres is not None:
            self._kinds += [self.kill_postgres, self.empty_redis]
        self.happened: list[str] = []
        """The names of the faults so far."""

    async def rage(self, rounds: int, is_enough: Callable[[], bool]) -> None:
        """Let one fault follow another; return when all is healed.

        Each kind happens once in every round, in random order. After ``rounds`` there are more, until it
        ``is_enough``.
        """
        while rounds > 0 or not is_enough():
            assert len(self.happened) < MOST_FAULTS, "it is never enough"
            rounds -= 1
            for fault in self._random.sample(self._kinds, len(self._kinds)):
                await fault()
                self.happened.append(fault.__name__)
                await asyncio.sleep(self._random.uniform(0, 1.5))

    async def kill_node(self) -> None:
        """``kill -9`` one node; it stays away for a while."""
        await self._kill_nodes(1)

    async def kill_two_nodes(self) -> None:
        """``kill -9`` two nodes at once."""
        await self._kill_nodes(2)

    async def kill_redis(self) -> None:
        """``kill -9`` Redis; its append-only file is whole."""
        await asyncio.to_thread(self._redis.kill)
        await asyncio.sleep(self._random.uniform(0, 3))
        await asyncio.to_thread(self._redis.start)

    async def empty_redis(self) -> None:
        """Delete everything that Redis has."""
        await asyncio.to_thread(self._redis.flush)

    async def kill_postgres(self) -> None:
        """``kill -9`` Postgres."""
        assert self._postgres is not None
        await asyncio.to_thread(self._postgres.kill)
        await asyncio.sleep(self._random.uniform(0, 3))
        await asyncio.to_thread(self._postgres.start)

    async def cut(self) -> None:
        """Break every connection between one node and Redis."""
        self._random.choice(self._proxies).cut()

    async def delay(self) -> None:
        """Let the answers of Redis reach one node late."""
        proxy = self._random.choice(self._proxies)
        proxy.delay_s = self._random.uniform(0.05, 0.5)
        await asyncio.sleep(self._random.uniform(0.5, 3))
        proxy.delay_s = 0.0

    async def drop_replies(self) -> None:
        """Let what one node asks of Redis happen, and the answers vanish; then the connections break."""
        proxy = self._random.choice(self._proxies)
        proxy.drops_replies = True
        await asyncio.sleep(self._random.uniform(0.2, 3))
        proxy.drops_replies = False
        proxy.cut()

    async def refuse(self) -> None:
        """Keep one node away from Redis."""
        proxy = self._random.choice(self._proxies)
        proxy.refuses = True
        proxy.cut()
        await asyncio.sleep(self._random.uniform(0.5, 3))
        proxy.refuses = False

    async def _kill_nodes(self, count: int) -> None:
        victims = self._random.sample(self._nodes, count)
        for node in victims:
            await asyncio.to_thread(node.kill)
        await asyncio.sleep(self._random.uniform(0, 1.5))
        async with asyncio.TaskGroup() as group:
            for node in victims:
                group.create_task(asyncio.to_thread(node.start))
