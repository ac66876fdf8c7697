"""People who type into one document while others read."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.bench.load.client import Client
from tests.bench.load.crowd import Crowd
from tests.bench.load.pace import Pace
from tests.bench.load.probe import Probe
from tests.bench.load.source import Source, client_ids, typing_frames
from tests.bench.load.truth import check_probes, check_received, check_typed
from tests.bench.load.window import WINDOW_S, Window, costs_of, frames_needed, measure_window
from tests.bench.scenarios.scenario import Scenario, everybody
from tests.bench.systems.contract import Measured, Server, System

__all__ = ["SCENARIOS", "Party", "type_together"]

DOCUMENT = "bench"


@dataclass(frozen=True, slots=True)
class Party:
    """Who is in the document: ``writers`` who type and see each other do so, ``readers`` who only see it."""

    writers: int
    each_per_second: float
    readers: int = 0

    @property
    def others(self) -> int:
        """How many each edit must reach."""
        return self.writers + self.readers - 1


async def type_together(
    crowd: Crowd,
    party: Party,
    home: Server,
    away: Server,
    document: str = DOCUMENT,
    *,
    window_s: float = WINDOW_S,
    is_checked: bool = True,
) -> Window:
    """Let the writers type at ``home`` and the readers read at ``away``, and check what came of it.

    A probe joins first and another last: servers write in the order of joining.
    """
    first = await crowd.join(Probe(away, document))
    writers = [Client(home, document) for _ in range(party.writers - (0 if party.readers else 2))]
    await crowd.join_all(writers)
    readers = [Client(away, document) for _ in range(party.readers - 2)]
    await crowd.join_all(readers)
    last = await crowd.join(Probe(away, document))
    people = writers if party.readers else [first, *writers, last]
    sources = [
        Source(id, client, typing_frames(client.wire, id, frames_needed(party.each_per_second)))
        for id, client in zip(client_ids(party.writers), people, strict=True)
    ]
    probes = [first, last]
    pace = Pace(sources, party.each_per_second)
    costs = costs_of([home, away])
    before = {reader: reader.received_bytes for reader in [*readers, *probes]}
    window = await measure_window(costs, crowd, sources, probes, pace, window_s=window_s)
    if window.is_drained:
        await check_received(crowd, readers, last, before)
    if window.is_drained and is_checked:
        check_probes(probes, sources)
        await check_typed(crowd, home, sources)
    return window


async def _measure(party: Party, system: System, folder: Path) -> Measured:
    async with system.serve(folder) as [server], Crowd() as crowd:
        window = await type_together(crowd, party, server, server, is_checked=everybody(system))
    figures = {"cpu_us_per_delivery": 1e6 * window.cpu_s / (window.updates * party.others)}
    return Measured(figures | window.figures, window.latencies_ms, window.notes)


def _scenario(name: str, title: str, party: Party) -> Scenario:
    return Scenario(
        name,
        title,
        partial(_measure, party),
        main="cpu_us_per_delivery",
        unit="server CPU µs per update and reader",
        # The bare broadcast, which knows no documents, shows what the sending alone costs.
        plays=(lambda system: True) if party.readers else everybody,
    )


SCENARIOS = [
    _scenario("fan", "1 person types 50/s, 100 read", Party(1, 50, readers=100)),
    _scenario("fan500", "1 person types 20/s, 500 read", Party(1, 20, readers=500)),
    _scenario("busy", "50 people type 10/s each", Party(50, 10)),
    _scenario("busy100", "100 people type 10/s each", Party(100, 10)),
]
