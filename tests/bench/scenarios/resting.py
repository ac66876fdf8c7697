"""Connections on which nothing happens, and a server that has just started."""

import asyncio
import time
from pathlib import Path

from tests.bench.load.client import Client
from tests.bench.load.crowd import Crowd
from tests.bench.scenarios.scenario import Scenario
from tests.bench.systems.contract import Measured, System

__all__ = ["SCENARIOS", "SLEEP", "START"]

CONNECTIONS = 2_000
SETTLE_S = 1.0
SLEEP_S = 5.0


async def _idle(system: System, folder: Path) -> Measured:
    async with system.serve(folder) as [server], Crowd() as crowd:
        # The first connection loads what a server loads late.
        await crowd.join(Client(server, "first"))
        await asyncio.sleep(SETTLE_S)
        before = server.rss_bytes()
        await crowd.join_all([Client(server, f"bench-{number}") for number in range(CONNECTIONS)])
        await asyncio.sleep(SETTLE_S)
        used = server.rss_bytes() - before
        crowd.check()
    return Measured({"kb_per_connection": used / 1e3 / CONNECTIONS})


async def _sleep(system: System, folder: Path) -> Measured:
    async with system.serve(folder) as [server], Crowd() as crowd:
        await crowd.join_all([Client(server, f"bench-{number}") for number in range(CONNECTIONS)])
        # Servers fold and load in the seconds after a join.
        await asyncio.sleep(3 * SETTLE_S)
        before, started = server.cpu_s(), time.perf_counter()
        await asyncio.sleep(SLEEP_S)
        cpu_ms_per_s = 1e3 * (server.cpu_s() - before) / (time.perf_counter() - started)
        crowd.check()
    return Measured({"cpu_ms_per_s": cpu_ms_per_s})


async def _start(system: System, folder: Path) -> Measured:
    async with system.serve(folder) as [server]:
        await asyncio.sleep(SETTLE_S)
        return Measured({"start_s": server.start_s, "rss_mb": server.rss_bytes() / 1e6})


SCENARIOS = [
    Scenario(
        "idle",
        f"{CONNECTIONS:,} connections in as many documents",
        _idle,
        main="kb_per_connection",
        unit="KB of memory each",
    )
]
START = Scenario(
    "start", "from the command until the server is ready", _start, main="start_s", unit="seconds"
)
SLEEP = Scenario(
    "sleep",
    f"{CONNECTIONS:,} connections on which nothing happens",
    _sleep,
    main="cpu_ms_per_s",
    unit="server CPU ms per second",
)
