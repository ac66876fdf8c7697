"""Who is here, as a plain table: client id to clock and state, with the connection that speaks for it.

A server is no peer: the table never speaks for itself and time is an argument. Rules of the table
(references/protocol.md, A1–A10):

- an entry counts when its clock is new, or when it is null at the clock of a live state (A2);
- the id alone in a connection's first awareness message is its own, and is claimed for it even
  against an older connection; any other id only while nobody claims it (A5);
- leaving announces null at the same clock, only for ids still claimed by the one who leaves: at once
  after a close frame, after ``GRACE_S`` otherwise (A6);
- whoever announces its own id at a clock at which the room already saw null is told so, and then
  announces itself again (A7).

States are opaque JSON text, checked but never changed.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NoReturn

from crdt.encoding import Decoder, encode_var_bytes, encode_var_uint
from crdt.errors import Malformed, TooLarge

__all__ = ["GRACE_S", "Awareness", "Heard"]

GRACE_S = 2.0
"""How long a client whose connection broke is still shown (A6)."""

OUTDATED_S = 45.0
"""A live state not renewed for so long is removed; clients renew every 15 s and forget after 30 (A8)."""

TOMBSTONE_S = 600.0
"""How long the clock of a client that left is remembered (A9)."""

STATE_LIMIT_BYTES = 16_384
"""The largest state (A3)."""

MESSAGE_LIMIT_BYTES = 2**20
MESSAGE_LIMIT = 4_096
"""The largest awareness message, in bytes and in clients: clients echo everybody of a large room (A3)."""

CLAIM_LIMIT = 64
"""The most ids that one connection speaks for; entries for more are ignored (A10)."""

CLOCK_LIMIT = 2**31

_NULL = b"null"


@dataclass(slots=True)
class _Entry:
    clock: int
    state: bytes | None
    """JSON text of an object; None: the client left."""
    peer: int | None
    """The connection that claims the id."""
    seen_at: float
    leaves_at: float | None = None
    """When the connection broke: the moment at which the client counts as gone."""


@dataclass(slots=True)
class Heard:
    """What one awareness message changed."""

    changed: list[int] = field(default_factory=list)
    """Ids that everybody has to hear of."""
    corrected: list[int] = field(default_factory=list)
    """Ids of the sender's own of which the room saw null at that clock: only the sender must hear it."""


