"""What is appended comes back: as it was, in order, once, each document by itself."""

import asyncio
import random

from server.storage import Entry, Snapshot
from tests.contracts.store.support import NAMES, Subject, both
from tests.support.stores import entries


async def test_an_unknown_document_is_empty(subject: Subject) -> None:
    stored = await both(subject, "nobody")
    assert (stored.snapshot, stored.generation, list(stored.entries), stored.last_position) == (
        None,
        0,
        [],
        0,
    )


async def test_entries_come_back_in_order_of_position(subject: Subject) -> None:
    await subject.store.append(entries("a", [2, 3]))
    await subject.store.append(entries("a", [1]))
    stored = await both(subject, "a")
    assert list(stored.entries) == entries("a", [1, 2, 3])
    assert stored.last_position == 3


async def test_bytes_come_back_as_they_were(subject: Subject) -> None:
    updates = [b"", b"\x00", b"\xff" * 3, bytes(range(256)), random.Random(1).randbytes(1_000_000)]
    written = [Entry("a", position, update) for position, update in enumerate(updates, 1)]
    await subject.store.append(written)
    assert list((await both(subject, "a")).entries) == written


async def test_appending_nothing_changes_nothing(subject: Subject) -> None:
    await subject.store.append([])
    assert list(await subject.store.backlog()) == []


async def test_D13_an_entry_appended_again_stays_the_first_one(subject: Subject) -> None:
    assert not await subject.store.append(entries("a", [1, 2]))
    assert not await subject.store.append(entries("a", [1, 2]))
    assert not await subject.store.append(entries("a", [2, 3, 3]))
    stored = await both(subject, "a")
    assert list(stored.entries) == entries("a", [1, 2, 3])


async def test_D13_what_is_not_stored_because_its_position_is_taken_comes_back(subject: Subject) -> None:
    await subject.store.append(entries("a", [1, 2]))
    batch = [*entries("b", [2], "other"), *entries("a", [2, 3, 2], "other"), *entries("a", [3])]
    taken = await subject.store.append(batch)
    other = entries("a", [2], "other") * 2
    assert sorted(taken, key=repr) == sorted([*other, *entries("a", [3])], key=repr)
    assert list((await both(subject, "a")).entries) == entries("a", [1, 2]) + entries("a", [3], "other")
    assert list((await both(subject, "b")).entries) == entries("b", [2], "other")


async def test_D13_every_caller_learns_of_its_own_entries(subject: Subject) -> None:
    calls = [entries("a", [1, 2]), entries("a", [2], "other"), entries("b", [2]), entries("a", [1], "other")]
    taken = await asyncio.gather(*map(subject.store.append, calls))
    assert list(map(list, taken)) == [[], calls[1], [], calls[3]]


async def test_two_documents_are_independent(subject: Subject) -> None:
    await subject.store.append([*entries("a", [1]), *entries("b", [1, 2]), *entries("a", [2])])
    assert await subject.store.replace("b", Snapshot(b"b", 2, 1), folded=range(1, 3), generation=0)
    assert list((await both(subject, "a")).entries) == entries("a", [1, 2])
    assert list((await both(subject, "b")).entries) == []


async def test_overlapping_appends_take_effect_in_the_order_of_the_calls(subject: Subject) -> None:
    calls = [
        entries("a", [position], f"call {call}")
        for call in range(5)
        for position in range(call + 1, call + 301)
    ]
    await asyncio.gather(*map(subject.store.append, calls))
    first: dict[int, Entry] = {}
    for (entry,) in calls:
        first.setdefault(entry.position, entry)
    assert list((await both(subject, "a")).entries) == [first[position] for position in range(1, 305)]


async def test_a_batch_of_many_documents_is_stored_whole(subject: Subject) -> None:
    batch = [entry for number in range(300) for entry in entries(f"doc {number}", [1, 2])]
    random.Random(2).shuffle(batch)
    await subject.store.append(batch)
    await subject.reopen()
    for number in range(300):
        stored = await subject.store.load(f"doc {number}")
        assert list(stored.entries) == entries(f"doc {number}", [1, 2])


async def test_every_name_is_a_document_of_its_own(subject: Subject) -> None:
    await subject.store.append([entry for name in NAMES for entry in entries(name, [1])])
    await subject.reopen()
    for name in NAMES:
        assert list((await subject.store.load(name)).entries) == entries(name, [1])
    assert sorted(document.document for document in await subject.store.backlog()) == sorted(NAMES)
