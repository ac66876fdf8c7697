"""Which of several nodes folds a document (references/protocol.md, B9)."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from server.bus import Bus, BusUnavailable

__all__ = ["Claim", "claimed"]

logger = logging.getLogger("cowrite.compaction")

HOLD_S = 15.0
"""How long a claim holds without renewal; renewed every third of it."""


@dataclass(slots=True)
class Claim:
    """What a node may do with a document."""

    is_ours: bool
    is_kept: bool = False
    """Whether it ends by itself, a while after the fold. All nodes that have a document open count the same
    entries: those that ask for a fold then would fold the few that came since."""


@asynccontextmanager
async def claimed(bus: Bus | None, document: str) -> AsyncIterator[Claim]:
    """Claim a document, where another node could, and renew that for as long as the block runs."""
    if bus is None:
        yield Claim(is_ours=True)
        return
    task = f"fold:{document}"
    claim = Claim(is_ours=await bus.claim(task, HOLD_S))
    if not claim.is_ours:
        yield claim
        return
    # Ended right below: a TaskGroup would wrap what the fold raises.
    renewal = asyncio.create_task(_renew(bus, task))
    try:
        yield claim
    finally:
        renewal.cancel()
        if not claim.is_kept:
            await bus.release(task)


async def _renew(bus: Bus, task: str) -> None:
    while True:
        await asyncio.sleep(HOLD_S / 3)
        try:
            await bus.claim(task, HOLD_S)
        except BusUnavailable as error:
            # Without the claim two nodes may fold at once: compare-and-set lets one of them win.
            logger.warning("cannot renew a claim: %s", error)
