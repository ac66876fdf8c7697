"""The seam between nodes: what every bus promises.

A bus carries the entries of each document in one order that all nodes see, and presence beside them. The
contract suite in ``tests/contracts/bus`` runs over every implementation.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NewType, Protocol

from crdt.errors import CowriteError

__all__ = [
    "BIRTH_LIMIT",
    "RUNG_LIMIT_BYTES",
    "SEQUENCE_BITS",
    "Bus",
    "BusEntry",
    "BusUnavailable",
    "Listener",
    "PartlyAppended",
    "Position",
    "Reading",
    "birth_of",
    "fits",
    "follows",
    "is_gapless",
    "position_at",
    "sequence_of",
]

Position = NewType("Position", int)
"""The place of an entry in its document's stream: when the stream was born (ms), then a count without holes.

Positions grow for ever, also over the death and rebirth of a stream; 0 is before everything."""

SEQUENCE_BITS = 22

BIRTH_LIMIT = 1 << 41
"""Births are below it, which is in the year 2039: a store takes positions of 63 bits. What somebody else
wrote into a stream may be beyond."""

RUNG_LIMIT_BYTES = 16_384
"""The largest update that listeners are told of with its bytes: of a larger one they doubt, and read it."""


def position_at(birth: int, sequence: int) -> Position:
    """Put a position together; ``birth`` in ms since the epoch, ``sequence`` below 2**22."""
    assert 0 <= sequence < 1 << SEQUENCE_BITS
    return Position(birth << SEQUENCE_BITS | sequence)


def birth_of(position: Position) -> int:
    """When the stream of ``position`` was born."""
    return position >> SEQUENCE_BITS


def fits(position: Position) -> bool:
    """Whether a store can take ``position``: what was read may be no position of ours."""
    return birth_of(position) < BIRTH_LIMIT


def sequence_of(position: Position) -> int:
    """The count within its stream."""
    return position & (1 << SEQUENCE_BITS) - 1


def follows(position: Position, previous: Position) -> bool:
    """Whether nothing can lie between two positions of one stream."""
    return position == previous + 1


def is_gapless(after: Position, positions: Iterable[Position], last: Position) -> bool:
    """Whether ``positions`` are all there ever was after ``after`` in a stream that ended at ``last``.

    They are in order. False where something was trimmed, where the stream was reborn, and where it ends
    before ``after``: then it went back with its server, and what it has lost may be news to the reader.
    """
    previous = after
    for position in positions:
        is_first_of_all = previous == 0 and sequence_of(position) == 0
        if not is_first_of_all and not follows(position, previous):
            return False
        previous = position
    return previous == last


class BusUnavailable(CowriteError):
    """The bus cannot answer now; the same call may succeed later."""


class PartlyAppended(BusUnavailable):
    """Some documents of an ``append`` could not be reached or refused it; the others are appended.

    Repeating the whole call is harmless; repeating only what has no position spares the doubles, and the
    healthy documents do not wait for the others.
    """

    def __init__(self, positions: Sequence[Position | None]) -> None:
        super().__init__(f"{positions.count(None)} of {len(positions)} entries were not appended")
        self.positions = positions
        """One for each entry of the call; None where it was not, or may not have been, appended."""


@dataclass(frozen=True, slots=True)
class BusEntry:
    """One entry of a stream."""

    position: Position
    update: bytes


@dataclass(frozen=True, slots=True)
class Reading:
    """What a stream holds after a position."""

    entries: Sequence[BusEntry]
    """In order; an entry that cannot be read is left out, logged and counted."""
    is_gapless: bool
    """Whether these are all entries since the position asked for (see the function); else something was
    trimmed, or the stream was reborn or is gone, and the document has to be completed from the store. What is
    unreadable is no gap here."""
    last: Position
    """The latest position of the stream, entries trimmed or unreadable included; 0 where there is no
    stream. Lies before the position asked for where the stream was lost or went back."""
    unreadable: frozenset[Position] = frozenset()
    """Where entries were left out. One may be garbage, or damaged, or written by a newer version: then only
    the store has its update, and it must not be deleted there for the sake of this reading."""


class Listener(Protocol):
    """Who follows one document. Every method is a plain call from the event loop's thread."""

    def entry_arrived(self, entry: BusEntry) -> None:
        """Take an entry as it was appended, by this node too; entries may be missed, doubled or late.

        One above ``RUNG_LIMIT_BYTES`` never comes so, but as a doubt.
        """

    def presence_arrived(self, node: str, update: bytes) -> None:
        """Take an awareness update that another node published."""

    def doubt(self) -> None:
        """Learn that something may have been missed: read from the latest position known."""


