"""A stage sends in order, rests between batches, and does not rest while somebody waits (D2)."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from server.stage import Stage

NEVER_S = 3_600.0


class Way:
    """Takes batches, and tells when one has come."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self._came = asyncio.Condition()

    async def send(self, items: Sequence[int]) -> None:
        """Take a batch."""
        async with self._came:
            self.batches.append(list(items))
            self._came.notify_all()

    async def wait(self, count: int) -> None:
        """Wait until so many batches have come."""
        async with asyncio.timeout(5), self._came:
            await self._came.wait_for(lambda: len(self.batches) >= count)


async def turns() -> None:
    """Let the loop turn: whatever does not rest has happened then."""
    for _ in range(100):
        await asyncio.sleep(0)


@asynccontextmanager
async def running(stage: Stage[int]) -> AsyncIterator[None]:
    """Run a stage while the context lasts."""
    task = asyncio.create_task(stage.run())
    try:
        yield
    finally:
        task.cancel()


async def test_D2_the_first_after_a_quiet_spell_goes_at_once_and_then_it_rests() -> None:
    way = Way()
    stage = Stage[int]("send", way.send, rest_s=NEVER_S)
    async with running(stage):
        stage.put(1)
        await way.wait(1)
        stage.put(2)
        stage.put(3)
        await turns()
        assert way.batches == [[1]]


async def test_D2_whoever_hurries_ends_the_rest_until_it_is_relaxed() -> None:
    way = Way()
    stage = Stage[int]("send", way.send, rest_s=NEVER_S)
    async with running(stage):
        stage.put(1)
        await way.wait(1)
        stage.put(2)
        stage.put(3)
        stage.hurry()
        await way.wait(2)
        stage.put(4)
        await way.wait(3)
        stage.relax()
        stage.put(5)
        await turns()
        assert way.batches == [[1], [2, 3], [4]]


async def test_D2_it_goes_on_by_itself_when_it_has_rested() -> None:
    way = Way()
    stage = Stage[int]("send", way.send, rest_s=0.05)
    async with running(stage):
        for number in range(3):
            stage.put(number)
            await way.wait(number + 1)
        assert way.batches == [[0], [1], [2]]
