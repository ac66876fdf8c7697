"""A stage sends in order, rests between batches, and does not rest while somebody waits (D2).

What fails waits by itself, and what comes behind it (B1)."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from server.stage import Stage, Unsent
from tests.server.support import until
from tests.support.polling import PATIENCE_S

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
        async with asyncio.timeout(PATIENCE_S), self._came:
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


class Lanes:
    """Takes batches of words but for those of the lanes, their first letters, that are blocked."""

    def __init__(self, blocked: str) -> None:
        self.blocked = set(blocked)
        self.taken: list[str] = []
        self.latest: list[str] = []

    async def send_words(self, words: Sequence[str]) -> None:
        """Take what is not blocked."""
        self.latest = list(words)
        await asyncio.sleep(0)
        unsent = [word for word in words if word[0] in self.blocked]
        self.taken += [word for word in words if word[0] not in self.blocked]
        if len(unsent) == len(words):
            raise ConnectionError("nothing went through")
        if unsent:
            raise Unsent(unsent, "some did not go through")

    def of(self, lane: str) -> list[str]:
        """Return what one lane has sent."""
        return [word for word in self.taken if word[0] == lane]

    async def tries(self, *words: str) -> None:
        """Wait until these are in one batch."""
        await until(lambda: set(words) <= set(self.latest), "in one batch")

    async def has_taken(self, *words: str) -> None:
        """Wait until all that was taken is these."""
        await until(lambda: sorted(self.taken) == sorted(words), "all taken")


@asynccontextmanager
async def sending(lanes: Lanes) -> AsyncIterator[Stage[str]]:
    """Run a stage of words while the context lasts."""
    stage = Stage[str]("send", lanes.send_words, lane_of=lambda word: word[0])
    task = asyncio.create_task(stage.run())
    try:
        yield stage
    finally:
        task.cancel()


@pytest.fixture
def never_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no lane tried again that failed."""
    monkeypatch.setattr("server.stage.RETRY_MIN_S", NEVER_S)
    monkeypatch.setattr("server.stage.RETRY_MAX_S", NEVER_S)


@pytest.mark.usefixtures("never_again")
@pytest.mark.parametrize("first", [["a1", "b1"], ["a1"]])
async def test_B1_a_lane_that_fails_holds_up_no_other(first: list[str]) -> None:
    """Neither when others go through with the batch, nor when it fails as a whole."""
    lanes = Lanes(blocked="a")
    async with sending(lanes) as stage:
        for word in first:
            stage.put(word)
        await turns()
        for word in ("a2", "c1", "b2"):
            stage.put(word)
        await lanes.has_taken(*(word for word in (*first, "c1", "b2") if word != "a1"))
        assert stage.trouble is not None


async def test_B1_a_lane_that_failed_goes_on_in_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.stage.RETRY_MIN_S", 0.001)
    monkeypatch.setattr("server.stage.BATCH_LIMIT", 3)
    lanes = Lanes(blocked="a")
    async with sending(lanes) as stage:
        for number in range(20):
            stage.put(f"a{number}")
            stage.put(f"b{number}")
            await asyncio.sleep(0)
        await lanes.has_taken(*(f"b{number}" for number in range(20)))
        lanes.blocked.clear()
        for number in range(20, 30):
            stage.put(f"a{number}")
            await asyncio.sleep(0)
        await lanes.has_taken(*lanes.of("b"), *(f"a{number}" for number in range(30)))
        assert lanes.of("a") == [f"a{number}" for number in range(30)]
        assert lanes.of("b") == [f"b{number}" for number in range(20)]
        assert stage.trouble is None


async def test_lanes_that_failed_one_after_the_other_are_soon_tried_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While nothing goes through: not each of them at a moment of its own."""
    monkeypatch.setattr("server.stage.RETRY_MIN_S", 0.05)
    monkeypatch.setattr("server.stage.RETRY_MAX_S", 0.2)
    monkeypatch.setattr("server.stage.PAUSE_S", 0.0)
    lanes = Lanes(blocked="abcdefghij")
    words = [f"{lane}1" for lane in sorted(lanes.blocked)]
    async with sending(lanes) as stage:
        for word in words:
            stage.put(word)
            await lanes.tries(word)
        await lanes.tries(*words)
        lanes.blocked.clear()
        await lanes.has_taken(*words)
