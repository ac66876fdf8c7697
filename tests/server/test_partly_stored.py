"""A store that takes some documents and not others."""

from collections.abc import Sequence
from functools import partial

import pytest

from crdt.messages import SyncStatus
from server.bus import Bus
from server.bus.memory import MemoryBus, MemoryStreams
from server.storage import Entry, PartlyStored
from server.storage.memory import MemoryStore
from tests.server.parts import Wire, running_parts, status, update_frame
from tests.server.support import until, update_of


class PartlyAway(MemoryStore):
    """A store that cannot store one document, as when one server of a Cluster is away."""

    away = "bad"

    async def append(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        unstored = [entry for entry in entries if entry.document == self.away]
        taken = await super().append([entry for entry in entries if entry.document != self.away])
        if unstored:
            raise PartlyStored(unstored, taken, "CLUSTERDOWN")
        return taken


@pytest.mark.parametrize("bus", [None, MemoryBus(MemoryStreams(), node="one")], ids=["alone", "bus"])
async def test_D2_a_document_that_cannot_be_stored_keeps_no_other_from_being_acknowledged(
    bus: Bus | None,
) -> None:
    store = PartlyAway()
    async with running_parts(store, bus=bus) as parts:
        bad, waiting = await parts.join("bad")
        good, served = await parts.join("good")
        for word in ("one ", "two ", "three "):
            before = len(served.of(SyncStatus))
            for connection in (bad, good):
                connection.message_received(update_frame(update_of(word)))
                connection.message_received(status(word.encode()))
            await until(partial(acknowledges_more_than, served, before), "acknowledged")
        assert not waiting.of(SyncStatus)
        assert parts.journal.trouble is not None
        store.away = ""
        await until(lambda: len(waiting.of(SyncStatus)) == 3, "acknowledged when it is back")
        await until(lambda: parts.journal.trouble is None, "well")


def acknowledges_more_than(wire: Wire, count: int) -> bool:
    return len(wire.of(SyncStatus)) > count
