"""A Postgres that dies, that is stuck, that is full; nodes that meet; and what is said of it."""

import asyncio
import os
import random
import subprocess
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from server.storage import Entry, StoreUnavailable
from server.storage.postgres import PostgresStore
from tests.server.postgres_store.support import TIMEOUT_S, sql, writes_locked
from tests.support.polling import PATIENCE_S, poll
from tests.support.postgres_server import PASSWORD, QUOTED_PASSWORD, PostgresServer
from tests.support.server_process import free_port
from tests.support.stores import (
    append_losing_the_answer,
    append_until_stored,
    check_order,
    entries,
    write_through_crashes,
)
from tests.support.tcp_proxy import TcpProxy


async def test_nodes_that_append_the_same_entries_in_opposite_orders_do_not_block_each_other(
    nodes: list[PostgresStore],
) -> None:
    for at in range(0, 20_000, 2000):
        batch = entries("a", range(at + 1, at + 2001))
        await asyncio.gather(nodes[0].append(batch), nodes[1].append(batch[::-1]))
    assert list((await nodes[0].load("a")).entries) == entries("a", range(1, 20_001))


async def test_a_crash_of_postgres_loses_and_doubles_nothing_and_the_store_recovers(
    seed: int,
) -> None:
    with PostgresServer() as server:
        url = server.new_database()
        async with PostgresStore.open(url, timeout_s=5) as store:
            acknowledged = await write_through_crashes(store, server, random.Random(seed))
            assert list((await store.load("a")).entries) == acknowledged
            assert acknowledged == entries("a", range(1, len(acknowledged) + 1))


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

        await poll(can_load, PATIENCE_S, "loads work again")
    assert list((await nodes[1].load("a")).entries) == entries("a", range(1, 5))


async def test_a_locked_table_is_reported_in_time_while_loads_go_on(url: str) -> None:
    """It is locked until the store has said so."""
    async with asyncio.timeout(PATIENCE_S), PostgresStore.open(url, timeout_s=TIMEOUT_S) as store:
        await store.append(entries("a", [1]))
        async with writes_locked(url):
            append = asyncio.create_task(store.append(entries("a", [2])))
            await asyncio.sleep(0)
            loaded = await check_order(store.load("a"), append)
            assert list(loaded.entries) == entries("a", [1])
            with pytest.raises(StoreUnavailable):
                await append
        await store.append(entries("a", [2, 3]))
        assert list((await store.load("a")).entries) == entries("a", [1, 2, 3])


def through(proxy: TcpProxy, url: str) -> str:
    host, _, database = url.rpartition("/")
    return f"{host.rpartition(':')[0]}:{proxy.port}/{database}"


async def test_an_append_whose_answer_was_lost_is_stored_once(postgres: PostgresServer, url: str) -> None:
    async with (
        TcpProxy.open(postgres.port) as proxy,
        PostgresStore.open(through(proxy, url), timeout_s=TIMEOUT_S) as store,
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
    """It is silent until the store has said so, and is closed."""
    async with asyncio.timeout(PATIENCE_S), TcpProxy.open(postgres.port) as proxy:
        async with PostgresStore.open(through(proxy, url), timeout_s=TIMEOUT_S) as store:
            await store.append(entries("a", [1]))
            proxy.drops_replies = True
            calls = [store.append(entries("a", [2])), store.load("a"), store.backlog()]
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}
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
