"""Who is here, as a plain table: client id to clock and state, with the connection that speaks for it.

A server is no peer: the table never speaks for itself and time is an argument. Rules of the table
(references/protocol.md, A1–A11):

- an entry counts when its clock is new, or when it is null at the clock of a live state (A2);
- the id alone in a connection's first awareness message is its own, and is claimed for it even
  against an older connection; any other id only while nobody claims it (A5);
- leaving announces null at the same clock, only for ids still claimed by the one who leaves: at once
  after a close frame, after ``GRACE_S`` otherwise (A6);
- whoever announces its own id at a clock at which the room already saw null is told so, and then
  announces itself again (A7);
- who turns up on another node, at whatever clock, has moved there (A11).

States are opaque JSON text, checked but never changed.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from crdt.awareness_entries import check_state, encode_entries, read_entries

__all__ = ["GRACE_S", "Awareness", "Heard"]

GRACE_S = 2.0
"""How long a client whose connection broke is still shown (A6)."""

OUTDATED_S = 45.0
"""A live state not renewed for so long is removed; clients renew every 15 s and forget after 30 (A8)."""

TOMBSTONE_S = 600.0
"""How long the clock of a client that left is remembered (A9)."""

CLAIM_LIMIT = 64
"""The most ids that one connection speaks for; entries for more are ignored (A10)."""


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
    moved: list[int] = field(default_factory=list)
    """Ids that now belong to the sender, at the clock that was known: for other nodes (A11)."""


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
        entries = read_entries(update)
        is_first = peer not in self._claims and bool(entries)
        own = next(iter(entries)) if is_first and len(entries) == 1 else None
        news = {client: new for client, new in entries.items() if self._is_news(client, *new, peer, own)}
        for _, state in news.values():
            check_state(state)
        claims = self._claims.setdefault(peer, set()) if entries else self._claims.get(peer, set())
        heard = Heard()
        if own is not None:
            if self._is_known_elsewhere(own, *entries[own], peer):
                heard.moved.append(own)
            self._claim(own, peer, now)
        heard.corrected += [client for client in entries if self._is_outdated(client, entries, peer)]
        for client, (clock, state) in news.items():
            if client in claims or len(claims) < CLAIM_LIMIT:
                entry = self._claim(client, peer, now)
                entry.clock, entry.state, entry.seen_at = clock, state, now
                heard.changed.append(client)
        return heard

    def receive_relayed(self, update: bytes, peer: int, now: float) -> Heard:
        """Take what another node says of its own connections; ``peer`` stands for that node.

        A live state takes the claim with it, at the same clock too: the client has moved there, and
        what its former connection says when it ends no longer counts (A11). Raises as ``receive``.
        """
        heard = Heard()
        self._claims.setdefault(peer, set())
        for client, (clock, state) in read_entries(update).items():
            entry = self._entries.get(client)
            is_news = self._is_news(client, clock, state, peer, None if state is None else client)
            if is_news:
                check_state(state)
            if is_news or (state is not None and entry is not None and clock == entry.clock):
                if entry is not None and entry.peer != peer:
                    heard.moved.append(client)
                claimed = self._claim(client, peer, now)
                claimed.seen_at = now
                if is_news:
                    claimed.clock, claimed.state = clock, state
                    heard.changed.append(client)
        return heard

    def receive_whole(self, update: bytes, peer: int, now: float) -> Heard:
        """Take all that another node has: whoever else was here through it leaves after the grace."""
        heard = self.receive_relayed(update, peer, now)
        for client in self._claims[peer] - read_entries(update).keys():
            self._claims[peer].discard(client)
            self._release(client, now)
        return heard

    def claimed_by(self, is_local: Callable[[int], bool]) -> list[int]:
        """The ids that are here through a connection for which ``is_local`` holds."""
        return [
            client
            for peer, clients in self._claims.items()
            if is_local(peer)
            for client in clients
            if self._entries[client].state is not None
        ]

    def _is_news(self, client: int, clock: int, state: bytes | None, peer: int, own: int | None) -> bool:
        """A2, A5."""
        entry = self._entries.get(client)
        if entry is None:
            return clock > 0
        if client != own and entry.peer is not None and entry.peer != peer:
            return False
        return entry.clock < clock or (entry.clock == clock and state is None and entry.state is not None)

    def _is_known_elsewhere(self, client: int, clock: int, state: bytes | None, peer: int) -> bool:
        entry = self._entries.get(client)
        return (
            entry is not None
            and entry.peer != peer
            and entry.clock == clock
            and entry.state is not None
            and state is not None
        )

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
        claimed = self._claims.pop(peer, set())
        gone = [client for client in claimed if clean and self._entries[client].state is not None]
        for client in claimed:
            self._release(client, now)
        for client in gone:
            _bury(self._entries[client], now)
        return gone

    def _release(self, client: int, now: float) -> None:
        entry = self._entries[client]
        entry.peer = None
        if entry.state is None:
            entry.seen_at = now
        else:
            entry.leaves_at = now + GRACE_S

    def recall(self, peer: int) -> bytes | None:
        """Write what makes ``peer`` announce its clients anew, None where it has none (A7)."""
        claimed = ((client, self._entries[client]) for client in self._claims.get(peer, ()))
        present = [(client, entry.clock, None) for client, entry in claimed if entry.state is not None]
        return encode_entries(present) if present else None

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

    def entries(self) -> Iterator[tuple[int, int, bytes]]:
        """Go through those who are here: id, clock, state."""
        for client, entry in self._entries.items():
            if entry.state is not None:
                yield client, entry.clock, entry.state

    def encode(self, clients: Iterable[int]) -> bytes:
        """Write the latest entries of ``clients``, but for the forgotten, as one awareness update."""
        entries = ((client, self._entries[client]) for client in clients if client in self._entries)
        return encode_entries([(client, entry.clock, entry.state) for client, entry in entries])


def _bury(entry: _Entry, now: float) -> None:
    # A6: the clock stays, for clock + 1 would tie with the returning client's next update and win.
    entry.state = None
    entry.leaves_at = None
    entry.seen_at = now
