"""Connections on which nothing happens, and a server that has just started."""

import asyncio
from pathlib import Path

from tests.bench.load.client import Client
from tests.bench.load.crowd import Crowd
from tests.bench.load.meter import Meter
from tests.bench.scenarios.scenario import Scenario
from tests.bench.systems.contract import Measured, System

__all__ = ["SCENARIOS", "SLEEP", "START"]

CONNECTIONS = 2_000
SETTLE_S = 1.0
SLEEP_S = 15.0
"""A whole round of what a server does now and then: pings, signs of life."""


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
        meter = Meter([server])
        await asyncio.sleep(SLEEP_S)
        cpu_us_per_s = 1e6 * meter.cpu_s / meter.seconds
        crowd.check()
    return Measured({"cpu_us_per_connection_s": cpu_us_per_s / CONNECTIONS})


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
    main="cpu_us_per_connection_s",
    unit="server CPU µs per connection and second",
    timeout_s=90.0,
)