class Awareness:
    """The presence of everybody on one document."""

    __slots__ = ("_claims", "_entries")

    def __init__(self) -> None:
        self._entries: dict[int, _Entry] = {}
        self._claims: dict[int, set[int]] = {}
        """For each connection that has spoken, the ids that it claims."""

    def receive(self, update: bytes, peer: int, now: float) -> Heard:
        """Take an awareness message of connection ``peer``.

        Raises ``Malformed`` or ``TooLarge``; nothing of the message is taken then.
        """
        entries = _read_entries(update)
        is_first = peer not in self._claims and bool(entries)
        own = next(iter(entries)) if is_first and len(entries) == 1 else None
        news = {client: new for client, new in entries.items() if self._is_news(client, *new, peer, own)}
        for _, state in news.values():
            _check_state(state)
        claims = self._claims.setdefault(peer, set()) if entries else self._claims.get(peer, set())
        if own is not None:
            self._claim(own, peer, now)
        heard = Heard(corrected=[client for client in entries if self._is_outdated(client, entries, peer)])
        for client, (clock, state) in news.items():
            if client in claims or len(claims) < CLAIM_LIMIT:
                entry = self._claim(client, peer, now)
                entry.clock, entry.state, entry.seen_at = clock, state, now
                heard.changed.append(client)
        return heard

    def _is_news(self, client: int, clock: int, state: bytes | None, peer: int, own: int | None) -> bool:
        """A2, A5."""
        entry = self._entries.get(client)
        if entry is None:
            return clock > 0
        if client != own and entry.peer is not None and entry.peer != peer:
            return False
        return entry.clock < clock or (entry.clock == clock and state is None and entry.state is not None)

    def _is_outdated(self, client: int, entries: dict[int, tuple[int, bytes | None]], peer: int) -> bool:
        """A7."""
        entry = self._entries.get(client)
        if entry is None or entry.peer != peer or entry.state is not None or not entry.clock:
            return False
        clock, state = entries[client]
        return state is not None and clock <= entry.clock

    def _claim(self, client: int, peer: int, now: float) -> _Entry:
        entry = self._entries.get(client)
        if entry is None:
            entry = self._entries[client] = _Entry(0, None, peer, now)
        elif entry.peer is not None and entry.peer != peer:
            self._claims[entry.peer].discard(client)
        entry.peer = peer
        entry.leaves_at = None
        self._claims[peer].add(client)
        return entry

    def leave(self, peer: int, now: float, *, clean: bool) -> list[int]:
        """Release what ``peer`` claims; return the ids to announce now. Idempotent.

        Without a close frame nothing is announced yet: see ``expire``.
        """
        gone = []
        for client in self._claims.pop(peer, ()):
            entry = self._entries[client]
            entry.peer = None
            if entry.state is None:
                entry.seen_at = now
            elif clean:
                _bury(entry, now)
                gone.append(client)
            else:
                entry.leaves_at = now + GRACE_S
        return gone

    def expire(self, now: float) -> list[int]:
        """Remove who left or fell silent, forget old clocks; return the ids to announce."""
        gone = []
        for client, entry in list(self._entries.items()):
            if entry.state is None:
                if entry.peer is None and now - entry.seen_at > TOMBSTONE_S:
                    del self._entries[client]
            elif now - entry.seen_at > OUTDATED_S or (entry.leaves_at is not None and entry.leaves_at <= now):
                _bury(entry, now)
                gone.append(client)
        return gone

    @property
    def next_leave(self) -> float | None:
        """When the next client whose connection broke counts as gone."""
        return min((e.leaves_at for e in self._entries.values() if e.leaves_at is not None), default=None)

    @property
    def present(self) -> list[int]:
        """The ids that are here."""
        return [client for client, entry in self._entries.items() if entry.state is not None]

    def encode(self, clients: Iterable[int]) -> bytes:
        """Write the latest entries of ``clients``, all of them known, as one awareness update."""
        parts = []
        for client in clients:
            entry = self._entries[client]
            state = _NULL if entry.state is None else entry.state
            parts.append(encode_var_uint(client) + encode_var_uint(entry.clock) + encode_var_bytes(state))
        return encode_var_uint(len(parts)) + b"".join(parts)


def _bury(entry: _Entry, now: float) -> None:
    # A6: the clock stays, for clock + 1 would tie with the returning client's next update and win.
    entry.state = None
    entry.leaves_at = None
    entry.seen_at = now


def _read_entries(update: bytes) -> dict[int, tuple[int, bytes | None]]:
    decoder = Decoder(update)
    entries: dict[int, tuple[int, bytes | None]] = {}
    count = decoder.read_count(3)
    if count > MESSAGE_LIMIT or len(update) > MESSAGE_LIMIT_BYTES:
        raise TooLarge("awareness message too large")
    for _ in range(count):
        client = decoder.read_var_uint()
        clock = decoder.read_var_uint()
        state = decoder.read_var_bytes()
        if client in entries:
            raise Malformed("client twice in an awareness update")
        if clock >= CLOCK_LIMIT:
            raise Malformed("awareness clock out of range")
        if len(state) > STATE_LIMIT_BYTES:
            raise TooLarge("awareness state too large")
        entries[client] = clock, None if state == _NULL else state
    if not decoder.is_at_end:
        raise Malformed("bytes behind the awareness update")
    return entries


def _check_state(state: bytes | None) -> None:
    """A4: JavaScript throws away a whole message for one state that it cannot parse."""
    if state is None:
        return
    try:
        value = json.loads(state.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Malformed("awareness state is not JSON") from error
    if not isinstance(value, dict):
        raise Malformed("awareness state is not an object")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
