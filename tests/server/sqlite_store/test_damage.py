"""Rows and files that are not what was written."""

import asyncio
import logging
import os
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from server.storage import DocumentUnreadable, Entry, Snapshot, StoreUnavailable
from server.storage.sqlite import FILE_NAME, SqliteStore
from tests.server.sqlite_store.support import entries, locked, sql


def remove_all(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def damage_entry(folder: Path, document: str, position: int) -> None:
    statement = """UPDATE entries SET payload = CAST('damaged' AS BLOB)
        WHERE position = ? AND document = (SELECT id FROM documents WHERE name = ?)"""
    sql(folder, statement, position, document)


async def test_a_damaged_entry_is_moved_once_and_the_others_are_served(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with SqliteStore.open(tmp_path) as store:
        await store.append(entries("a", range(1, 6)) + entries("b", [1]))
        damage_entry(tmp_path, "a", 3)
        loads = await asyncio.gather(*(store.load("a") for _ in range(3)))
        assert [list(stored.entries) for stored in loads] == [entries("a", [1, 2, 4, 5])] * 3
        assert list((await store.load("b")).entries) == entries("b", [1])
    async with SqliteStore.open(tmp_path) as store:
        assert list((await store.load("a")).entries) == entries("a", [1, 2, 4, 5])
    assert [(record.levelno, record.args) for record in caplog.records] == [(logging.ERROR, ("a", 3))]
    assert sql(tmp_path, "SELECT position, reason, payload FROM quarantine") == [(3, "checksum", b"damaged")]


async def test_the_position_of_a_quarantined_entry_is_not_given_out_again(tmp_path: Path) -> None:
    async with SqliteStore.open(tmp_path) as store:
        await store.append(entries("a", [1, 2, 3]))
        damage_entry(tmp_path, "a", 3)
        assert (await store.load("a")).last_position == 3
        assert (await store.load("a")).last_position == 3
    async with SqliteStore.open(tmp_path) as store:
        stored = await store.load("a")
        assert (list(stored.entries), stored.last_position) == (entries("a", [1, 2]), 3)
        assert await store.replace("a", Snapshot(b"two", 2, 1), folded=range(1, 3), generation=0)
        assert (await store.load("a")).last_position == 3


async def test_rows_that_changed_places_are_damage(tmp_path: Path) -> None:
    async with SqliteStore.open(tmp_path) as store:
        await store.append(entries("a", [1, 2, 3]) + entries("b", [1, 2, 3]))
        sql(tmp_path, "UPDATE entries SET document = document + 10 WHERE position = 2")
        sql(tmp_path, "UPDATE entries SET document = 13 - document WHERE document > 10")
        sql(tmp_path, "UPDATE entries SET position = 4 WHERE document = 2 AND position = 3")
        assert list((await store.load("a")).entries) == entries("a", [1, 3])
        stored = await store.load("b")
        assert (list(stored.entries), stored.last_position) == (entries("b", [1]), 4)


@pytest.mark.parametrize("payload", [None, 7, "text"], ids=repr)
async def test_a_payload_of_another_type_is_damage(tmp_path: Path, payload: object) -> None:
    async with SqliteStore.open(tmp_path) as store:
        await store.append(entries("a", [1, 2]))
        with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as connection:
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute(
                "UPDATE sqlite_schema SET sql = replace(sql, 'payload BLOB NOT NULL', 'payload BLOB')"
            )
            connection.execute("PRAGMA writable_schema = RESET")
            connection.execute("UPDATE entries SET payload = ? WHERE position = 1", (payload,))
        assert list((await store.load("a")).entries) == entries("a", [2])


async def test_damage_that_cannot_be_moved_now_is_left_out_and_moved_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with SqliteStore.open(tmp_path) as store:
        await store.append(entries("a", [1, 2]))
        damage_entry(tmp_path, "a", 1)
        with locked(tmp_path):
            assert list((await store.load("a")).entries) == entries("a", [2])
        assert sql(tmp_path, "SELECT position FROM quarantine") == []
        assert list((await store.load("a")).entries) == entries("a", [2])
    assert sql(tmp_path, "SELECT position FROM quarantine") == [(1,)]
    assert {record.levelno for record in caplog.records} == {logging.ERROR}


@pytest.mark.parametrize(
    "change",
    ["payload = CAST('damaged' AS BLOB)", "position = 3", "depth = 9", "generation = 7", "payload = 'text'"],
)
async def test_a_document_with_a_damaged_snapshot_is_unreadable_and_stays_as_it_is(
    tmp_path: Path, change: str
) -> None:
    async with SqliteStore.open(tmp_path) as store:
        await store.append(entries("a", [1, 2, 3, 4]) + entries("b", [1]))
        assert await store.replace("a", Snapshot(b"two", 2, 1), folded=range(1, 3), generation=0)
        sql(tmp_path, f"UPDATE snapshots SET {change}")
        damage_entry(tmp_path, "a", 3)
        before = [sql(tmp_path, f"SELECT * FROM {table}") for table in ("snapshots", "entries", "quarantine")]
        for _ in range(2):
            with pytest.raises(DocumentUnreadable):
                await store.load("a")
        assert list((await store.load("b")).entries) == entries("b", [1])
    after = [sql(tmp_path, f"SELECT * FROM {table}") for table in ("snapshots", "entries", "quarantine")]
    assert after == before


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
async def test_a_file_cut_short_under_the_server_is_never_an_empty_document(
    tmp_path: Path, kept: float
) -> None:
    path = tmp_path / FILE_NAME
    async with SqliteStore.open(tmp_path) as store:
        await store.append([Entry("a", position, b"x" * 3000) for position in range(1, 200)])
        await store.reclaim()
        os.truncate(path, int(path.stat().st_size * kept))
        for _ in range(2):
            with pytest.raises(DocumentUnreadable):
                await store.load("a")
        with pytest.raises(StoreUnavailable):
            await store.append(entries("a", [200]))


async def test_a_file_removed_under_the_server_is_not_made_anew(tmp_path: Path) -> None:
    async with SqliteStore.open(tmp_path) as store:
        remove_all(tmp_path)
        with pytest.raises(StoreUnavailable):
            await store.load("a")
        with pytest.raises(StoreUnavailable):
            await store.append(entries("a", [1]))
        assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("content", [b"not a database" * 1000, None], ids=["other bytes", "cut short"])
async def test_a_file_that_is_no_database_is_refused_at_open(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / FILE_NAME
    async with SqliteStore.open(tmp_path) as store:
        await store.append([Entry("a", position, b"x" * 3000) for position in range(1, 100)])
    damaged = path.read_bytes()[:100_001] if content is None else content
    path.write_bytes(damaged)
    with pytest.raises(StoreUnavailable):
        async with SqliteStore.open(tmp_path):
            pass
    assert path.read_bytes() == damaged


async def test_a_name_that_its_index_lost_is_refused_at_open(tmp_path: Path) -> None:
    async with SqliteStore.open(tmp_path) as store:
        await store.append([Entry("the-one-name", 1, b"update")])
    path = tmp_path / FILE_NAME
    content = path.read_bytes()
    at = content.rindex(b"the-one-name")
    path.write_bytes(content[:at] + b"tha" + content[at + 3 :])
    with pytest.raises(StoreUnavailable, match="documents"):
        async with SqliteStore.open(tmp_path):
            pass


async def test_flipped_bits_never_change_what_is_read(tmp_path: Path, seed: int) -> None:
    source = random.Random(seed)
    written = {
        name: [Entry(name, position, source.randbytes(40)) for position in range(1, 60)] for name in "abc"
    }
    async with SqliteStore.open(tmp_path) as store:
        for batch in written.values():
            await store.append(batch)
        assert await store.replace("c", Snapshot(b"c" * 9000, 30, 1), folded=range(1, 31), generation=0)
        await store.reclaim()
    whole = (tmp_path / FILE_NAME).read_bytes()
    for attempt in range(60):
        chosen = random.Random(f"{seed} {attempt}")
        damaged = bytearray(whole)
        for _ in range(chosen.choice([1, 1, 5, 50])):
            damaged[chosen.randrange(100, len(damaged))] ^= 1 << chosen.randrange(8)
        folder = tmp_path / str(attempt)
        folder.mkdir()
        (folder / FILE_NAME).write_bytes(damaged)
        await read_damaged(folder, written)


async def read_damaged(folder: Path, written: dict[str, list[Entry]]) -> None:
    try:
        async with SqliteStore.open(folder) as store:
            for name, batch in written.items():
                try:
                    stored = await store.load(name)
                except (DocumentUnreadable, StoreUnavailable):
                    continue
                assert set(stored.entries) <= set(batch)
                assert stored.snapshot in (None, Snapshot(b"c" * 9000, 30, 1))
            await store.backlog()
            await store.append(entries("a", [60]) + entries("d", [1]))
            assert set((await store.load("d")).entries) <= set(entries("d", [1]))
            await store.reclaim()
    except (DocumentUnreadable, StoreUnavailable):
        return