class Bus(Protocol):
    """Between nodes. Raises ``BusUnavailable`` wherever the world is at fault.

    The truth of a document is its stream: in order, at least once, until trimmed. Listeners are told
    quickly, at most once; they notice what they missed by the positions, and read it.
    """

    @property
    def unreadable_count(self) -> int:
        """How many entries and messages were skipped because they could not be read, each counted once."""

    async def append(self, entries: Sequence[tuple[str, bytes]]) -> Sequence[Position]:
        """Append (document, update) in order, in one round trip; return their positions.

        One call at a time (there is one writer). The entries of one document are appended all or none.
        After an error any of the documents may be appended: call again with the same entries; doubled
        entries are harmless, a changed order never happens. Raises ``PartlyAppended`` where that is known
        in detail. Positions of a document grow for ever, also when its stream was lost or went back.
        """

    async def read(self, document: str, after: Position) -> Reading:
        """Read everything after a position, which the bus learns (see ``learn``)."""

    def learn(self, document: str, position: Position) -> None:
        """Give out only larger positions from now on, even if the servers have forgotten everything.

        One that does not fit (see ``fits``) is ignored. So tell the latest position of the store before
        appending.
        """

    async def backlog(self) -> Mapping[str, int]:
        """Count the entries of each stream that has any."""

    async def listen(self, document: str, listener: Listener) -> None:
        """Tell ``listener`` of a document from now on; returns when that is in force.

        One for each document: it takes the place of an earlier one. What is appended after the return is
        heard, unless the listener is told to ``doubt``. Subscriptions survive the loss of the connection; on
        an error of this call nothing is listened to.
        """

    async def unlisten(self, document: str, listener: Listener) -> None:
        """Stop telling ``listener``; nothing happens where another one has taken its place."""

    async def trim(self, document: str, up_to: Position) -> None:
        """Forget entries up to and including a position; the stream stays, with its latest position."""

    async def publish_presence(self, document: str, update: bytes, everybody: bytes | None) -> None:
        """Tell the listeners on other nodes of an awareness update.

        ``everybody`` is the whole presence of this node on the document, kept for joiners as long as
        the node's lease holds; empty bytes remove it, None leaves what is kept. Keep it anew within the hour
        where somebody is present.
        """

    async def presence(self, document: str) -> Mapping[str, bytes]:
        """Return what other living nodes keep of their presence on a document, by node."""

    async def renew_lease(self) -> bool:
        """Say that this node lives, for the next ``lease_s``; called several times in it.

        Returns True where the lease had ended or was forgotten: then everything kept is published to the
        others anew, who may have believed that this node was dead.
        """

    async def living_nodes(self) -> frozenset[str]:
        """Return the nodes whose lease holds, this one included."""

    async def claim(self, task: str, hold_s: float) -> bool:
        """Hold ``task`` for this node for ``hold_s`` from now, anew or still; False where another does.

        A task is named by its kind, a colon, and its document (``all`` for a sweep). The claim spares
        doubled work and proves nothing: two nodes may hold one task when the servers change.
        """

    async def release(self, task: str) -> None:
        """Give up a task that this node holds; idempotent."""

    async def close(self) -> None:
        """End the lease and release everything; idempotent."""
