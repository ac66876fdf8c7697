"""Compaction may be killed at any instant: nothing is lost and nothing is left behind."""

import asyncio
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import psutil
import pytest

from tests.support.polling import PATIENCE_S, poll_blocking
from tests.support.raw_client import RawClient
from tests.support.server_process import COWRITE, ServerProcess, is_port_free

DOCUMENTS = ("first", "second", "third")
ENTRIES = 980
"""Entries in the log of each document: just too few for the server to compact it as soon as it is left."""
MORE_ENTRIES = 40
"""More than enough for that."""
COMMAND_KILLS = 4
SERVER_KILLS = 5
LATEST_KILL_S = 1.5
"""After the server has started its worker, which needs about half of this to start and to fold."""

CopyLogs = Callable[[str], Path]


@pytest.fixture(scope="module")
def copy_logs(tmp_path_factory: pytest.TempPathFactory) -> CopyLogs:
    """Give data folders that hold nothing but long logs, as a killed server leaves them."""
    folder = tmp_path_factory.mktemp("logs")
    original = folder / "original"
    with ServerProcess(original) as server:
        asyncio.run(_write_logs(server))
        server.kill()

    def copy(name: str) -> Path:
        return Path(shutil.copytree(original, folder / name))

    return copy


async def test_killed_compact_command_loses_nothing(copy_logs: CopyLogs, seed: int) -> None:
    """``cowrite compact`` is killed at random instants: all documents read as before, the next run works."""
    random = Random(seed)
    duration_s = await asyncio.to_thread(_compact, copy_logs("timed"))

    for kill in range(COMMAND_KILLS):
        data = copy_logs(f"command {kill}")
        await asyncio.to_thread(_kill_compact, data, random.uniform(0.2, 1.0) * duration_s)
        await asyncio.to_thread(_compact, data)
        with ServerProcess(data) as server:
            for document in DOCUMENTS:
                assert await _read(server, document) == _numbers(ENTRIES)


async def test_server_killed_while_compacting_leaves_nothing_behind(copy_logs: CopyLogs, seed: int) -> None:
    """Its workers end by themselves, the port is free, and everything acknowledged is there."""
    random = Random(seed)
    for kill in range(SERVER_KILLS):
        with ServerProcess(copy_logs(f"server {kill}")) as server:
            text = await _write_and_leave(server, DOCUMENTS[0])
            await asyncio.to_thread(poll_blocking, server.spawned, PATIENCE_S, "the server compacts")
            workers = server.children()
            await asyncio.sleep(random.uniform(0, LATEST_KILL_S))
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(_wait_gone, workers)
            assert is_port_free(server.port)
            await asyncio.to_thread(server.start)
            assert await _read(server, DOCUMENTS[0]) == text


async def _write_logs(server: ServerProcess) -> None:
    async with asyncio.TaskGroup() as group:
        for document in DOCUMENTS:
            group.create_task(_write_log(server, document))


async def _write_log(server: ServerProcess, document: str) -> None:
    """Write a document whose log has an entry for each edit: the next waits for the acknowledgement."""
    async with RawClient.open(server.ws_url(document)) as client:
        for number in range(ENTRIES):
            await client.append(f"{number} ")
            await client.acknowledge()


async def _write_and_leave(server: ServerProcess, document: str) -> str:
    """Make a log long and leave it, for the server to compact; return the text."""
    async with RawClient.open(server.ws_url(document)) as client:
        for number in range(ENTRIES, ENTRIES + MORE_ENTRIES):
            await client.append(f"{number} ")
            await client.acknowledge()
    return client.text


async def _read(server: ServerProcess, document: str) -> str:
    async with RawClient.open(server.ws_url(document)) as reader:
        return reader.text


def _numbers(count: int) -> str:
    return "".join(f"{number} " for number in range(count))


def _compact(data: Path) -> float:
    """Compact a folder and return how many seconds that took."""
    started = time.monotonic()
    subprocess.run([*COWRITE, "compact", "--data", data], check=True, timeout=PATIENCE_S)
    return time.monotonic() - started


def _kill_compact(data: Path, after_s: float) -> None:
    command = subprocess.Popen([*COWRITE, "compact", "--data", data])
    try:
        time.sleep(after_s)
        workers = psutil.Process(command.pid).children(recursive=True)
    finally:
        command.kill()
        command.wait()
    _wait_gone(workers)


def _wait_gone(processes: list[psutil.Process]) -> None:
    """Wait until all have ended by themselves; none outlives the test in any case."""
    try:
        poll_blocking(
            lambda: not any(process.is_running() for process in processes), PATIENCE_S, "the workers ended"
        )
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
