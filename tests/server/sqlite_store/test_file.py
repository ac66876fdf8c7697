"""The file itself: its settings, its size, its schema."""

import asyncio
from pathlib import Path

import pytest

from server.storage import Entry, SchemaTooNew, Snapshot, StoreUnavailable
from server.storage.sqlite import FILE_NAME, SqliteStore
from server.storage.sqlite_schema import Synchronous
from tests.server.sqlite_store.support import entries, sql
from tests.support.stores import check_order


def size(path: Path) -> int:
    return path.stat().st_size


@pytest.mark.parametrize(("synchronous", "level"), [("FULL", 2), ("NORMAL", 1)])
async def test_commits_are_as_durable_as_asked(tmp_path: Path, synchronous: Synchronous, level: int) -> None:
    async with SqliteStore.open(tmp_path, synchronous=synchronous) as store:
        found = await store._writer.run(
            lambda connection: connection.execute("PRAGMA synchronous").fetchone()
        )
    assert found == (level,)


async def test_the_file_has_a_log_a_version_and_can_shrink(tmp_path: Path) -> None:
    async with SqliteStore.open(tmp_path):
        pass
    found = [
        sql(tmp_path, f"PRAGMA {name}")[0][0] for name in ("journal_mode", "user_version", "auto_vacuum")
    ]
    assert found == ["wal", 1, 2]


async def test_the_file_and_its_log_shrink_while_appends_go_on(tmp_path: Path) -> None:
    async with SqliteStore.open(tmp_path) as store:
        await store.append([Entry("a", position, b"x" * 10_000) for position in range(1, 1001)])
        assert await store.replace("a", Snapshot(b"all", 1000, 1), folded=range(1, 1001), generation=0)
        assert size(tmp_path / f"{FILE_NAME}-wal") > 10_000_000
        reclaiming = asyncio.create_task(store.reclaim())
        await asyncio.sleep(0)
        await check_order(store.append(entries("b", [1])), reclaiming)
        await reclaiming
        assert size(tmp_path / f"{FILE_NAME}-wal") == 0
        assert size(tmp_path / FILE_NAME) < 200_000
        assert (await store.load("a")).snapshot == Snapshot(b"all", 1000, 1)
        assert list((await store.load("b")).entries) == entries("b", [1])


async def test_replace_leaves_no_row_of_what_the_snapshot_holds(tmp_path: Path) -> None:
    async with SqliteStore.open(tmp_path) as store:
        await store.append(entries("a", range(1, 6)) + entries("b", [1, 2]))
        assert await store.replace("a", Snapshot(b"three", 3, 1), folded=range(1, 4), generation=0)
    rows = sql(tmp_path, "SELECT name, position FROM entries JOIN documents ON id = document ORDER BY 1, 2")
    assert rows == [("a", 4), ("a", 5), ("b", 1), ("b", 2)]


async def test_a_later_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    async with SqliteStore.open(tmp_path):
        pass
    sql(tmp_path, "PRAGMA user_version = 2")
    before = (tmp_path / FILE_NAME).read_bytes()
    with pytest.raises(SchemaTooNew, match="schema 2"):
        async with SqliteStore.open(tmp_path):
            pass
    assert (tmp_path / FILE_NAME).read_bytes() == before


async def test_a_folder_that_is_missing_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        async with SqliteStore.open(tmp_path / "missing"):
            pass
