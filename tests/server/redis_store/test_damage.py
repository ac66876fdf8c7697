"""Entries and snapshots that are not what was written."""

import asyncio
import logging
from collections.abc import Sequence

import pytest

from server.bus.redis_entries import seal
from server.storage import DocumentUnreadable, Entry, PartlyStored, Snapshot, Stored, StoreUnavailable
from server.storage.redis import RedisStore
from tests.server.redis_store.support import LATE, QUARANTINE, SNAPSHOT, STREAM
from tests.support.redis_server import RedisServer
from tests.support.stores import entries


def append_as_the_bus(redis: RedisServer, batch: Sequence[Entry]) -> None:
    """Put entries into the stream."""
    for entry in batch:
        redis.execute("XADD", STREAM, f"0-{entry.position}", "e", seal(entry.update))


def damaged_copy(redis: RedisServer, position: int) -> None:
    """Exchange the last entry of the stream for a damaged one at the next position."""
    [(id, fields)] = redis.execute("XRANGE", STREAM, f"0-{position}", f"0-{position}")
    redis.execute("XDEL", STREAM, id)
    redis.execute("XADD", STREAM, f"0-{position + 1}", "e", fields[b"e"][:-1] + b"!")


async def test_a_damaged_entry_is_moved_once_and_the_others_are_served(
    redis: RedisServer, nodes: list[RedisStore], caplog: pytest.LogCaptureFixture
) -> None:
    append_as_the_bus(redis, entries("a", [1, 2]))
    await nodes[0].append(entries("b", [1]))
    damaged_copy(redis, 2)
    redis.execute("XADD", STREAM, "0-4", "f", "other", "g", b"\x01fields")
    await nodes[0].append(entries("a", [5]))
    redis.execute("HSET", LATE, "0-1", b"\x01beside a good one", "0-2", b"")
    loads = await asyncio.gather(*(store.load("a") for store in nodes * 3))
    assert [list(stored.entries) for stored in loads] == [entries("a", [1, 5])] * 6
    again = await nodes[0].load("a")
    assert (list(again.entries), again.last_position) == (entries("a", [1, 5]), 5)
    assert list((await nodes[1].load("b")).entries) == entries("b", [1])
    moved = redis.execute("HGETALL", QUARANTINE)
    assert moved[b"0-1"] == b"\x01beside a good one"
    assert moved[b"0-2"] == b""
    assert moved[b"0-3"].endswith(b"a 2 updat!")
    assert moved[b"0-4"] == b"fotherg\x01fields"
    assert sorted((record.levelno, record.args) for record in caplog.records) == [
        (logging.ERROR, ("a", position)) for position in range(1, 5)
    ]


async def test_an_entry_that_was_quarantined_is_stored_when_it_comes_whole(
    redis: RedisServer, nodes: list[RedisStore]
) -> None:
    redis.execute("XADD", STREAM, "0-1", "e", b"\x01damaged")
    assert await nodes[0].load("a") == Stored(None, 0, [], 1)
    await nodes[0].append(entries("a", [1]))
    for store in nodes:
        assert await store.load("a") == Stored(None, 0, entries("a", [1]), 1)


async def test_B7_an_entry_of_a_newer_version_is_left_out_and_left_in_its_place(
    redis: RedisServer, nodes: list[RedisStore], caplog: pytest.LogCaptureFixture
) -> None:
    """A node that can read it has acknowledged it, and reads it again when it loads the document."""
    append_as_the_bus(redis, entries("a", [1]))
    redis.execute("XADD", STREAM, "0-2", "e", b"\x02 of a newer node")
    redis.execute("HSET", LATE, "0-3", b"\x02 late")
    before = [redis.execute("DUMP", key) for key in (STREAM, LATE)]
    for _ in range(2):
        assert await nodes[0].load("a") == Stored(None, 0, entries("a", [1]), 3)
    assert [redis.execute("DUMP", key) for key in (STREAM, LATE, QUARANTINE)] == [*before, None]
    assert [vars(line)["document"] for line in caplog.records] == ["a", "a"], "each is logged once"


