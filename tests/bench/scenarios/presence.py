"""People in one document who move their selections."""

from functools import partial
from pathlib import Path

from tests.bench.load.client import Client
from tests.bench.load.crowd import Crowd
from tests.bench.load.pace import Pace
from tests.bench.load.probe import Probe
from tests.bench.load.source import Source, client_ids, cursor_frames
from tests.bench.load.window import frames_needed, measure_window
from tests.bench.scenarios.scenario import Scenario
from tests.bench.systems.contract import Measured, System

__all__ = ["SCENARIOS"]

DOCUMENT = "bench"


async def _measure(people: int, each_per_second: float, system: System, folder: Path) -> Measured:
    """The first and the last who join also watch: a move has arrived with it or with a later one."""
    async with system.serve(folder) as [server], Crowd() as crowd:
        first = await crowd.join(Probe(server, DOCUMENT))
        between = [Client(server, DOCUMENT) for _ in range(people - 2)]
        await crowd.join_all(between)
        last = await crowd.join(Probe(server, DOCUMENT))
        frames = frames_needed(each_per_second)
        sources = [
            Source(id, client, cursor_frames(client.wire, id, frames))
            for id, client in zip(client_ids(people), [first, *between, last], strict=True)
        ]
        pace = Pace(sources, each_per_second)
        window = await measure_window([server], crowd, sources, [first, last], pace)
    figures = {"cpu_us_per_delivery": 1e6 * window.cpu_s / (window.updates * (people - 1))}
    return Measured(figures | window.figures, window.latencies_ms, window.notes)


def _scenario(name: str, title: str, people: int, each_per_second: float) -> Scenario:
    return Scenario(
        name,
        title,
        partial(_measure, people, each_per_second),
        main="cpu_us_per_delivery",
        unit="server CPU µs per move and reader",
    )


SCENARIOS = [
    _scenario("presence", "100 people move their selection 2/s each", 100, 2),
    _scenario("presence300", "300 people move their selection 1/s each", 300, 1),
]
