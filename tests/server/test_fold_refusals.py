"""What cannot be folded is tried ever more rarely, and told of once (D6)."""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from server import fold_refusals
from server.compaction import Compactor
from server.fold_refusals import FIRST_PAUSE_S, LONGEST_PAUSE_S, REASONS, FoldRefusals
from server.storage import Backlog, Entry, Stored
from server.storage.memory import MemoryStore
from tests.crdt.build import section, text, update
from tests.server.support import until

MISSING, BEHIND_A_HOLE = update(section(1, 0, text("a"))), update(section(1, 1, text("b", left=(1, 0))))


class Clock:
    """A clock that stands still until the test moves it."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_D6_pauses_grow_up_to_a_bound_and_start_again_after_a_fold() -> None:
    refusals, now = FoldRefusals(), 0.0
    for pause_s in (60, 120, 240, 480, 960, 1920, 3600, 3600, 3600):
        refusals.add("d", "a hole", now)
        assert refusals.is_paused("d", now + pause_s - 1)
        now += pause_s
        assert not refusals.is_paused("d", now)
    assert refusals.forget("d")
    assert not refusals.forget("d")
    refusals.add("d", "a hole", now)
    assert not refusals.is_paused("d", now + FIRST_PAUSE_S)


def test_D6_each_reason_is_news_once_for_each_document() -> None:
    refusals = FoldRefusals()
    said = [refusals.add(name, reason, 0.0) for reason in ("x", "y", "x", "y") for name in ("d", "e")]
    assert said == [True] * 4 + [False] * 4
    more = [refusals.add("d", f"reason {number}", 0.0) for number in range(100)]
    assert sum(more) == REASONS - 2
    refusals.forget("d")
    assert refusals.add("d", "x", 0.0)


def test_D6_a_bounded_number_of_documents_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one refused longest ago is forgotten."""
    monkeypatch.setattr(fold_refusals, "LIMIT", 3)
    refusals = FoldRefusals()
    for name in ("a", "b", "c", "a", "d"):
        refusals.add(name, "a hole", 0.0)
    assert [name for name in "abcd" if refusals.is_paused(name, 1.0)] == ["a", "c", "d"]


class WatchedStore(MemoryStore):
    """A store that counts: sweeps look through all of it, folds load a document."""

    def __init__(self) -> None:
        super().__init__()
        self.sweeps = 0
        self.loads = 0

    async def backlog(self) -> Sequence[Backlog]:
        self.sweeps += 1
        return await super().backlog()

    async def load(self, document: str) -> Stored:
        self.loads += 1
        return await super().load(document)


async def test_D6_sweeps_leave_alone_what_was_refused_and_tell_of_it_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "cowrite.compaction")
    store, clock = WatchedStore(), Clock()
    await store.append([Entry("d", 2, BEHIND_A_HOLE)])

    async def tried(times: int) -> None:
        await until(lambda: store.loads == times, "tried")
        later = store.sweeps + 5
        await until(lambda: store.sweeps >= later, "swept")
        assert store.loads == times

    with ThreadPoolExecutor(1) as executor:
        compactor = Compactor(store, executor=executor, sweep_s=0.001, clock=clock)
        working = asyncio.create_task(compactor.run())
        for times in range(1, 5):
            await tried(times)
            clock.now += FIRST_PAUSE_S * 2 ** (times - 1)
        await tried(5)
        compactor.request("d")
        await tried(5)
        await store.append([Entry("d", 1, MISSING)])
        clock.now += LONGEST_PAUSE_S
        await until(lambda: len(caplog.records) == 2, "folded")
        working.cancel()
    assert (await store.load("d")).snapshot is not None
    [refused, folded] = caplog.records
    assert (refused.levelno, vars(refused)["document"]) == (logging.ERROR, "d")
    assert refused.getMessage().endswith("the log stays: updates wait for others that the log does not hold")
    assert (folded.levelno, vars(folded)["document"]) == (logging.INFO, "d")
