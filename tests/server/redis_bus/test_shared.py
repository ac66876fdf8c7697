"""Many who ask the same are answered together, and never with what was true before they asked."""

import asyncio

import pytest

from server.bus import BusUnavailable
from server.bus.redis_shared import Shared


class Oracle:
    """Answers with the number of the question, when the test says."""

    def __init__(self) -> None:
        self.asked = 0
        self.may_answer = asyncio.Event()
        self.error: BusUnavailable | None = None
        self.shared = Shared(self._ask)

    async def _ask(self) -> int:
        self.asked += 1
        number = self.asked
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        return number

    def ask(self, count: int = 1) -> list[asyncio.Task[int]]:
        return [asyncio.create_task(self.shared.answer()) for _ in range(count)]


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_who_asks_while_a_question_is_under_way_gets_the_next_answer() -> None:
    oracle = Oracle()
    early = oracle.ask(3)
    await turns()
    late = oracle.ask(100)
    await turns()
    assert oracle.asked == 1
    oracle.may_answer.set()
    assert await asyncio.gather(*early) == [1] * 3
    assert await asyncio.gather(*late) == [2] * 100


async def test_a_failure_is_shared_too_and_the_next_question_is_put() -> None:
    oracle = Oracle()
    oracle.error = BusUnavailable("away")
    oracle.may_answer.set()
    outcomes = await asyncio.gather(*oracle.ask(100), return_exceptions=True)
    assert {str(outcome) for outcome in outcomes} == {"away"}
    assert oracle.asked == 1
    oracle.error = None
    assert await oracle.shared.answer() == 2


async def test_who_gives_up_ends_no_question_of_the_others() -> None:
    oracle = Oracle()
    first, second = oracle.ask(2)
    await turns()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    oracle.may_answer.set()
    assert await second == 1
