"""Full disks and locked files."""

import asyncio
import os
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from server.storage import Entry, Snapshot, StoreUnavailable, sqlite_rows, sqlite_schema
from server.storage.sqlite import FILE_NAME, SqliteStore
from tests.server.sqlite_store.support import entries, locked
from tests.support.stores import check_order


async def fill(store: SqliteStore) -> list[Entry]:
    """Append to new documents until there is no room; return what was acknowledged."""
    stored: list[Entry] = []
    for number in range(10_000):
        batch = [Entry(f"filling {number}", position, b"x" * 2000) for position in range(1, 6)]
        try:
            await store.append(batch)
        except StoreUnavailable:
            return stored
        stored += batch
    raise AssertionError("the disk is not full")


async def read_all(store: SqliteStore) -> list[Entry]:
    names = [document.document for document in await store.backlog()]
    return [entry for name in names for entry in (await store.load(name)).entries]


@contextmanager
def small_tmpfs(folder: Path) -> Iterator[Callable[[], None]]:
    """Mount a small disk on the folder; what it gives makes more room."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "cowrite-test", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this test mounts a disk, which needs root")

    def make_room() -> None:
        subprocess.run(["mount", "-o", "remount,size=20m", str(folder)], check=True)

    try:
        yield make_room
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def small_files(_: Path) -> Iterator[Callable[[], None]]:
    """Have the kernel refuse to let any file grow above 2 MB; what it gives ends that."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, before[1]))
    try:
        yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, before)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("small_disk", [small_tmpfs, small_files])
async def test_a_full_disk_loses_and_doubles_nothing_and_heals_by_itself(
    tmp_path: Path, small_disk: Callable[[Path], AbstractContextManager[Callable[[], None]]]
) -> None:
    with small_disk(tmp_path) as make_room:
        async with SqliteStore.open(tmp_path) as store:
            await store.append(entries("a", [1]))
            stored = entries("a", [1]) + await fill(store)
            waiting = [
                Entry(name, position, b"y" * 100_000)
                for name in ("a new one", "another new one")
                for position in range(1, 21)
            ]
            for _ in range(3):
                with pytest.raises(StoreUnavailable):
                    await store.append(waiting)
            assert sorted(await read_all(store), key=repr) == sorted(stored, key=repr)
            make_room()
            await store.append(waiting)
            assert sorted(await read_all(store), key=repr) == sorted(stored + waiting, key=repr)
        async with SqliteStore.open(tmp_path) as store:
            assert sorted(await read_all(store), key=repr) == sorted(stored + waiting, key=repr)


async def test_compaction_makes_room_in_a_file_at_its_limit(tmp_path: Path) -> None:
    async with SqliteStore.open(tmp_path, limit_bytes=1_000_000) as store:
        await store.append([Entry("a", position, b"x" * 2000) for position in range(1, 201)])
        stored = await fill(store)
        more = [Entry("a new one", position, b"y" * 2000) for position in range(1, 50)]
        with pytest.raises(StoreUnavailable):
            await store.append(more)
        assert await store.replace("a", Snapshot(b"x" * 200_000, 200, 1), folded=range(1, 201), generation=0)
        await store.append(more)
        assert (await store.load("a")).snapshot == Snapshot(b"x" * 200_000, 200, 1)
        assert sorted(await read_all(store), key=repr) == sorted(stored + more, key=repr)
    assert (tmp_path / FILE_NAME).stat().st_size <= 1_000_000


async def test_a_locked_file_is_reported_to_all_at_once_while_loads_go_on(tmp_path: Path) -> None:
    """The first waits for at most a second; those that wait behind it do not wait each for its own."""
    assert sqlite_schema._BUSY_TIMEOUT_S <= 1
    async with SqliteStore.open(tmp_path) as store:
        await store.append(entries("a", [1]))
        with locked(tmp_path):
            began = time.monotonic()
            appends = [
                asyncio.create_task(store.append(entries("a", [position]))) for position in range(2, 30)
            ]
            await asyncio.sleep(0)
            loaded = await check_order(store.load("a"), appends[0])
            assert list(loaded.entries) == entries("a", [1])
            first_s = time.monotonic() - began
            outcomes = await asyncio.gather(*appends, return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}
            assert time.monotonic() - began < len(appends) / 2 * first_s
            with pytest.raises(StoreUnavailable):
                await store.replace("a", Snapshot(b"", 1, 0), folded=range(1, 2), generation=0)
        await store.append(entries("a", [2, 3]))
        assert list((await store.load("a")).entries) == entries("a", [1, 2, 3])


async def test_ids_are_right_when_more_documents_are_written_than_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_rows, "_IDS_LIMIT", 3)
    async with SqliteStore.open(tmp_path) as store:
        for position in range(1, 4):
            for number in range(10):
                await store.append(
                    entries(f"doc {number}", [position]) + entries("always", [position * 10 + number])
                )
        for number in range(10):
            assert list((await store.load(f"doc {number}")).entries) == entries(f"doc {number}", [1, 2, 3])
