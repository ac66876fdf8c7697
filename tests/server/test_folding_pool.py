"""The process that folds: there when it is needed, and gone when it would only keep memory."""

import time
from contextlib import suppress

import psutil

from server.folding_pool import LARGE_BYTES, FoldingPool
from tests.server.support import until, update_of


def folding_processes() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.Error):  # which has just ended
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


async def test_a_process_that_has_folded_a_large_document_is_replaced_by_the_next() -> None:
    before = folding_processes()
    pool = FoldingPool()
    try:
        await pool.fold(None, [update_of("small")])
        [small] = set(folding_processes()) - set(before)
        large = await pool.fold(None, [update_of("x" * LARGE_BYTES)])
        assert len(large.update) > LARGE_BYTES
        await until(lambda: small not in folding_processes(), "ended")
        folded = await pool.fold(None, [update_of("small")])
        assert 0 < len(folded.update) < 100
    finally:
        pool.close()
    await until(lambda: set(folding_processes()) <= set(before), "all ended")


async def test_a_server_that_stops_does_not_wait_for_the_end_of_a_fold() -> None:
    before = folding_processes()
    pool = FoldingPool()
    under_way = pool._running().submit(time.sleep, 600)
    await until(lambda: under_way.running() and set(folding_processes()) > set(before), "under way")
    pool.close()
    await until(lambda: set(folding_processes()) <= set(before), "ended")
    await until(under_way.done, "given up")
