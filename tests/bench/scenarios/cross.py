"""Two nodes that share documents through one Redis."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.bench.load.client import Client
from tests.bench.load.crowd import Crowd
from tests.bench.load.pace import Pace
from tests.bench.load.probe import Probe
from tests.bench.load.source import Source, client_ids, typing_frames
from tests.bench.load.window import Window, costs_of, frames_needed, measure_window
from tests.bench.scenarios.one_document import Party, type_together
from tests.bench.scenarios.scenario import Scenario, can_cross
from tests.bench.systems.contract import Measured, Server, System

__all__ = ["CROSS"]

PARTIES = {"fan": Party(1, 50, readers=100), "busy100": Party(100, 10, readers=100)}
WINDOW_S = 3.0

IDLE = (100, 10_000)
"""How many documents are open on a node while nothing happens in them."""
BUSY_DOCUMENTS = 100
EACH_PER_SECOND = 4.0


async def _measure(system: System, folder: Path) -> Measured:
    figures: dict[str, float] = {}
    notes: list[str] = []
    for name, party in PARTIES.items():
        for where in ("together", "apart"):
            label = f"{name}_{where}"
            async with _two_nodes(system, folder, label) as (one, other), Crowd() as crowd:
                away = one if where == "together" else other
                window = await type_together(crowd, party, one, away, window_s=WINDOW_S)
            deliveries = window.updates * party.others
            figures |= _figures(label, window)
            figures[f"{label}_cpu_us_per_delivery"] = 1e6 * window.cpu_s / deliveries
            notes += [f"{label}: {note}" for note in window.notes]
    for idle in IDLE:
        label = f"idle_{idle}"
        async with _two_nodes(system, folder, label) as (one, other), Crowd() as crowd:
            window = await _spread(crowd, one, other, idle)
        figures |= _figures(label, window)
        notes += [f"{label}: {note}" for note in window.notes]
    return Measured(figures, notes=notes)


@asynccontextmanager
async def _two_nodes(system: System, folder: Path, label: str) -> AsyncIterator[tuple[Server, Server]]:
    """Start anew for each figure: what an earlier one left behind is not to be counted."""
    part = folder / label
    part.mkdir()
    async with system.serve(part, nodes=2) as [one, other]:
        yield one, other


def _figures(label: str, window: Window) -> dict[str, float]:
    """Redis comes last, after one node or two."""
    *nodes, redis = [1e6 * used / window.updates for used in window.cpu_each_s]
    figures = {f"{label}_node{number}_cpu_us_per_update": used for number, used in enumerate(nodes)}
    figures[f"{label}_redis_cpu_us_per_update"] = redis
    return figures | {f"{label}_{name}": value for name, value in window.figures.items()}


async def _spread(crowd: Crowd, home: Server, away: Server, idle: int) -> Window:
    """Let one person type in each of a few documents, while ``away`` holds many more that are idle."""
    names = [f"busy-{number}" for number in range(BUSY_DOCUMENTS)]
    probes = [Probe(away, name) for name in names]
    writers = [Client(home, name) for name in names]
    resting = [Client(away, f"idle-{number}") for number in range(idle)]
    await crowd.join_all([*probes, *writers, *resting])
    frames = frames_needed(EACH_PER_SECOND)
    sources = [
        Source(id, writer, typing_frames(writer.wire, id, frames))
        for id, writer in zip(client_ids(BUSY_DOCUMENTS), writers, strict=True)
    ]
    pace = Pace(sources, EACH_PER_SECOND)
    return await measure_window(costs_of([home, away]), crowd, sources, probes, pace)


CROSS = Scenario(
    "cross",
    "two nodes and a Redis: those who type on one node, those who read on the same one or on the other",
    _measure,
    main="busy100_apart_cpu_us_per_delivery",
    # 100 type 10/s each on one node, 100 read on the other.
    unit="CPU µs of both nodes and Redis per update and reader",
    timeout_s=240,
    plays=can_cross,
)
