"""What a session wants done, as values: whoever drives it carries them out in order."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from crdt.messages import Outgoing
from crdt.state_vector import StateVector
from crdt.update import Update

__all__ = [
    "Accepted",
    "Acknowledge",
    "Announce",
    "Discarded",
    "Effect",
    "Ingest",
    "Refused",
    "Reply",
    "SendDiff",
]


@dataclass(frozen=True, slots=True)
class Reply:
    """Send ``message`` to the peer."""

    message: Outgoing


@dataclass(frozen=True, slots=True)
class SendDiff:
    """Answer the peer's sync step 1: send what it lacks, as a sync step 2."""

    state_vector: StateVector


@dataclass(slots=True)
class Accepted:
    """``update`` is in the document now: log it and send it to everybody, in this order.

    ``is_plain`` where it is known to be typed text or a deletion. Not frozen, for the same reason as
    ``SyncUpdate``.
    """

    update: Update
    is_plain: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Announce:
    """The presence of ``clients`` changed: send it to everybody.

    Those who ``are_asked`` to announce themselves anew are waited for a moment: others hear of them once.
    """

    clients: list[int]
    are_asked: bool = False


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Send ``payload`` back as soon as everything accepted so far is durable."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Discarded:
    """Something of the peer's was dropped, for a reason in fixed words: log it.

    A held-back update each time, something of its presence only once (A4).
    """

    size_bytes: int
    reason: str = "waiting for unknown edits"


@dataclass(frozen=True, slots=True)
class Refused:
    """Something of an edit was not taken, though its author stays: count it, log ``reason``."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ingest:
    """A large update: drive ``steps``, pausing between them, before the peer's next message."""

    steps: "Iterator[list[Effect]]"


Effect: TypeAlias = Reply | SendDiff | Accepted | Announce | Acknowledge | Discarded | Refused | Ingest
