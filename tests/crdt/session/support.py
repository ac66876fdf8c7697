"""One document with its sessions, and what peers send."""

from crdt.awareness import Awareness
from crdt.document import Document
from crdt.effects import Effect, Reply
from crdt.limits import Limits
from crdt.messages import SyncStep1
from crdt.session import Session
from crdt.update import Update
from tests.crdt.build import section, text, update

__all__ = ["Room", "behind"]


class Room:
    """Two peers on one document that holds "hello" by client 1."""

    def __init__(self) -> None:
        self.document = Document()
        self.document.intake(update(section(1, 0, text("hello")))).run()
        self.awareness = Awareness()
        self.ann = Session(1, self.document, self.awareness, Limits.of())
        self.bob = Session(2, self.document, self.awareness, Limits.of())

    def ask(self) -> Effect:
        """The sync step 1 that the room sends at this moment."""
        return Reply(SyncStep1(self.document.state_vector))


def behind(clock: int, content: str = "x") -> Update:
    """An edit of client 1 that needs everything of it before ``clock``."""
    return update(section(1, clock, text(content, left=(1, clock - 1))))
