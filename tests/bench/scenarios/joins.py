"""People who join a document all at once, and the first who comes after a restart."""

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from pycrdt import get_state

from crdt.state_vector import decode_state_vector
from tests.bench.load.client import Client
from tests.bench.load.crowd import Crowd
from tests.bench.load.documents import large_document, paper
from tests.bench.load.meter import Meter
from tests.bench.load.probe import Probe
from tests.bench.load.skimmer import Skimmer
from tests.bench.load.source import Source, client_ids, typing_frames
from tests.bench.load.truth import Mismatch
from tests.bench.scenarios.scenario import Scenario, is_durable
from tests.bench.systems.contract import Measured, Server, System

__all__ = ["COLD", "SCENARIOS"]

DOCUMENT = "bench"
ARRIVAL_LIMIT_S = 30.0
STORM_LIMIT_S = 60.0
SETTLE_S = 1.0
STORED_S = 4.0
"""What a server gets to store a document that everybody has left."""


async def _storm(content: Callable[[], bytes], joiners: int, system: System, folder: Path) -> Measured:
    update = content()
    async with system.serve(folder) as [server], Crowd() as crowd:
        watcher = await _fill(crowd, server, update)
        await asyncio.sleep(SETTLE_S)
        await _type_one(crowd, watcher)
        skimmers = [Skimmer(server, DOCUMENT) for _ in range(joiners)]
        meter = Meter([server])
        async with asyncio.timeout(STORM_LIMIT_S):
            await asyncio.gather(*(skimmer.join() for skimmer in skimmers))
        figures = {
            "synced_s": meter.seconds,
            "cpu_s": meter.cpu_s,
            "peak_mb": server.peak_rss_bytes() / 1e6,
            "generator_share": meter.generator_share,
        }
        for skimmer in skimmers:
            skimmer.leave()
        await _check(crowd, server, watcher)
    least = min(skimmer.received_bytes for skimmer in skimmers)
    if least < len(update):
        raise Mismatch(f"a joiner got {least} of {len(update)} bytes")
    return Measured(figures)


async def _cold(system: System, folder: Path) -> Measured:
    """Everybody leaves, the server is killed, and one client returns to its successor, for each document."""
    figures = {}
    for name, content in (("large", large_document), ("paper", paper)):
        update = content()
        subfolder = folder / name
        subfolder.mkdir()
        async with system.serve(subfolder) as [server], Crowd() as crowd:
            watcher = await _fill(crowd, server, update)
            crowd.dismiss_all()
            await asyncio.sleep(STORED_S)
            await server.restart()
            skimmer = Skimmer(server, DOCUMENT)
            started = time.perf_counter()
            async with asyncio.timeout(STORM_LIMIT_S):
                await skimmer.join()
            figures[f"{name}_synced_s"] = time.perf_counter() - started
            skimmer.leave()
            await _check(crowd, server, watcher)
    return Measured(figures)


async def _fill(crowd: Crowd, server: Server, content: bytes) -> Probe:
    """Let somebody bring ``content``, and return who saw it arrive."""
    watcher = await crowd.join(Probe(server, DOCUMENT))
    await crowd.join(Client(server, DOCUMENT, held=content))
    await _wait_for(crowd, watcher, decode_state_vector(get_state(content)))
    return watcher


async def _type_one(crowd: Crowd, watcher: Probe) -> None:
    """Type a character, so that a state encoded before is not the latest."""
    [id] = client_ids(1)
    source = Source(id, watcher, typing_frames(watcher.wire, id, 1))
    source.send()
    await _wait_for(crowd, watcher, {id: 1})


async def _wait_for(crowd: Crowd, watcher: Probe, clocks: Mapping[int, int]) -> None:
    """Servers may cut what is large into several updates."""
    if not await crowd.until(lambda: clocks.items() <= watcher.clocks().items(), ARRIVAL_LIMIT_S):
        raise Mismatch(f"an edit did not arrive within {ARRIVAL_LIMIT_S:g} s")


async def _check(crowd: Crowd, server: Server, watcher: Probe) -> None:
    """Compare what a fresh client gets with what the first one saw; raises ``Mismatch``."""
    fresh = await crowd.join(Probe(server, DOCUMENT))
    if fresh.clocks() != watcher.clocks():
        raise Mismatch("a fresh client got another document")


def _join(name: str, title: str, content: Callable[[], bytes], joiners: int) -> Scenario:
    return Scenario(
        name,
        title,
        partial(_storm, content, joiners),
        main="synced_s",
        unit="seconds until all are synced",
        timeout_s=120,
    )


SCENARIOS = [
    _join("join_paper", "300 people join a document of 0.4 MB at once", paper, 300),
    _join("join4", "150 people join a document of 4 MB at once", large_document, 150),
]
COLD = Scenario(
    "cold",
    "the first person syncs a stored document of 4 MB, and one of 0.4 MB, after a restart",
    _cold,
    main="large_synced_s",
    unit="seconds from the connection until the 4 MB are synced",
    plays=is_durable,
)
