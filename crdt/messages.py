"""The messages of the sync and awareness protocols, as values.

Source: y-protocols 1.0 ``PROTOCOL.md`` (references/protocol.md, M1–M8).
"""

from dataclasses import dataclass
from typing import TypeAlias

from crdt.state_vector import StateVector
from crdt.update import Update

__all__ = [
    "AwarenessQuery",
    "AwarenessUpdate",
    "Message",
    "Outgoing",
    "PermissionDenied",
    "SyncStatus",
    "SyncStep1",
    "SyncStep2",
    "SyncUpdate",
]


@dataclass(frozen=True, slots=True)
class SyncStep1:
    """Says what the sender knows, and asks for the rest."""

    state_vector: StateVector


@dataclass(frozen=True, slots=True)
class SyncStep2:
    """The answer to a sync step 1: everything that the asker lacks."""

    update: Update


@dataclass(slots=True)
class SyncUpdate:
    """An edit, as it happens.

    Not frozen, for that takes 0.3 µs more to make: this is nearly all of the traffic.
    """

    update: Update


@dataclass(frozen=True, slots=True)
class AwarenessUpdate:
    """The presence of some clients."""

    update: bytes


@dataclass(frozen=True, slots=True)
class AwarenessQuery:
    """Asks for the presence of everybody."""


@dataclass(frozen=True, slots=True)
class SyncStatus:
    """Asks for its own echo as soon as everything sent before it is durable."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class PermissionDenied:
    """Tells a client why something of it was refused; stock clients print it."""

    reason: str


Message: TypeAlias = SyncStep1 | SyncStep2 | SyncUpdate | AwarenessUpdate | AwarenessQuery | SyncStatus
"""What a peer may send."""

Outgoing: TypeAlias = Message | PermissionDenied
"""What the server may send."""
