"""Many documents with a few people in each, all of whom type."""

from pathlib import Path

from tests.bench.load.client import Client
from tests.bench.load.crowd import Crowd
from tests.bench.load.pace import Pace
from tests.bench.load.probe import Probe
from tests.bench.load.source import Source, client_ids, typing_frames
from tests.bench.load.truth import check_probes, check_typed
from tests.bench.load.window import Window, frames_needed, measure_window
from tests.bench.scenarios.scenario import Scenario
from tests.bench.systems.contract import Measured, Server, System

__all__ = ["SCENARIOS"]

DOCUMENTS = 200
PEOPLE = 3
EACH_PER_SECOND = 5.0

WATCHED = 20
"""In how many of the documents the first and the last person are probes."""


async def _type_in_rooms(
    crowd: Crowd, server: Server, documents: int, people: int, each_per_second: float
) -> Window:
    """Let ``people`` type in each of ``documents``, and check what came of it where somebody watched."""
    watched = set(range(0, documents, max(1, documents // WATCHED)))
    clients = [
        Probe(server, f"bench-{number}")
        if number in watched and person in (0, people - 1)
        else Client(server, f"bench-{number}")
        for person in range(people)
        for number in range(documents)
    ]
    await crowd.join_all(clients)
    frames = frames_needed(each_per_second)
    sources = [
        Source(id, client, typing_frames(client.wire, id, frames))
        for id, client in zip(client_ids(len(clients)), clients, strict=True)
    ]
    probes = [client for client in clients if isinstance(client, Probe)]
    window = await measure_window([server], crowd, sources, probes, Pace(sources, each_per_second))
    if window.is_drained:
        for number in watched:
            await _check(crowd, f"bench-{number}", probes, sources)
    return window


async def _check(crowd: Crowd, document: str, probes: list[Probe], sources: list[Source]) -> None:
    present = [source for source in sources if source.document == document]
    check_probes([probe for probe in probes if probe.document == document], present)
    await check_typed(crowd, present[0].client.server, present)


async def _measure(system: System, folder: Path) -> Measured:
    async with system.serve(folder) as [server], Crowd() as crowd:
        window = await _type_in_rooms(crowd, server, DOCUMENTS, PEOPLE, EACH_PER_SECOND)
    figures = {"cpu_us_per_update": 1e6 * window.cpu_s / window.updates}
    return Measured(figures | window.figures, window.latencies_ms, window.notes)


SCENARIOS = [
    Scenario(
        "rooms",
        f"{DOCUMENTS} documents with {PEOPLE} people who type {EACH_PER_SECOND:g}/s each",
        _measure,
        main="cpu_us_per_update",
        unit="server CPU µs per update",
    )
]
