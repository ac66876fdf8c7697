"""One person's recorded keystrokes, as fast as the server takes them."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from pycrdt import Doc, Text

from crdt.encoding import Decoder
from tests.bench.load.client import Client
from tests.bench.load.crowd import Crowd
from tests.bench.load.documents import paper_keystrokes
from tests.bench.load.meter import Meter
from tests.bench.load.probe import Probe
from tests.bench.load.skimmer import BINARY, masked
from tests.bench.load.truth import Mismatch
from tests.bench.load.wire import SYNC_KINDS, TEXT_NAME, UPDATE, update_message
from tests.bench.scenarios.scenario import Scenario
from tests.bench.systems.contract import Measured, Server, System

__all__ = ["SCENARIOS"]

DOCUMENT = "bench"
KEYSTROKES = 30_000
FRAMES_AT_ONCE = 500
"""In one write, as a kernel would join what is sent faster than it is taken."""
ARRIVAL_LIMIT_S = 60.0
SETTLE_S = 0.5
QUIET_S = 0.2


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


class Reader(Client):
    """Keeps what comes and applies it when nothing came for a while: reading is slower than some servers."""

    def __init__(self, server: Server, document: str) -> None:
        super().__init__(server, document)
        self.latest_at = 0.0
        """When the latest update came in, by ``time.perf_counter``."""
        self._doc: Doc[Text] = Doc()
        self._kept: list[bytes] = []

    @property
    def text(self) -> str | None:
        """What the text says; None while updates still come."""
        if time.perf_counter() - self.latest_at < QUIET_S:
            return None
        with self._doc.transaction():
            for payload in self._kept:
                self._doc.apply_update(Decoder(payload, self._body + 2).read_var_bytes())
        self._kept.clear()
        return str(self._doc.get(TEXT_NAME, type=Text))

    def is_done(self) -> bool:
        """Go on reading after the sync."""
        return False

    def _receive(self, payload: bytes) -> None:
        if self.synced.done() and payload[self._body] in SYNC_KINDS and payload[self._body + 1] == UPDATE:
            self._kept.append(payload)
            self.latest_at = time.perf_counter()
        else:
            super()._receive(payload)


async def _measure(system: System, folder: Path) -> Measured:
    updates, doc = paper_keystrokes(KEYSTROKES)
    text = str(doc.get(TEXT_NAME, type=Text))
    async with system.serve(folder) as [server], Crowd() as crowd:
        reader = await crowd.join(Reader(server, DOCUMENT))
        writer = await crowd.join(Writer(server, DOCUMENT))
        frames = [masked(BINARY, writer.wire.frame(update_message(update))) for update in updates]
        await asyncio.sleep(SETTLE_S)
        meter, started = Meter([server]), time.perf_counter()
        await writer.write_all(frames)
        if not await crowd.until(lambda: reader.text == text, ARRIVAL_LIMIT_S):
            raise Mismatch(f"not all had arrived after {ARRIVAL_LIMIT_S:g} s")
        seconds, cpu_s = reader.latest_at - started, meter.cpu_s
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
