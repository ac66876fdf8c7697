"""A snapshot takes the place of entries; what waits for one is counted."""

import asyncio
import random

import pytest

from crdt.limits import Limits
from server.storage import Backlog, Entry, Snapshot
from tests.contracts.store.support import Subject, both
from tests.support.stores import entries


async def test_replace_keeps_the_entries_that_were_not_folded(subject: Subject) -> None:
    await subject.store.append(entries("a", range(1, 6)))
    assert await subject.store.replace("a", Snapshot(b"three", 3, 7), folded=range(1, 4), generation=0)
    stored = await both(subject, "a")
    assert (stored.snapshot, stored.generation) == (Snapshot(b"three", 3, 7), 1)
    assert list(stored.entries) == entries("a", [4, 5])


async def test_L7_the_largest_document_is_kept_as_an_entry_and_as_a_snapshot(subject: Subject) -> None:
    largest = random.Random(1).randbytes(Limits.of().document_bytes)
    await subject.store.append([Entry("a", 1, largest), *entries("a", [2])])
    stored = await both(subject, "a")
    assert stored.entries[0].update == largest
    assert await subject.store.replace("a", Snapshot(largest, 1, 0), folded=[1], generation=0)
    stored = await both(subject, "a")
    assert (stored.snapshot, list(stored.entries)) == (Snapshot(largest, 1, 0), entries("a", [2]))


async def test_of_two_competing_replaces_exactly_one_wins(subject: Subject) -> None:
    await subject.store.append(entries("a", range(1, 4)))
    rivals = [Snapshot(b"one", 1, 1), Snapshot(b"two", 2, 2)]
    won = await asyncio.gather(
        *(
            subject.store.replace("a", rival, folded=range(1, rival.position + 1), generation=0)
            for rival in rivals
        )
    )
    assert sorted(won) == [False, True]
    winner = rivals[won.index(True)]
    stored = await both(subject, "a")
    assert (stored.snapshot, stored.generation) == (winner, 1)
    assert list(stored.entries) == entries("a", range(winner.position + 1, 4))


@pytest.mark.parametrize("generation", [0, 2])
async def test_a_replace_with_another_generation_changes_nothing(subject: Subject, generation: int) -> None:
    await subject.store.append(entries("a", [1, 2]))
    assert await subject.store.replace("a", Snapshot(b"one", 1, 1), folded=range(1, 2), generation=0)
    assert not await subject.store.replace(
        "a", Snapshot(b"late", 2, 2), folded=range(1, 3), generation=generation
    )
    assert not await subject.store.replace(
        "unknown", Snapshot(b"late", 2, 2), folded=range(1, 3), generation=1
    )
    stored = await both(subject, "a")
    assert (stored.snapshot, stored.generation) == (Snapshot(b"one", 1, 1), 1)
    assert list(stored.entries) == entries("a", [2])
    assert (await both(subject, "unknown")).last_position == 0


async def test_a_snapshot_replaces_the_one_before(subject: Subject) -> None:
    for generation in range(3):
        position = generation + 1
        await subject.store.append(entries("a", [position]))
        snapshot = Snapshot(b"%d" % position, position, position)
        assert await subject.store.replace("a", snapshot, folded=[position], generation=generation)
    stored = await both(subject, "a")
    assert (stored.snapshot, stored.generation, stored.last_position) == (Snapshot(b"3", 3, 3), 3, 3)


async def test_a_snapshot_needs_no_entries_before_it(subject: Subject) -> None:
    assert await subject.store.replace("a", Snapshot(b"imported", 5, 0), folded=range(1, 6), generation=0)
    stored = await both(subject, "a")
    assert (stored.snapshot, stored.last_position) == (Snapshot(b"imported", 5, 0), 5)


async def test_a_snapshot_never_goes_back(subject: Subject) -> None:
    assert await subject.store.replace("a", Snapshot(b"five", 5, 0), folded=range(1, 6), generation=0)
    with pytest.raises(AssertionError):
        await subject.store.replace("a", Snapshot(b"four", 4, 0), folded=range(1, 5), generation=1)
    assert (await both(subject, "a")).snapshot == Snapshot(b"five", 5, 0)


async def test_positions_are_not_given_out_again_after_replace(subject: Subject) -> None:
    await subject.store.append(entries("a", [1, 2, 3]))
    assert await subject.store.replace("a", Snapshot(b"all", 3, 1), folded=range(1, 4), generation=0)
    stored = await both(subject, "a")
    assert (list(stored.entries), stored.last_position) == ([], 3)


async def test_D12_replace_deletes_what_was_folded_and_nothing_else(subject: Subject) -> None:
    """Not even below the snapshot's position: an entry may have come after the fold had read the others."""
    await subject.store.append(entries("a", [1, 2, 3, 5]))
    assert await subject.store.replace("a", Snapshot(b"some", 4, 1), folded=[1, 3, 4], generation=0)
    stored = await both(subject, "a")
    assert (list(stored.entries), stored.last_position) == (entries("a", [2, 5]), 5)
    assert await subject.store.replace("a", Snapshot(b"more", 4, 1), folded=[5], generation=1)
    assert list((await both(subject, "a")).entries) == entries("a", [2])


async def test_D12_an_entry_that_comes_late_is_seen_below_the_snapshot(subject: Subject) -> None:
    """A position does not tell whether the snapshot holds it: its node may have been slower than the fold."""
    await subject.store.append(entries("a", [1, 3]))
    assert await subject.store.replace("a", Snapshot(b"all", 3, 1), folded=[1, 3], generation=0)
    assert not await subject.store.append(entries("a", [2, 3, 4]))
    stored = await both(subject, "a")
    assert (list(stored.entries), stored.last_position) == (entries("a", [2, 3, 4]), 4)
    assert [document.rows for document in await subject.store.backlog()] == [3]


async def test_backlog_lists_what_is_not_in_a_snapshot_largest_first(subject: Subject) -> None:
    await subject.store.append(
        [Entry("small", 1, b"1"), Entry("large", 1, b"1" * 50_000), Entry("large", 2, b"2")]
    )
    await subject.store.append([Entry("folded", position, b"1" * 99_000) for position in (1, 2)])
    assert await subject.store.replace("folded", Snapshot(b"", 2, 0), folded=range(1, 3), generation=0)
    expected = [Backlog("large", 2, 50_001), Backlog("small", 1, 1)]
    assert list(await subject.store.backlog()) == expected
    await subject.reopen()
    assert list(await subject.store.backlog()) == expected


async def test_backlog_lists_more_documents_than_one_step_reads(subject: Subject) -> None:
    names = [f"doc {number:03}" for number in range(450)]
    await subject.store.append([Entry(name, 1, b"x") for name in names])
    assert sorted(document.document for document in await subject.store.backlog()) == names


async def test_reclaim_keeps_every_document(subject: Subject) -> None:
    await subject.store.append([Entry("a", position, b"x" * 10_000) for position in range(1, 300)])
    await subject.store.append(entries("a", [300]) + entries("b", [1]))
    assert await subject.store.replace("a", Snapshot(b"a", 299, 1), folded=range(1, 300), generation=0)
    await subject.store.reclaim()
    stored = await both(subject, "a")
    assert (stored.snapshot, list(stored.entries)) == (Snapshot(b"a", 299, 1), entries("a", [300]))
    assert list((await both(subject, "b")).entries) == entries("b", [1])
