"""What the Postgres store adds to the contract: many nodes, crashes, damage, full disks, lost replies."""

import asyncio
import logging
import os
import random
import subprocess
import tempfile
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path

import asyncpg
import pytest

from server.storage import DocumentUnreadable, Entry, Snapshot, Stored, StoreUnavailable
from server.storage.postgres import PostgresStore
from server.storage.sqlite_schema import SchemaTooNew
from tests.support.polling import poll
from tests.support.postgres_server import PASSWORD, QUOTED_PASSWORD, PostgresServer
from tests.support.server_process import free_port
from tests.support.stores import Writer, append_losing_the_answer, append_until_stored, entries
from tests.support.tcp_proxy import TcpProxy


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    """Give an empty database."""
    return postgres.new_database()


@pytest.fixture
async def nodes(url: str) -> AsyncIterator[list[PostgresStore]]:
    """Open the store of two nodes on one database."""
    async with PostgresStore.open(url) as one, PostgresStore.open(url) as other:
        yield [one, other]


async def sql(url: str, statement: str, *values: object) -> list[tuple[object, ...]]:
    """Run one statement as an outsider would."""
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(statement, *values)]
    finally:
        await connection.close()


async def damage_entry(url: str, document: str, position: int) -> None:
    statement = "UPDATE cowrite.entries SET payload = 'damaged' WHERE document = $1 AND position = $2"
    await sql(url, statement, document, position)


# Several nodes


async def test_nodes_that_append_to_one_document_at_once_lose_and_double_nothing(
    nodes: list[PostgresStore], seed: int
) -> None:
    chosen = random.Random(seed)

    async def write(store: PostgresStore, text: str) -> None:
        positions = list(range(1, 301))
        chosen.shuffle(positions)
        batches = [entries("a", positions[at : at + 10], text) for at in range(0, 300, 10)]
        for batch in batches:
            await store.append(batch + entries(f"of {text}", [batch[0].position], text))

    await asyncio.gather(*(write(store, f"node {index}") for index, store in enumerate(nodes)))
    loads = [await store.load("a") for store in nodes]
    assert loads[0] == loads[1]
    assert [entry.position for entry in loads[0].entries] == list(range(1, 301))
    written = entries("a", range(1, 301), "node 0") + entries("a", range(1, 301), "node 1")
    assert set(loads[0].entries) <= set(written)
    for index, store in enumerate(nodes):
        assert len((await store.load(f"of node {1 - index}")).entries) == 30


async def test_nodes_that_append_the_same_entries_in_opposite_orders_do_not_block_each_other(
    nodes: list[PostgresStore],
) -> None:
    for at in range(0, 20_000, 2000):
        batch = entries("a", range(at + 1, at + 2001))
        await asyncio.gather(nodes[0].append(batch), nodes[1].append(batch[::-1]))
    assert list((await nodes[0].load("a")).entries) == entries("a", range(1, 20_001))


@pytest.mark.parametrize("generation", [0, 1])
async def test_of_two_nodes_that_replace_at_once_exactly_one_wins(
    nodes: list[PostgresStore], generation: int
) -> None:
    for name in map(str, range(20)):
        await nodes[0].append(entries(name, range(1, 6)))
        if generation:
            assert await nodes[0].replace(name, Snapshot(b"one", 1, 1), generation=0)
        rivals = [Snapshot(b"two", 2, 1), Snapshot(b"three", 3, 1)]
        won = await asyncio.gather(
            *(
                store.replace(name, rival, generation=generation)
                for store, rival in zip(nodes, rivals, strict=True)
            )
        )
        assert sorted(won) == [False, True]
        winner = rivals[won.index(True)]
        kept = entries(name, range(winner.position + 1, 6))
        assert await nodes[0].load(name) == Stored(winner, generation + 1, kept, 5)


