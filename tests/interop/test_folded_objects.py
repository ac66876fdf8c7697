"""Documents with ordinary objects are folded when everybody has left, and read the same afterwards (D6)."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.clients import VERSIONS, NodeClients
from tests.support.polling import poll
from tests.support.server_process import ServerProcess

ROUNDS = 12
FOLDED_LIMIT_S = 30.0


async def write_and_leave(server: ServerProcess, node: NodeClients, version: str, numbers: range) -> str:
    """Write as a stock client, each edit an entry of the log; return what it reads in the end."""
    client = await node.open(f"author {numbers.start}", server.ws_root, "d", version=version)
    await client.wait_synced()
    for number in numbers:
        await client.write_objects(number)
        await client.acknowledge()
    content = await client.read_objects()
    await client.destroy()
    return content


async def read(server: ServerProcess, node: NodeClients, version: str, name: str) -> str:
    client = await node.open(name, server.ws_root, "d", version=version)
    await client.wait_synced()
    content = await client.read_objects()
    await client.destroy()
    return content


def log(data: Path) -> tuple[int, int]:
    """Count the rows of all logs and the snapshots."""
    with closing(sqlite3.connect(data / "cowrite.db")) as database:
        [(rows, snapshots)] = database.execute(
            "SELECT (SELECT count(*) FROM entries), (SELECT count(*) FROM snapshots)"
        )
    return rows, snapshots


@pytest.mark.parametrize("version", VERSIONS)
async def test_D6_ordinary_objects_are_folded_and_read_the_same_after_a_restart(
    version: str, tmp_path: Path, node: NodeClients
) -> None:
    data = tmp_path / "data"

    async def is_folded() -> bool:
        return await asyncio.to_thread(log, data) == (0, 1)

    with ServerProcess(data, arguments=["--grace-s", "0.5"]) as server:
        content = ""
        for start in (0, ROUNDS):
            written = await write_and_leave(server, node, version, range(start, start + ROUNDS))
            assert content != written
            content = written
            await poll(is_folded, FOLDED_LIMIT_S, "folded")
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.start)
            assert await read(server, node, version, f"reader {start}") == content
    assert "compaction refused" not in server.log.read_text()
