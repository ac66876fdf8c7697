"""How the cost of an edit grows with people in a room, and with rooms."""

import asyncio
from pathlib import Path

from picows import WSError

from tests.bench.load.client import Client, Lost
from tests.bench.load.crowd import Crowd
from tests.bench.load.pace import Pace
from tests.bench.load.probe import Probe
from tests.bench.load.source import Source, client_ids, typing_frames
from tests.bench.load.window import frames_needed, measure_window
from tests.bench.scenarios.one_document import Party, type_together
from tests.bench.scenarios.scenario import Scenario
from tests.bench.systems.contract import Measured, Server, System

__all__ = ["GROWTH"]

PEOPLE = (10, 30, 100, 300, 1_000)
WRITERS = 4
EACH_PER_SECOND = 5.0

ROOMS = (10, 100, 1_000, 10_000)
UPDATES_PER_SECOND = 400.0
"""Over all rooms."""
WATCHED_SHARE = 10
"""One of so many rooms has a reader beside the writer, whatever their number: updates cost alike then."""
ARRIVAL_LIMIT_S = 30.0

WINDOW_S = 2.0


async def _measure(system: System, folder: Path) -> Measured:
    figures: dict[str, float] = {}
    notes: list[str] = []
    sizes = [(_one_room, people) for people in PEOPLE] + [(_rooms, rooms) for rooms in ROOMS]
    for measure, size in sizes:
        part = folder / f"{measure.__name__}{size}"
        part.mkdir()
        # A server of its own for each: what an earlier size left behind is not to be counted.
        async with system.serve(part) as [server]:
            try:
                await measure(server, size, figures, notes)
            except (Lost, OSError, WSError) as error:
                notes.append(f"Not at {size:,}{measure.__name__.replace('_', ' ')}: {error}.")
    return Measured(figures, notes=notes)


async def _one_room(server: Server, people: int, figures: dict[str, float], notes: list[str]) -> None:
    party = Party(WRITERS, EACH_PER_SECOND, readers=people - WRITERS)
    async with Crowd() as crowd:
        window = await type_together(crowd, party, server, server, f"people-{people}", window_s=WINDOW_S)
    figures[f"cpu_us_per_delivery_{people}"] = 1e6 * window.cpu_s / (window.updates * party.others)
    notes += [f"{people} people: {note}" for note in window.notes]


async def _rooms(server: Server, rooms: int, figures: dict[str, float], notes: list[str]) -> None:
    """One person types in each, and somebody watches some; in all of them something was typed before."""
    names = [f"rooms-{rooms}-{number}" for number in range(rooms)]
    async with Crowd() as crowd:
        probes = [Probe(server, name) for name in names[::WATCHED_SHARE]]
        writers = [Client(server, name) for name in names]
        await crowd.join_all([*probes, *writers])
        each_per_second = UPDATES_PER_SECOND / rooms
        frames = frames_needed(each_per_second) + 1
        sources = [
            Source(id, writer, typing_frames(writer.wire, id, frames))
            for id, writer in zip(client_ids(rooms), writers, strict=True)
        ]
        for probe in probes:
            probe.watch(sources)
        for source in sources:
            source.send()
            await asyncio.sleep(0)
        if not await crowd.until(lambda: all(probe.arrived for probe in probes), ARRIVAL_LIMIT_S):
            raise Lost("the first edits did not arrive")
        pace = Pace(sources, each_per_second)
        window = await measure_window([server], crowd, sources, probes, pace, window_s=WINDOW_S)
    figures[f"rooms_{rooms}"] = 1e6 * window.cpu_s / window.updates
    notes += [f"{rooms} rooms: {note}" for note in window.notes]


GROWTH = Scenario(
    "growth",
    f"{WRITERS} people type {EACH_PER_SECOND:g}/s each before 10 to 1,000; then "
    f"{UPDATES_PER_SECOND:g} updates/s spread over 10 to 10,000 rooms",
    _measure,
    main="cpu_us_per_delivery_1000",
    unit="server CPU µs per update and reader, 1,000 people in one room",
    timeout_s=300,
)
