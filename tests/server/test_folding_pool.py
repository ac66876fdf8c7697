"""The process that folds: there when it is needed, and gone when it would only keep memory."""

import psutil

from server.folding_pool import LARGE_BYTES, FoldingPool
from tests.server.support import until, update_of


def folding_processes() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]


async def test_a_process_that_has_folded_a_large_document_is_replaced_by_the_next() -> None:
    before = folding_processes()
    pool = FoldingPool()
    try:
        await pool.fold(None, [update_of("small")])
        [small] = set(folding_processes()) - set(before)
        large = await pool.fold(None, [update_of("x" * LARGE_BYTES)])
        assert len(large.update) > LARGE_BYTES
        await until(lambda: not small.is_running(), "ended")
        folded = await pool.fold(None, [update_of("small")])
        assert 0 < len(folded.update) < 100
    finally:
        pool.close()
    await until(lambda: set(folding_processes()) <= set(before), "all ended")
