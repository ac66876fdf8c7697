"""Calls that are cancelled, under way at the end, or late."""

import asyncio

import pytest

from server.storage import Snapshot, StoreClosed
from tests.contracts.store.support import Subject, both
from tests.support.stores import entries


async def test_a_cancelled_append_is_still_stored_and_later_calls_stay_right(subject: Subject) -> None:
    for position in range(1, 40, 2):
        cancelled = asyncio.create_task(subject.store.append(entries("a", [position])))
        await asyncio.sleep(0)
        cancelled.cancel()
        await subject.store.append(entries("a", [position + 1]))
        await asyncio.wait([cancelled])
    assert list((await both(subject, "a")).entries) == entries("a", range(1, 41))


async def test_a_cancelled_load_or_replace_leaves_later_calls_right(subject: Subject) -> None:
    await subject.store.append(entries("a", range(1, 20)))
    for attempt in range(20):
        generation = (await subject.store.load("a")).generation
        snapshot = Snapshot(b"%d" % attempt, 1, 1)
        calls = [
            asyncio.create_task(subject.store.load("a")),
            asyncio.create_task(subject.store.replace("a", snapshot, folded=[1], generation=generation)),
        ]
        await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
        stored = await subject.store.load("a")
        assert list(stored.entries) == entries("a", range(2 if stored.snapshot else 1, 20))
    await subject.reopen()
    assert list((await both(subject, "a")).entries)[-1:] == entries("a", [19])


async def test_close_finishes_the_calls_under_way(subject: Subject) -> None:
    appends = [
        asyncio.create_task(subject.store.append(entries("a", [position]))) for position in range(1, 50)
    ]
    replaced = asyncio.create_task(
        subject.store.replace("b", Snapshot(b"b", 1, 1), folded=range(1, 2), generation=0)
    )
    loaded = asyncio.create_task(subject.store.load("a"))
    await asyncio.sleep(0)
    await subject.store.close()
    await asyncio.gather(*appends, loaded)
    assert await replaced
    if subject.is_lasting:
        await subject.reopen()
        assert list((await subject.store.load("a")).entries) == entries("a", range(1, 50))
        assert (await subject.store.load("b")).snapshot == Snapshot(b"b", 1, 1)


async def test_calls_after_close_say_so_and_closing_again_is_harmless(subject: Subject) -> None:
    store = subject.store
    await asyncio.gather(store.close(), store.close())
    await store.close()
    for call in (
        store.append(entries("a", [1])),
        store.load("a"),
        store.replace("a", Snapshot(b"", 1, 0), folded=range(1, 2), generation=0),
        store.backlog(),
        store.reclaim(),
    ):
        with pytest.raises(StoreClosed):
            await call