@pytest.mark.parametrize("offset", [0, 2, 4, 6, 8, 10, 30, -1])
async def test_a_document_with_a_damaged_snapshot_is_unreadable_and_stays_as_it_is(
    redis: RedisServer, nodes: list[RedisStore], offset: int
) -> None:
    append_as_the_bus(redis, entries("a", [1, 2, 3]))
    await nodes[0].append(entries("b", [1]))
    assert await nodes[0].replace("a", Snapshot(b"two", 2, 1), folded=range(1, 3), generation=0)
    record = bytearray(redis.execute("GET", SNAPSHOT))
    record[offset] ^= 1
    redis.execute("SET", SNAPSHOT, bytes(record))
    before = [redis.execute("DUMP", key) for key in (STREAM, SNAPSHOT)]
    for store in nodes:
        with pytest.raises(DocumentUnreadable):
            await store.load("a")
    assert list((await nodes[0].load("b")).entries) == entries("b", [1])
    assert [redis.execute("DUMP", key) for key in (STREAM, SNAPSHOT)] == before
    await nodes[0].append(entries("a", [3, 4]))
    assert (redis.execute("XLEN", STREAM), redis.execute("HKEYS", LATE)) == (1, [b"0-4"])


async def test_a_snapshot_in_the_place_of_another_is_damage(
    redis: RedisServer, nodes: list[RedisStore]
) -> None:
    for name in "ab":
        assert await nodes[0].replace(name, Snapshot(name.encode(), 1, 1), folded=range(1, 2), generation=0)
    redis.execute("SET", SNAPSHOT, redis.execute("GET", SNAPSHOT.replace("{a}", "{b}")))
    with pytest.raises(DocumentUnreadable):
        await nodes[0].load("a")


async def test_a_key_of_another_kind_is_an_error_and_not_an_empty_document(
    redis: RedisServer, nodes: list[RedisStore]
) -> None:
    redis.execute("SET", STREAM, "a string")
    for call in (nodes[0].load("a"), nodes[0].append(entries("a", [1]))):
        with pytest.raises(StoreUnavailable, match="WRONGTYPE"):
            await call


@pytest.mark.parametrize("key", [STREAM, LATE])
async def test_B9_a_document_that_cannot_be_counted_is_left_out_of_the_backlog(
    redis: RedisServer, nodes: list[RedisStore], caplog: pytest.LogCaptureFixture, key: str
) -> None:
    await nodes[0].append(entries("a", [1]) + entries("b", [1, 2]))
    redis.execute("SET", key, "a string")
    assert [(waiting.document, waiting.rows) for waiting in await nodes[0].backlog()] == [("b", 2)]
    [line] = caplog.records
    assert line.levelno == logging.ERROR
    assert "such as 'a'" in line.getMessage()


async def test_B9_a_document_that_cannot_be_stored_keeps_no_other_from_being_stored(
    redis: RedisServer, nodes: list[RedisStore]
) -> None:
    await nodes[0].append(entries("c", [1]))
    redis.execute("SET", LATE, "a string")
    bad, good, rival = entries("a", [1, 2]), entries("b", [1, 2]), entries("c", [1], "rival")
    with pytest.raises(PartlyStored, match="WRONGTYPE") as partly:
        await nodes[0].append([bad[0], *good, bad[1], *rival])
    assert (partly.value.unstored, partly.value.taken) == (bad, rival)
    assert list((await nodes[1].load("b")).entries) == good


async def test_B9_of_appends_that_are_committed_together_only_the_bad_one_fails(
    redis: RedisServer, nodes: list[RedisStore]
) -> None:
    redis.execute("SET", LATE, "a string")
    batches = [entries("b", [1]), entries("a", [1]), entries("b", [2]), entries("b", [2], "rival")]
    calls = (nodes[0].append(batch) for batch in batches)
    first, *together = await asyncio.gather(*calls, return_exceptions=True)
    assert (first, together[1:]) == ([], [[], batches[3]])
    assert type(together[0]) is StoreUnavailable
    assert list((await nodes[1].load("b")).entries) == entries("b", [1, 2])
