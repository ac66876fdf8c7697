"""Long work in slices, between which the event loop runs (references/protocol.md, L6)."""

import asyncio
import time
from collections.abc import Iterable

__all__ = ["SLICE_S", "in_slices"]

SLICE_S = 0.005
"""How long one piece of work may keep the loop to itself."""


async def in_slices(steps: Iterable[object]) -> None:
    """Go through ``steps`` to their end, letting others run every ``SLICE_S``."""
    ends_at = time.monotonic() + SLICE_S
    for _ in steps:
        if time.monotonic() > ends_at:
            await asyncio.sleep(0)
            ends_at = time.monotonic() + SLICE_S
