"""What runs beside the connections: a failure of it is recovered from, or ends the server; never neither."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from server.bus import Bus, BusUnavailable, Position, Reading
from server.bus.memory import MemoryBus, MemoryStreams
from server.node import Node
from server.settings import Settings
from server.storage import StoreUnavailable
from server.storage.postgres_errors import explained
from server.tasks import Errands, StoppingTasks
from tests.server.support import until
from tests.support.polling import PATIENCE_S


class Panic(BaseException):
    """What yrs fails with is no Exception either."""


@pytest.fixture
def signals() -> Iterator[list[int]]:
    """Collect the SIGTERMs of this process."""
    received: list[int] = []
    former = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    yield received
    signal.signal(signal.SIGTERM, former)


async def fail(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize("error", [RuntimeError("a bug"), Panic("a panic")])
async def test_R10_a_part_that_fails_stops_the_server_and_takes_no_other_with_it(
    signals: list[int], error: BaseException
) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = StoppingTasks(group)
        other = tasks.create_task(asyncio.sleep(PATIENCE_S))
        await tasks.create_task(fail(error))
        assert (signals, tasks.failure, other.done()) == ([signal.SIGTERM], error, False)
        other.cancel()


async def test_R10_an_errand_that_fails_is_recovered_from() -> None:
    async with asyncio.TaskGroup() as group:
        errands = Errands(group)
        recovered = asyncio.Event()
        errands.start(fail(RuntimeError("a bug")), recovered.set)
        await asyncio.wait_for(recovered.wait(), PATIENCE_S)
        errands.start(asyncio.sleep(PATIENCE_S))
        errands.close()


async def test_R10_a_part_of_the_node_that_fails_stops_it(
    monkeypatch: pytest.MonkeyPatch, signals: list[int]
) -> None:
    with pytest.raises(BaseExceptionGroup, check=lambda group: isinstance(group.exceptions[0], Panic)):
        async with (
            asyncio.timeout(PATIENCE_S),
            node_on(monkeypatch, FailingLease(MemoryStreams(), node="one")),
        ):
            await until(lambda: signals, "SIGTERM")


async def test_D10_the_end_does_not_wait_for_a_bus_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.node.DRAIN_LIMIT_S", 3_600.0)
    bus = FailingReads(MemoryStreams(), node="one")
    async with asyncio.timeout(PATIENCE_S), node_on(monkeypatch, bus) as node:
        room = await node.rooms.acquire("d")
        bus.are_failing = True
        assert node.cluster is not None
        node.cluster.doubt(room)
        await until(lambda: bus.failures, "in doubt")


async def test_a_prepared_statement_that_a_pool_has_lost_is_the_worlds_fault() -> None:
    with pytest.raises(StoreUnavailable), explained():
        raise asyncpg.InvalidSQLStatementNameError("prepared statement does not exist")


class FailingLease(MemoryBus):
    """A bus whose lease cannot be renewed, for a panic."""

    async def renew_lease(self) -> bool:
        raise Panic("a panic")


class FailingReads(MemoryBus):
    """A bus that cannot be read when the test says."""

    are_failing = False
    failures = 0

    async def read(self, document: str, after: Position) -> Reading:
        if self.are_failing:
            self.failures += 1
            raise BusUnavailable("away")
        return await super().read(document, after)


@asynccontextmanager
async def node_on(monkeypatch: pytest.MonkeyPatch, bus: MemoryBus) -> AsyncIterator[Node]:
    @asynccontextmanager
    async def open_bus(*_: object, **__: object) -> AsyncIterator[Bus | None]:
        yield bus

    monkeypatch.setattr("server.node.open_bus", open_bus)
    async with Node.run(Settings(store="memory", worker=False)) as node:
        yield node
