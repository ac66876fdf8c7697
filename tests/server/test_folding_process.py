"""The process that folds: there when it is needed, and gone when it would only keep memory."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import closing, suppress

import psutil
import pytest

from crdt.compaction import FoldRefused
from crdt.errors import Malformed
from server.folding_process import LARGE_BYTES, FoldingProcess
from tests.server.support import until, update_of


@pytest.fixture
def folding() -> Iterator[FoldingProcess]:
    with closing(FoldingProcess()) as folding:
        yield folding


def running(folding: FoldingProcess) -> psutil.Process:
    """Return the process, which must be there."""
    assert folding._running is not None
    assert folding._running._process.pid is not None
    return psutil.Process(folding._running._process.pid)


def has_ended(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    return True


async def fold_long(folding: FoldingProcess) -> "tuple[asyncio.Task[object], psutil.Process]":
    """Begin a fold that does not end, in a process that is up."""
    await folding.fold(None, [update_of("small")])
    process = running(folding)
    process.suspend()
    task: asyncio.Task[object] = asyncio.create_task(folding.fold(None, [update_of("more")]))
    await asyncio.sleep(0)
    return task, process


async def test_a_process_that_has_folded_a_large_document_is_replaced_by_the_next(
    folding: FoldingProcess,
) -> None:
    await folding.fold(None, [update_of("small")])
    small = running(folding)
    large = await folding.fold(None, [update_of("x" * LARGE_BYTES)])
    assert len(large.update) > LARGE_BYTES
    assert not small.is_running(), "nothing is left of it, not even its exit code"
    folded = await folding.fold(None, [update_of("small")])
    assert 0 < len(folded.update) < 100


async def test_a_fold_under_way_ends_with_the_server_that_stops(folding: FoldingProcess) -> None:
    task, process = await fold_long(folding)
    folding.close()
    with pytest.raises(FoldRefused, match="died"):
        await task
    await until(lambda: has_ended(process), "ended")


async def test_after_a_fold_that_was_cancelled_another_process_folds(folding: FoldingProcess) -> None:
    task, process = await fold_long(folding)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await until(lambda: has_ended(process), "ended")
    assert len((await folding.fold(None, [update_of("small")])).update) < 100


async def test_a_process_that_dies_refuses_the_fold_and_is_replaced(folding: FoldingProcess) -> None:
    task, process = await fold_long(folding)
    process.kill()
    with pytest.raises(FoldRefused, match="died"):
        await task
    assert len((await folding.fold(None, [update_of("small")])).update) < 100


async def test_a_refusal_leaves_the_process_as_it_is(folding: FoldingProcess) -> None:
    await folding.fold(None, [update_of("small")])
    process = running(folding)
    with pytest.raises(Malformed):
        await folding.fold(None, [b"no update"])
    assert running(folding) == process


async def test_ctrl_c_does_not_reach_it(folding: FoldingProcess) -> None:
    """A terminal sends it to every process; the server would be told of it as of a fold that failed."""
    await folding.fold(None, [update_of("small")])
    os.kill(running(folding).pid, signal.SIGINT)
    assert len((await folding.fold(None, [update_of("small")])).update) < 100
