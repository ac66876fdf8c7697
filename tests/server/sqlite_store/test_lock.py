"""The lock of the data folder."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from server.storage.lock import FolderInUse, exclusive
from tests.server.sqlite_store.support import python
from tests.support.polling import PATIENCE_S


async def until(condition: Callable[[], object], timeout_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.005)


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
