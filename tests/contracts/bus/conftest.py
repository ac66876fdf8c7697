"""Every bus: each test of this folder runs over all of them."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from server.bus import Bus
from server.bus.memory import MemoryBus, MemoryStreams
from server.bus.redis import RedisBus
from server.bus.redis_keys import RedisKeys
from tests.contracts.bus.support import LEASE_S, World
from tests.support.redis_server import RedisCluster, RedisServer


class MemoryWorld:
    def __init__(self) -> None:
        self._streams = MemoryStreams()
        self.forget = self._streams.forget
        self.poison = self._streams.poison
        self.forget_everything = self._streams.forget_everything

    @asynccontextmanager
    async def open(self, node: str, lease_s: float = LEASE_S) -> AsyncIterator[Bus]:
        bus = MemoryBus(self._streams, node=node, lease_s=lease_s)
        yield bus
        await bus.close()


class RedisWorld:
    def __init__(self, servers: RedisServer | RedisCluster) -> None:
        self._servers = servers
        self.forget_everything = servers.flush
        self.forget_everything()

    def open(self, node: str, lease_s: float = LEASE_S) -> AbstractAsyncContextManager[Bus]:
        return RedisBus.open(self._servers.url, node=node, lease_s=lease_s)

    def forget(self, document: str) -> None:
        assert self._execute("DEL", RedisKeys(0).of(document).stream) == 1

    def poison(self, document: str) -> None:
        stream = RedisKeys(0).of(document).stream
        [(last, _)] = self._execute("XREVRANGE", stream, "+", "-", "COUNT", 1)
        birth, _, _ = last.partition(b"-")
        self._execute("XADD", stream, birth + b"-*", "what", "is this")

    def _execute(self, command: str, key: bytes, *arguments: Any) -> Any:
        server = self._servers.server_of(key) if isinstance(self._servers, RedisCluster) else self._servers
        return server.execute(command, key, *arguments)


KINDS = ["memory", "redis", "cluster"]


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, RedisServer | RedisCluster]]:
    """The servers that were asked for, started once for all tests of this folder."""
    with ExitStack() as stack:
        running: dict[str, RedisServer | RedisCluster] = _Started(stack, tmp_path_factory.mktemp("bus"))
        yield running


class _Started(dict[str, RedisServer | RedisCluster]):
    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder

    def __missing__(self, kind: str) -> RedisServer | RedisCluster:
        if kind == "cluster":
            self[kind] = self._stack.enter_context(RedisCluster(self._folder / kind))
        else:
            self[kind] = self._stack.enter_context(RedisServer(self._folder / kind))
        return self[kind]


@pytest.fixture(params=KINDS)
def world(request: pytest.FixtureRequest, servers: dict[str, RedisServer | RedisCluster]) -> World:
    return MemoryWorld() if request.param == "memory" else RedisWorld(servers[request.param])


@pytest.fixture
async def node(world: World) -> AsyncIterator[Bus]:
    async with world.open("one") as bus:
        yield bus


@pytest.fixture
async def other(world: World) -> AsyncIterator[Bus]:
    async with world.open("two") as bus:
        yield bus
