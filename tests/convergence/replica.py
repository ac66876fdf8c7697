"""A server's document without a server: several sessions on one document, and clients that join later."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import pycrdt
from pycrdt import Doc, Snapshot, Text

from crdt.awareness import Awareness
from crdt.document import Document
from crdt.effects import Accepted, Discarded, Effect, Ingest
from crdt.encoding import Decoder
from crdt.limits import Limits
from crdt.merging import merge
from crdt.messages import Message
from crdt.session import Session
from crdt.state_vector import decode_state_vector, encode_state_vector
from crdt.update import EMPTY_UPDATE, DeleteRange, Update, read_delete_ranges

__all__ = ["Joiner", "Replica", "fingerprint", "load"]


def load(updates: Iterable[bytes]) -> "Doc[Text]":
    """Apply updates one by one to a fresh Doc."""
    doc: Doc[Text] = Doc()
    for update in updates:
        doc.apply_update(update)
    return doc


def fingerprint(doc: "Doc[Text]") -> tuple[dict[int, int], list[DeleteRange]]:
    """What a Doc knows of: its clocks and its deletions. (The bytes of a Snapshot come in no fixed order.)"""
    decoder = Decoder(Snapshot.from_doc(doc).encode())
    deletions = sorted(read_delete_ranges(decoder))
    return decode_state_vector(decoder.data[decoder.position :]), deletions


@dataclass(slots=True)
class Joiner:
    """A client that came late: what it was sent so far, and the same in a Doc."""

    received: list[Update] = field(default_factory=list)
    doc: "Doc[Text]" = field(default_factory=Doc)

    def receive(self, update: Update) -> None:
        """Take one update."""
        self.received.append(update)
        self.doc.apply_update(update)


class Replica:
    """Feeds messages to sessions and does what a room does with the effects."""

    def __init__(self) -> None:
        self.document = Document()
        self.entries: list[Update] = []
        """Everything accepted, in order, merged for each message as a flush does: the log."""
        self.joiners: list[Joiner] = []
        self.discarded = 0
        self._merged = EMPTY_UPDATE
        self._batch: list[Update] = []
        self._awareness = Awareness()
        self._sessions: dict[int, Session] = {}

    def deliver(self, peer: int, message: Message) -> None:
        """Hand ``message`` of ``peer`` to its session, then retry what every session holds back."""
        session = self._sessions.setdefault(peer, Session(peer, self.document, self._awareness, Limits.of()))
        grew = self._perform(session.receive(message, 0.0))
        while grew:
            waiting = [other for other in self._sessions.values() if other.waits]
            grew = self._perform(effect for other in waiting for effect in other.retry(0.0))
        self._flush()
        self.check()

    def _perform(self, effects: Iterable[Effect]) -> bool:
        grew = False
        for effect in effects:
            match effect:
                case Accepted(update):
                    self._batch.append(update)
                    grew = True
                case Ingest(steps):
                    grew |= self._perform(effect for step in steps for effect in step)
                case Discarded():
                    self.discarded += 1
        return grew

    def _flush(self) -> None:
        if not self._batch:
            return
        entry, self._batch = merge(self._batch), []
        self.entries.append(entry)
        self._merged = merge([self._merged, entry])
        for joiner in self.joiners:
            joiner.receive(entry)

    def join(self) -> None:
        """Let a client join now: it is sent the whole document."""
        joiner = Joiner()
        joiner.receive(self.document.encode())
        self.joiners.append(joiner)

    def rejoin(self, index: int) -> None:
        """Let the client ``index`` come back: its twin of back then is sent only what it lacks."""
        old = self.joiners[index]
        joiner = Joiner()
        joiner.receive(old.received[0])
        known = decode_state_vector(joiner.doc.get_state())
        joiner.receive(self.document.diff(encode_state_vector(known)))
        self.joiners.append(joiner)

    def check(self) -> None:
        """Nothing is pending, and the clock table says what yrs says."""
        state = pycrdt.get_state(self.document.encode())
        assert decode_state_vector(state) == self.document.clocks
        assert pycrdt.get_update(self._merged, state)[0] == 0, "yrs keeps something pending"
