"""One person's recorded keystrokes, as fast as the server takes them."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from pycrdt import Text

from crdt.state_vector import decode_state_vector
from tests.bench.load.client import Client
from tests.bench.load.crowd import Crowd
from tests.bench.load.documents import AUTHOR, paper_keystrokes
from tests.bench.load.probe import Probe
from tests.bench.load.skimmer import BINARY, masked
from tests.bench.load.truth import Mismatch
from tests.bench.load.wire import TEXT_NAME, update_message
from tests.bench.scenarios.scenario import Scenario
from tests.bench.systems.contract import Measured, Server, System

__all__ = ["SCENARIOS"]

DOCUMENT = "bench"
KEYSTROKES = 30_000
FRAMES_AT_ONCE = 500
"""In one write, as a kernel would join what is sent faster than it is taken."""
ARRIVAL_LIMIT_S = 60.0
SETTLE_S = 0.5


class Writer(Client):
    """Writes as much as its socket takes."""

    def __init__(self, server: Server, document: str) -> None:
        super().__init__(server, document)
        self._can_write = asyncio.Event()
        self._can_write.set()

    async def write_all(self, frames: Sequence[bytes]) -> None:
        """Write ``frames`` in their order."""
        for start in range(0, len(frames), FRAMES_AT_ONCE):
            await self._can_write.wait()
            self.write(b"".join(frames[start : start + FRAMES_AT_ONCE]))
            # The reader is in this process too.
            await asyncio.sleep(0)

    def pause_writing(self) -> None:
        """Wait: the socket is full."""
        self._can_write.clear()

    def resume_writing(self) -> None:
        """Go on."""
        self._can_write.set()


async def _measure(system: System, folder: Path) -> Measured:
    updates, doc = paper_keystrokes(KEYSTROKES)
    letters = decode_state_vector(doc.get_state())[AUTHOR]
    async with system.serve(folder) as [server], Crowd() as crowd:
        reader = await crowd.join(Probe(server, DOCUMENT))
        writer = await crowd.join(Writer(server, DOCUMENT))
        frames = [masked(BINARY, writer.wire.frame(update_message(update))) for update in updates]
        await asyncio.sleep(SETTLE_S)
        cpu_before, started = server.cpu_s(), time.perf_counter()
        await writer.write_all(frames)
        if not await crowd.until(lambda: reader.clocks().get(AUTHOR, 0) == letters, ARRIVAL_LIMIT_S):
            raise Mismatch(f"not all had arrived after {ARRIVAL_LIMIT_S:g} s")
        seconds = time.perf_counter() - started
        cpu_s = server.cpu_s() - cpu_before
        # What was only deleted after the last letter is in no state vector.
        text = str(doc.get(TEXT_NAME, type=Text))
        if not await crowd.until(lambda: reader.text == text, ARRIVAL_LIMIT_S):
            raise Mismatch("the reader has another text")
        fresh = await crowd.join(Probe(server, DOCUMENT))
        if fresh.text != text:
            raise Mismatch("a fresh client got another text")
    return Measured({"updates_per_s": KEYSTROKES / seconds, "cpu_us_per_update": 1e6 * cpu_s / KEYSTROKES})


SCENARIOS = [
    Scenario(
        "replay",
        f"1 person's {KEYSTROKES:,} recorded keystrokes as fast as the server takes them, 1 reads",
        _measure,
        main="updates_per_s",
        unit="updates per second",
        timeout_s=120,
    )
]