async def test_a_load_beside_replaces_and_appends_never_has_a_hole(nodes: list[PostgresStore]) -> None:
    writer, reader = nodes
    is_over = asyncio.Event()

    async def write() -> None:
        for position in range(1, 200):
            await writer.append(entries("a", [position]))
            if position % 3 == 0:
                assert await writer.replace("a", Snapshot(b"s", position, 1), generation=position // 3 - 1)
        is_over.set()

    async def read() -> None:
        while not is_over.is_set():
            stored = await reader.load("a")
            folded = stored.snapshot.position if stored.snapshot else 0
            assert list(stored.entries) == entries("a", range(folded + 1, stored.last_position + 1))

    await asyncio.gather(write(), read(), read())


# The schema


async def test_nodes_that_start_at_once_on_an_empty_database_all_find_their_tables(url: str) -> None:
    async with AsyncExitStack() as stack:
        opening = (stack.enter_async_context(PostgresStore.open(url)) for _ in range(4))
        stores = await asyncio.gather(*opening)
        for position, store in enumerate(stores, 1):
            await store.append(entries("a", [position]))
        assert list((await stores[0].load("a")).entries) == entries("a", range(1, 5))
    assert await sql(url, "SELECT version FROM cowrite.schema_version") == [(1,)]


async def test_a_later_schema_is_refused_and_left_alone(url: str) -> None:
    async with PostgresStore.open(url) as store:
        await store.append(entries("a", [1]))
    await sql(url, "UPDATE cowrite.schema_version SET version = 2")
    with pytest.raises(SchemaTooNew, match="schema 2"):
        async with PostgresStore.open(url):
            pass
    assert await sql(url, "SELECT version FROM cowrite.schema_version") == [(2,)]
    assert await sql(url, "SELECT document, position FROM cowrite.entries") == [("a", 1)]


async def test_a_database_that_cannot_hold_every_name_is_refused(postgres: PostgresServer) -> None:
    url = postgres.new_database("--encoding=LATIN1", "--template=template0", "--locale=C")
    with pytest.raises(StoreUnavailable, match="LATIN1"):
        async with PostgresStore.open(url):
            pass


async def test_a_setting_that_loses_commits_is_warned_of(url: str, caplog: pytest.LogCaptureFixture) -> None:
    await sql(url, f"ALTER DATABASE {url.rpartition('/')[2]} SET synchronous_commit = off")
    async with PostgresStore.open(url):
        pass
    assert [(record.levelno, record.args) for record in caplog.records] == [
        (logging.WARNING, ("synchronous_commit",))
    ]


# Damage


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
    async with PostgresStore.open(url, timeout_s=0.5) as store:
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
    assert await nodes[0].replace("a", Snapshot(b"two", 2, 1), generation=0)
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


# A server that dies, that is stuck, that is full


async def test_a_crash_of_postgres_loses_and_doubles_nothing_and_the_store_recovers(
    seed: int,
) -> None:
    chosen = random.Random(seed)
    with PostgresServer() as server:
        url = server.new_database()
        async with PostgresStore.open(url, timeout_s=5) as store:
            writer = Writer(store)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(writer.run())
                for crashes in range(1, 4):
                    await asyncio.sleep(chosen.uniform(0, 0.2))
                    server.kill()
                    await writer.has_failed(crashes)
                    with pytest.raises(StoreUnavailable):
                        await store.load("a")
                    await asyncio.to_thread(server.start)
                    await writer.goes_on()
                writer.stop()
            assert list((await store.load("a")).entries) == writer.acknowledged
            assert writer.acknowledged == entries("a", range(1, len(writer.acknowledged) + 1))


async def test_connections_that_an_administrator_ends_are_made_anew(
    url: str, nodes: list[PostgresStore]
) -> None:
    await nodes[0].append(entries("a", [1]))
    for position in range(2, 5):
        await nodes[0].load("a")
        await sql(
            url,
            """SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
            WHERE application_name = 'cowrite' AND datname = current_database()""",
        )
        await append_until_stored(nodes[0], entries("a", [position]))

        async def can_load() -> bool:
            with suppress(StoreUnavailable):
                await nodes[0].load("a")
                return True
            return False

        await poll(can_load, 10, "loads work again")
    assert list((await nodes[1].load("a")).entries) == entries("a", range(1, 5))


@asynccontextmanager
async def writes_locked(url: str) -> AsyncIterator[None]:
    """Hold a lock that lets others read the entries, but not write them."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE cowrite.entries IN SHARE MODE")
            yield
    finally:
        await connection.close()


async def test_a_locked_table_is_reported_in_time_while_loads_go_on(url: str) -> None:
    async with PostgresStore.open(url, timeout_s=0.5) as store:
        await store.append(entries("a", [1]))
        async with writes_locked(url):
            began = time.monotonic()
            append = asyncio.create_task(store.append(entries("a", [2])))
            await asyncio.sleep(0)
            assert list((await store.load("a")).entries) == entries("a", [1])
            assert not append.done()
            with pytest.raises(StoreUnavailable):
                await append
            assert time.monotonic() - began < 5
        await store.append(entries("a", [2, 3]))
        assert list((await store.load("a")).entries) == entries("a", [1, 2, 3])


def through(proxy: TcpProxy, url: str) -> str:
    host, _, database = url.rpartition("/")
    return f"{host.rpartition(':')[0]}:{proxy.port}/{database}"


async def test_an_append_whose_answer_was_lost_is_stored_once(postgres: PostgresServer, url: str) -> None:
    async with (
        TcpProxy.open(postgres.port) as proxy,
        PostgresStore.open(through(proxy, url), timeout_s=1) as store,
    ):
        await store.append(entries("a", [1]))
        for position in range(2, 6):
            await append_losing_the_answer(store, proxy, entries("a", [position], "first"))
            await append_until_stored(store, entries("a", [position], "again"))
        stored = await store.load("a")
    assert list(stored.entries) == entries("a", [1]) + entries("a", range(2, 6), "first")


async def test_a_server_that_falls_silent_is_reported_in_time_and_closing_does_not_hang(
    postgres: PostgresServer, url: str
) -> None:
    async with TcpProxy.open(postgres.port) as proxy:
        async with PostgresStore.open(through(proxy, url), timeout_s=0.5) as store:
            await store.append(entries("a", [1]))
            proxy.drops_replies = True
            began = time.monotonic()
            calls = [store.append(entries("a", [2])), store.load("a"), store.backlog()]
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}
        assert time.monotonic() - began < 10
        proxy.cut()


@contextmanager
def small_disk() -> Iterator[tuple[Path, Callable[[], None]]]:
    """Mount a small disk; give a folder on it, and what makes more room."""
    folder = Path(tempfile.mkdtemp(prefix="cowrite-disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m,mode=777", "cowrite-test", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        folder.rmdir()
        pytest.skip("this test mounts a disk, which needs root")

    def make_room() -> None:
        subprocess.run(["mount", "-o", "remount,size=200m", str(folder)], check=True)

    try:
        (folder / "space").mkdir()
        yield folder / "space", make_room
    finally:
        subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()


async def test_a_full_disk_loses_and_doubles_nothing_and_heals_by_itself() -> None:
    with small_disk() as (folder, make_room), PostgresServer() as server:
        server.give(folder)
        await sql(server.url(), f"CREATE TABLESPACE small LOCATION '{folder}'")
        async with PostgresStore.open(server.new_database("--tablespace=small")) as store:
            stored = entries("a", [1])
            await store.append(stored)
            with pytest.raises(StoreUnavailable, match="53100"):
                for number in range(1000):
                    batch = [Entry(f"filling {number}", at, os.urandom(20_000)) for at in range(1, 6)]
                    await store.append(batch)
                    stored += batch
            waiting = [Entry("new", at, os.urandom(1_000_000)) for at in range(1, 11)]
            for _ in range(2):
                with pytest.raises(StoreUnavailable):
                    await store.append(waiting)
            assert await read_all(store) == sorted(stored, key=repr)
            make_room()
            await store.append(waiting)
            assert await read_all(store) == sorted(stored + waiting, key=repr)


async def read_all(store: PostgresStore) -> list[Entry]:
    names = [document.document for document in await store.backlog()]
    return sorted([entry for name in names for entry in (await store.load(name)).entries], key=repr)


# What may be said


async def said_when_opening(url: str) -> str:
    with pytest.raises(StoreUnavailable) as refused:
        async with PostgresStore.open(url, timeout_s=1):
            pass
    return "".join(traceback.format_exception(refused.value))


async def test_no_error_shows_the_password(postgres: PostgresServer) -> None:
    nobody = free_port()
    for secret, bad in (
        ("wrong-secret", postgres.url(password="wrong-secret")),
        ("secret", f"postgresql://cowrite:secret@127.0.0.1:{nobody}/postgres"),
        ("secret", "postgresql://cowrite:sec/secret@127.0.0.1/postgres"),
        ("secret", "postgresql://cowrite:x:secret"),
        ("secret", "postgres//cowrite:secret@127.0.0.1/postgres"),
        ("secret", "postgresql://cowrite:secret@[127.0.0.1/postgres"),
        ("secret", "postgresql://cowrite:secret@127.0.0.1/postgres?sslmode=secret"),
        (QUOTED_PASSWORD, postgres.url("missing")),
        (PASSWORD, postgres.url("missing")),
    ):
        # Source lines of this file are part of a traceback.
        said = [
            line for line in (await said_when_opening(bad)).splitlines() if "PostgresStore.open" not in line
        ]
        assert secret not in "\n".join(said), bad
