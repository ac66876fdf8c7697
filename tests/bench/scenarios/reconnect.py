"""Everybody loses a killed server and returns to its successor at once, some with edits made meanwhile."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from picows import WSError

from crdt.encoding import Decoder
from crdt.state_vector import decode_state_vector, encode_state_vector
from tests.bench.load.client import Client, Lost
from tests.bench.load.crowd import Crowd
from tests.bench.load.meter import Meter
from tests.bench.load.probe import Probe
from tests.bench.load.source import client_ids
from tests.bench.load.truth import Mismatch
from tests.bench.load.wire import EMPTY_UPDATE, SYNC_KINDS, TEXT_NAME
from tests.bench.scenarios.scenario import Scenario
from tests.bench.systems.contract import Measured, Server, System
from tests.crdt.build import section, text, update

__all__ = ["RECONNECT"]

DOCUMENTS = 200
PEOPLE = 10
CONTENT = "What everybody has seen before the server was killed. " * 40
BACK_OFF_S = (0.01, 0.05)
RETURN_LIMIT_S = 60.0
CHECKED = 10


@dataclass(frozen=True, slots=True)
class Story:
    """What is in one document, and what one of its people adds while the server is gone."""

    document: str
    author: int
    editor: int

    @property
    def addition(self) -> str:
        """A text that stands nowhere else."""
        return f"<{self.document}>"

    def content(self, *, with_base: bool, with_addition: bool) -> bytes:
        """Return the update that brings the parts asked for."""
        base = section(self.author, 0, text(CONTENT, parent=TEXT_NAME))
        addition = section(self.editor, 0, text(self.addition, left=(self.author, len(CONTENT) - 1)))
        # The clients of an update descend.
        ordered = sorted(
            [(self.author, with_base, base), (self.editor, with_addition, addition)], reverse=True
        )
        return update(*(part for _, is_wanted, part in ordered if is_wanted))


class Returning(Client):
    """Comes back with the base of its document; the editor with the addition too."""

    def __init__(self, server: Server, story: Story, *, is_editor: bool) -> None:
        super().__init__(server, story.document)
        self.has_addition = is_editor
        self._is_editor = is_editor
        self._story = story
        self._addition = story.addition.encode()

    def state_vector(self) -> bytes:
        """Return the clocks of what it brings."""
        clocks = {self._story.author: len(CONTENT)}
        if self._is_editor:
            clocks[self._story.editor] = len(self._story.addition)
        return encode_state_vector(clocks)

    def missing(self, state_vector: bytes) -> bytes:
        """Return the base to a server that lost it, and the addition from the editor."""
        has_base = decode_state_vector(state_vector).get(self._story.author) == len(CONTENT)
        if has_base and not self._is_editor:
            return EMPTY_UPDATE
        return self._story.content(with_base=not has_base, with_addition=self._is_editor)

    def take(self, kind: int, decoder: Decoder) -> None:
        """Look for the addition, until it came."""
        if kind in SYNC_KINDS and self._addition in decoder.data:
            self.has_addition = True
            self._reads = not self.synced.done()

    def is_done(self) -> bool:
        """Go on reading until the addition came."""
        return self.has_addition


async def _measure(system: System, folder: Path) -> Measured:
    ids = client_ids(2 * DOCUMENTS)
    stories = [Story(f"bench-{number}", ids[2 * number], ids[2 * number + 1]) for number in range(DOCUMENTS)]
    async with system.serve(folder) as [server], Crowd() as before, Crowd() as after:
        for story in stories:
            held = story.content(with_base=True, with_addition=False)
            await before.join(Client(server, story.document, held=held))
        for _ in range(PEOPLE - 1):
            await before.join_all([Client(server, story.document) for story in stories])
        overflows = _overflows()
        meter = Meter([])
        await server.kill()
        async with asyncio.timeout(RETURN_LIMIT_S), asyncio.TaskGroup() as group:
            restart = group.create_task(server.restart())
            back = group.create_task(_return_all(after, server, stories))
        clients = back.result()
        synced_s, share = meter.seconds, meter.generator_share
        if not await after.until(lambda: all(client.has_addition for client in clients), RETURN_LIMIT_S):
            raise Mismatch("somebody never got what was written while the server was gone")
        figures = {
            "synced_s": synced_s,
            "converged_s": meter.seconds,
            "ready_s": restart.result(),
            "cpu_s": sum(server.cpu_s().values()),
            "generator_share": share,
        }
        for story in stories[:: DOCUMENTS // CHECKED]:
            fresh = await after.join(Probe(server, story.document))
            if fresh.text != CONTENT + story.addition:
                raise Mismatch(f"{story.document}: not what everybody has")
        overflows = _overflows() - overflows
    notes = []
    if overflows:
        # The kernel of the client tries again after 1, 3, 7, 15 ... s.
        notes.append(f"The queue of new connections was full {overflows:,} times.")
    return Measured(figures, notes=notes)


def _overflows() -> int:
    """Return how often this machine has dropped a connection that nobody accepted soon enough."""
    names, values = (
        line.split()
        for line in Path("/proc/net/netstat").read_text().splitlines()
        if line.startswith("TcpExt")
    )
    return int(values[names.index("ListenOverflows")])


async def _return_all(crowd: Crowd, server: Server, stories: Sequence[Story]) -> list[Returning]:
    """Return when all are synced. One looks for the successor on behalf of all who would try as often."""
    await _listening(server)
    chance = Random(1)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_return(crowd, server, story, chance, is_editor=person == 0))
            for person in range(PEOPLE)
            for story in stories
        ]
    return [task.result() for task in tasks]


async def _listening(server: Server) -> None:
    address = server.url("bench").split("/")[2].split(":")
    while True:
        try:
            _, writer = await asyncio.open_connection(address[0], int(address[1]))
        except OSError:
            await asyncio.sleep(BACK_OFF_S[0])
            continue
        writer.close()
        return


async def _return(
    crowd: Crowd, server: Server, story: Story, chance: Random, *, is_editor: bool
) -> Returning:
    while True:
        await asyncio.sleep(chance.uniform(*BACK_OFF_S))
        client = Returning(server, story, is_editor=is_editor)
        try:
            return await crowd.join(client)
        except (OSError, WSError, Lost):
            crowd.dismiss(client)


RECONNECT = Scenario(
    "reconnect",
    f"{DOCUMENTS * PEOPLE:,} people in {DOCUMENTS} documents return to the successor of a killed server",
    _measure,
    main="synced_s",
    unit="seconds from the kill until all are synced",
    timeout_s=150,
)
