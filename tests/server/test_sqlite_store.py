"""What the SQLite store adds to the contract: damage, full disks, locks, crashes, space, one owner."""

import asyncio
import logging
import os
import random
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest

from server.storage import DocumentUnreadable, Entry, Snapshot, StoreUnavailable, sqlite_rows
from server.storage.lock import FolderInUse, exclusive
from server.storage.sqlite import FILE_NAME, SqliteStore
from server.storage.sqlite_schema import SchemaTooNew, Synchronous

ROOT = Path(__file__).parents[2]


def entries(document: str, positions: Sequence[int]) -> list[Entry]:
    return [Entry(document, position, f"{document} {position}".encode()) for position in positions]


def sql(folder: Path, statement: str, *values: object) -> list[tuple[object, ...]]:
    """Run one statement on the file as an outsider would."""
    with closing(sqlite3.connect(folder / FILE_NAME, isolation_level=None)) as connection:
        return connection.execute(statement, values).fetchall()


def size(path: Path) -> int:
    return path.stat().st_size


def remove_all(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def damage_entry(folder: Path, document: str, position: int) -> None:
    statement = """UPDATE entries SET payload = CAST('damaged' AS BLOB)
        WHERE position = ? AND document = (SELECT id FROM documents WHERE name = ?)"""
    sql(folder, statement, position, document)


async def until(condition: Callable[[], object], timeout_s: float = 10) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.005)


# Damage


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
        assert await store.replace("a", Snapshot(b"two", 2, 1), generation=0)
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
        assert await store.replace("a", Snapshot(b"two", 2, 1), generation=0)
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
        assert await store.replace("c", Snapshot(b"c" * 9000, 30, 1), generation=0)
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


# Full disks, locked files


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
        assert await store.replace("a", Snapshot(b"x" * 200_000, 200, 1), generation=0)
        await store.append(more)
        assert (await store.load("a")).snapshot == Snapshot(b"x" * 200_000, 200, 1)
        assert sorted(await read_all(store), key=repr) == sorted(stored + more, key=repr)
    assert (tmp_path / FILE_NAME).stat().st_size <= 1_000_000


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the write lock of the file as an outsider would."""
    with closing(sqlite3.connect(folder / FILE_NAME, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


async def test_a_locked_file_is_reported_within_a_second_while_loads_go_on(tmp_path: Path) -> None:
    async with SqliteStore.open(tmp_path) as store:
        await store.append(entries("a", [1]))
        with locked(tmp_path):
            began = time.monotonic()
            appends = [
                asyncio.create_task(store.append(entries("a", [position]))) for position in range(2, 30)
            ]
            await asyncio.sleep(0)
            assert list((await store.load("a")).entries) == entries("a", [1])
            assert not appends[0].done()
            outcomes = await asyncio.gather(*appends, return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}
            assert time.monotonic() - began < 2.5
            with pytest.raises(StoreUnavailable):
                await store.replace("a", Snapshot(b"", 1, 0), generation=0)
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


# The file itself


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
        assert await store.replace("a", Snapshot(b"all", 1000, 1), generation=0)
        assert size(tmp_path / f"{FILE_NAME}-wal") > 10_000_000
        reclaiming = asyncio.create_task(store.reclaim())
        await asyncio.sleep(0)
        await store.append(entries("b", [1]))
        assert not reclaiming.done()
        await reclaiming
        assert size(tmp_path / f"{FILE_NAME}-wal") == 0
        assert size(tmp_path / FILE_NAME) < 200_000
        assert (await store.load("a")).snapshot == Snapshot(b"all", 1000, 1)
        assert list((await store.load("b")).entries) == entries("b", [1])


async def test_replace_leaves_no_row_of_what_the_snapshot_holds(tmp_path: Path) -> None:
    async with SqliteStore.open(tmp_path) as store:
        await store.append(entries("a", range(1, 6)) + entries("b", [1, 2]))
        assert await store.replace("a", Snapshot(b"three", 3, 1), generation=0)
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


# Crashes


APPEND_FOR_EVER = """
import asyncio, sys
from pathlib import Path
from server.storage import Entry
from server.storage.sqlite import SqliteStore

async def main():
    async with SqliteStore.open(Path(sys.argv[1])) as store:
        position = (await store.load("a")).last_position
        while True:
            batch = [Entry("a", position + number, b"%d" % (position + number)) for number in range(1, 8)]
            await store.append(batch)
            position += len(batch)
            print(position, flush=True)

asyncio.run(main())
"""


@contextmanager
def python(script: str, folder: Path, stdin: int = subprocess.DEVNULL) -> Iterator[subprocess.Popen[bytes]]:
    """Run a script beside the test; it is gone at the end, however the test ends."""
    command = [sys.executable, "-c", script, str(folder)]
    with subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()


async def test_every_append_that_returned_survives_fifty_kills(tmp_path: Path, seed: int) -> None:
    chosen = random.Random(seed)
    acknowledged = 0
    for _ in range(50):
        with python(APPEND_FOR_EVER, tmp_path) as process:
            assert process.stdout
            lines = [process.stdout.readline()]
            await asyncio.sleep(chosen.uniform(0, 0.03))
            process.kill()
            lines += process.stdout.readlines()
        whole = [int(line) for line in lines if line.endswith(b"\n")]
        assert whole[0] > acknowledged
        acknowledged = whole[-1]
        async with SqliteStore.open(tmp_path) as store:
            stored = await store.load("a")
        assert stored.last_position in (acknowledged, acknowledged + 7)
        everything = [Entry("a", number, b"%d" % number) for number in range(1, stored.last_position + 1)]
        assert list(stored.entries) == everything
        acknowledged = stored.last_position


# The lock of the data folder


HOLD = """
import subprocess, sys
from pathlib import Path
from server.storage.lock import exclusive

with exclusive(Path(sys.argv[1])):
    waits_for_the_test = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    child = subprocess.Popen(waits_for_the_test, stdout=subprocess.DEVNULL, close_fds=False)
    print("held", flush=True)
    child.wait()
"""


def is_free(folder: Path) -> bool:
    try:
        with exclusive(folder):
            return True
    except FolderInUse:
        return False


async def test_a_second_process_is_told_who_has_the_folder_until_the_first_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    reading, writing = os.pipe()
    try:
        with python(HOLD, folder, stdin=reading) as process:
            assert process.stdout
            assert process.stdout.readline() == b"held\n"
            with pytest.raises(FolderInUse) as refused, exclusive(folder):
                pass
            assert str(refused.value) == (
                f"the data folder {folder} is in use by another server (pid {process.pid})"
            )
            process.kill()
            # Its child lives on with every descriptor that children inherit, and does not hold the lock.
            await until(lambda: is_free(folder))
    finally:
        os.close(writing)
        os.close(reading)


async def test_a_folder_is_free_again_at_the_end_of_its_owner(tmp_path: Path) -> None:
    with exclusive(tmp_path):
        assert not is_free(tmp_path)
    assert is_free(tmp_path)
