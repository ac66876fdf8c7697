"""A morning: people type, look on, move their selections, come and go, in documents of all sizes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

from tests.bench.load.client import Client
from tests.bench.load.crowd import Crowd
from tests.bench.load.pace import Pace
from tests.bench.load.probe import Probe
from tests.bench.load.source import Source, client_ids, cursor_frames, typing_frames
from tests.bench.load.truth import Mismatch
from tests.bench.load.window import Window, costs_of, frames_needed, measure_window
from tests.bench.load.wire import TEXT_NAME
from tests.bench.scenarios.scenario import Scenario
from tests.bench.systems.contract import Measured, Server, System
from tests.crdt.build import section, text, update

__all__ = ["MIXED"]

DOCUMENTS = 120
PEOPLE = 500
SIZES = (100_000, 10_000, 10_000, 1_000, 1_000, 1_000)
"""Of the documents in turn, in characters."""
KINDS = ("types", "moves", "rests")
"""Of the people in turn."""
TYPED_PER_SECOND = 4.0
MOVES_PER_SECOND = 1.0
COMERS_PER_SECOND = 10
STAY_S = 2.0
WORKERS = {1: "one_worker", 2: "two_workers"}
"""Of one node, with Redis; without it there is one process with its own store."""
CORES = 2
WATCHED = 20
"""In how many of the documents the first and the last person are probes."""
CHECKED = 5


async def _measure(system: System, folder: Path) -> Measured:
    figures, latencies, notes = await _morning(system, folder)
    if system.can_cross:
        for workers, label in WORKERS.items():
            part = folder / label
            part.mkdir()  # Its Redis would find what the other one has kept.
            found, _, more = await _morning(system, part, workers)
            figures |= {f"{name}_{label}": value for name, value in found.items()}
            notes += [f"{label}: {note}" for note in more]
    return Measured(figures, latencies, notes)


async def _morning(
    system: System, folder: Path, workers: int | None = None
) -> tuple[dict[str, float], list[float], list[str]]:
    async with system.serve(folder, workers=workers) as [server], Crowd() as crowd:
        people = await _gather(crowd, server)
        typed, moved = _sources(people)
        probes = [person for person in people if isinstance(person, Probe)]
        paces = Pace(typed, TYPED_PER_SECOND), Pace(moved, MOVES_PER_SECOND)
        async with _comers(crowd, server):
            window = await measure_window(costs_of([server]), crowd, typed, probes, *paces)
        if window.is_drained:
            for probe in probes[:CHECKED]:
                await _check(crowd, server, probe)
    return _figures(window, workers), window.latencies_ms, window.notes


async def _check(crowd: Crowd, server: Server, probe: Probe) -> None:
    fresh = await crowd.join(Probe(server, probe.document))
    if (fresh.clocks(), fresh.text) != (probe.clocks(), probe.text):
        raise Mismatch(f"{probe.document}: a fresh client got another document")


def _figures(window: Window, workers: int | None) -> dict[str, float]:
    """``load`` is how many updates a second the server would carry on two cores, or alone on one.

    All its processes share the cores, Redis too; the busiest of them goes as far as one core takes it.
    """
    busiest_s = max(max(used.values()) for used in window.by_process_s)
    figures = {
        "cpu_ms_per_s": 1e3 * window.cpu_s / window.seconds,
        "load": window.updates / max(busiest_s, window.cpu_s / CORES),
    }
    if workers is not None:
        figures["redis_cpu_ms_per_s"] = 1e3 * window.cpu_each_s[-1] / window.seconds
    return figures | window.figures


async def _gather(crowd: Crowd, server: Server) -> list[Client]:
    """Fill the documents and let people join them; some documents are much more popular than others."""
    for number, author in enumerate(client_ids(DOCUMENTS, seed=2)):
        base = text("m" * SIZES[number % len(SIZES)], parent=TEXT_NAME)
        held = update(section(author, 0, base))
        await crowd.join(Client(server, _name(number), held=held))
    chance = Random(3)
    places = [number % DOCUMENTS for number in range(PEOPLE - DOCUMENTS - 2 * WATCHED)]
    people = [Client(server, _name(min(place, chance.randrange(DOCUMENTS)))) for place in places]
    first = [Probe(server, _name(number)) for number in range(WATCHED)]
    last = [Probe(server, _name(number)) for number in range(WATCHED)]
    everybody = [*first, *people, *last]
    await crowd.join_all(everybody)
    return everybody


def _name(number: int) -> str:
    return f"bench-{number}"


def _sources(people: Sequence[Client]) -> tuple[list[Source], list[Source]]:
    """Return those who type and those who move; the rest, and all who brought a document, look on."""
    typed, moved = [], []
    for number, (id, client) in enumerate(zip(client_ids(len(people)), people, strict=True)):
        kind = KINDS[number % len(KINDS)]
        if kind == "types":
            frames = typing_frames(client.wire, id, frames_needed(TYPED_PER_SECOND))
            typed.append(Source(id, client, frames))
        elif kind == "moves":
            frames = cursor_frames(client.wire, id, frames_needed(MOVES_PER_SECOND))
            moved.append(Source(id, client, frames))
    return typed, moved


@asynccontextmanager
async def _comers(crowd: Crowd, server: Server) -> AsyncIterator[None]:
    """Let people come for a short while, as many a second however long each takes to join."""
    async with asyncio.TaskGroup() as group:
        coming = group.create_task(_let_come(group, crowd, server))
        yield
        coming.cancel()


async def _let_come(group: asyncio.TaskGroup, crowd: Crowd, server: Server) -> None:
    chance = Random(5)
    while True:
        await asyncio.sleep(1 / COMERS_PER_SECOND)
        group.create_task(_stay(crowd, Client(server, _name(chance.randrange(DOCUMENTS)))))


async def _stay(crowd: Crowd, client: Client) -> None:
    await crowd.join(client)
    await asyncio.sleep(STAY_S)
    crowd.dismiss(client)


MIXED = Scenario(
    "mixed",
    f"{PEOPLE} people in {DOCUMENTS} documents: some type, some move, some look on, others come and go",
    _measure,
    main="cpu_ms_per_s",
    unit="server CPU ms per second",
    timeout_s=120,
)
