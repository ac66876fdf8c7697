"""Rows that are not what was written."""

import asyncio
import logging

import pytest

from server.storage import DocumentUnreadable, Snapshot
from server.storage.postgres import PostgresStore
from tests.server.postgres_store.support import TIMEOUT_S, sql, writes_locked
from tests.support.stores import entries


async def damage_entry(url: str, document: str, position: int) -> None:
    statement = "UPDATE cowrite.entries SET payload = 'damaged' WHERE document = $1 AND position = $2"
    await sql(url, statement, document, position)


async def test_a_damaged_entry_is_moved_once_and_the_others_are_served(
    url: str, nodes: list[PostgresStore], caplog: pytest.LogCaptureFixture
) -> None:
    await nodes[0].append(entries("a", range(1, 6)) + entries("b", [1]))
    for position in (3, 5):
        await damage_entry(url, "a", position)
    loads = await asyncio.gather(*(store.load("a") for store in nodes * 3))
    assert [list(stored.entries) for stored in loads] == [entries("a", [1, 2, 4])] * 6
    again = await nodes[0].load("a")
    assert (list(again.entries), again.last_position) == (entries("a", [1, 2, 4]), 5)
    assert list((await nodes[1].load("b")).entries) == entries("b", [1])
    moved = await sql(url, "SELECT document, position, reason, payload FROM cowrite.quarantine ORDER BY 2")
    assert moved == [("a", position, "checksum", b"damaged") for position in (3, 5)]
    assert sorted((record.levelno, record.args) for record in caplog.records) == [
        (logging.ERROR, ("a", 3)),
        (logging.ERROR, ("a", 5)),
    ]


async def test_entries_that_changed_places_are_damage(url: str, nodes: list[PostgresStore]) -> None:
    await nodes[0].append(entries("a", [1, 2]) + entries("b", [1, 2]))
    await sql(url, "UPDATE cowrite.entries SET document = 'was ' || document WHERE position = 2")
    await sql(url, "UPDATE cowrite.entries SET document = 'b' WHERE document = 'was a'")
    await sql(url, "UPDATE cowrite.entries SET document = 'a' WHERE document = 'was b'")
    assert list((await nodes[0].load("a")).entries) == entries("a", [1])
    assert list((await nodes[0].load("b")).entries) == entries("b", [1])


async def test_damage_that_cannot_be_moved_now_is_left_out_and_moved_later(url: str) -> None:
    async with PostgresStore.open(url, timeout_s=TIMEOUT_S) as store:
        await store.append(entries("a", [1, 2]))
        await damage_entry(url, "a", 1)
        async with writes_locked(url):
            assert list((await store.load("a")).entries) == entries("a", [2])
        assert await sql(url, "SELECT position FROM cowrite.quarantine") == []
        assert list((await store.load("a")).entries) == entries("a", [2])
        assert await sql(url, "SELECT position FROM cowrite.quarantine") == [(1,)]


@pytest.mark.parametrize("change", ["payload = 'damaged'", "position = 3", "depth = 9", "generation = 7"])
async def test_a_document_with_a_damaged_snapshot_is_unreadable_and_stays_as_it_is(
    url: str, nodes: list[PostgresStore], change: str
) -> None:
    await nodes[0].append(entries("a", [1, 2, 3, 4]) + entries("b", [1]))
    assert await nodes[0].replace("a", Snapshot(b"two", 2, 1), folded=range(1, 3), generation=0)
    await sql(url, f"UPDATE cowrite.snapshots SET {change}")
    await damage_entry(url, "a", 3)
    tables = [
        f"SELECT * FROM cowrite.{table} ORDER BY 1, 2" for table in ("snapshots", "entries", "quarantine")
    ]
    before = [await sql(url, table) for table in tables]
    for _ in range(2):
        with pytest.raises(DocumentUnreadable):
            await nodes[0].load("a")
    assert list((await nodes[0].load("b")).entries) == entries("b", [1])
    assert [await sql(url, table) for table in tables] == before
