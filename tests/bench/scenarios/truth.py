"""A stock client in one document with the generator: what it shows is what the generator counted."""

import asyncio
import time
from pathlib import Path

from tests.bench.load.client import Client
from tests.bench.load.crowd import Crowd
from tests.bench.load.probe import Probe
from tests.bench.load.source import Source, client_ids, typed_text, typing_frames
from tests.bench.load.stock import open_stock
from tests.bench.load.truth import Mismatch, check_probes
from tests.bench.scenarios.scenario import Scenario
from tests.bench.systems.contract import Measured, System

__all__ = ["TRUTH"]

DOCUMENT = "bench"
KEYSTROKES = 200
GAP_S = 0.005
GREETING = "stock client was here: "
ARRIVAL_LIMIT_S = 15.0


async def _measure(system: System, folder: Path) -> Measured:
    async with system.serve(folder) as [server], Crowd() as crowd:
        probe = await crowd.join(Probe(server, DOCUMENT))
        writer = await crowd.join(Client(server, DOCUMENT))
        [id] = client_ids(1)
        source = Source(id, writer, typing_frames(writer.wire, id, KEYSTROKES))
        probe.watch([source])
        async with open_stock(server, DOCUMENT) as stock:
            started = time.perf_counter()
            for _ in range(KEYSTROKES):
                source.send()
                await asyncio.sleep(GAP_S)
            typed = typed_text(id, KEYSTROKES)
            await stock.wait_text(typed)
            if not await crowd.until(lambda: probe.arrived == KEYSTROKES, ARRIVAL_LIMIT_S):
                raise Mismatch("the stock client has what the probe never got")
            check_probes([probe], [source])
            await stock.insert(0, GREETING)
            if not await crowd.until(lambda: probe.text == GREETING + typed, ARRIVAL_LIMIT_S):
                raise Mismatch("the probe never got what the stock client wrote")
            return Measured({"converged_s": time.perf_counter() - started})


TRUTH = Scenario(
    "truth",
    f"a stock client sees the generator type {KEYSTROKES} characters, and answers",
    _measure,
    main="converged_s",
    unit="seconds until both have the same, typing included",
)
