"""What the tests of several nodes share."""

from pycrdt import Doc, Text

from crdt.messages import SyncStatus
from server.cluster import Cluster
from server.room import Room
from tests.server.parts import Parts, Wire, status, step_1, update_frame
from tests.server.support import until, update_of

__all__ = ["cluster_of", "document_text", "leave_all", "room_of", "write"]


async def write(parts: Parts, name: str, word: str) -> Wire:
    """Have somebody join, write a word, and wait until it is acknowledged."""
    connection, wire = await parts.join(name)
    connection.message_received(step_1())
    connection.message_received(update_frame(update_of(word)))
    connection.message_received(status(b"1"))
    await until(lambda: wire.of(SyncStatus), "acknowledged")
    return wire


def cluster_of(parts: Parts) -> Cluster:
    assert parts.cluster is not None
    return parts.cluster


def room_of(parts: Parts) -> Room:
    [room] = parts.rooms
    return room


async def leave_all(parts: Parts) -> None:
    for connection, _ in list(parts.members):
        parts.leave(connection)


def document_text(room: Room) -> str:
    doc: Doc[Text] = Doc()
    doc.apply_update(room.document.encode())
    return str(doc.get("t", type=Text))
