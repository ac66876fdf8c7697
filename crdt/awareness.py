"""Who is here, as a plain table: client id to clock and state, with the connection that speaks for it.

A server is no peer: the table never speaks for itself and time is an argument. Rules of the table
(references/protocol.md, A1–A12):

- an entry counts when its clock is new, or when it is null at the clock of a live state (A2);
- the id alone in a connection's first awareness message is its own, and is claimed for it even
  against an older connection; any other id only while nobody claims it (A5);
- leaving announces null at the same clock, only for ids still claimed by the one who leaves: at once
  after a close frame, after ``GRACE_S`` otherwise (A6);
- whoever announces its own id at a clock at which the room already saw null is told so, and then
  announces itself again (A7);
- who turns up on another node, at whatever clock, has moved there (A11); what nodes keep for joiners
  has no order, and moves nobody at the same clock (A12).

States are opaque JSON text, checked but never changed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from crdt.awareness_entries import ENTRY_BYTES, Entry, check_state, encode_entries, in_parts, read_entries
from crdt.errors import ProtocolError
from crdt.heard import Heard

__all__ = ["GRACE_S", "Awareness", "Heard"]

GRACE_S = 2.0
"""How long a client whose connection broke is still shown (A6)."""

OUTDATED_S = 45.0
"""A live state not renewed for so long is removed; clients renew every 15 s and forget after 30 (A8)."""

TOMBSTONE_S = 600.0
"""How long the clock of a client that left is remembered (A9)."""

CLAIM_LIMIT = 64
"""The most ids that one connection speaks for; entries for more are ignored (A10)."""


class Awareness:
    """The presence of everybody on one document."""

    __slots__ = ("_claims", "_entries")

    def __init__(self) -> None:
        self._entries: dict[int, Entry] = {}
        self._claims: dict[int, set[int]] = {}
        """For each connection that has spoken, the ids that it claims."""

    def receive(self, update: bytes, peer: int, now: float) -> Heard:
        """Take an awareness message of connection ``peer``.

        Raises ``Malformed`` or ``TooLarge``; nothing of the message is taken then.
        """
        entries = read_entries(update, is_relayed=False)
        is_first = peer not in self._claims and bool(entries)
        own = next(iter(entries)) if is_first and len(entries) == 1 else None
        news = {client: new for client, new in entries.items() if self._is_news(client, *new, peer, own)}
        for _, state in news.values():
            check_state(state)
        claims = self._claims.setdefault(peer, set()) if entries else self._claims.get(peer, set())
        heard = Heard()
        if own is not None:
            if self._is_known(own, *entries[own]) and self._entries[own].peer != peer:
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
        for client, (clock, state) in self._read_relayed(update, peer).items():
            self._relayed(client, clock, state, peer, now, heard)
        return heard

    def receive_kept(self, kept: Mapping[int, bytes], asked_at: float, now: float) -> Heard:
        """Take all that other nodes keep of their connections, by the peer that stands for each.

        Who was here through one of them before ``asked_at``, and is no longer among what it keeps, leaves
        after the grace. Where two keep a client at one clock, as when one of them has died, nothing tells
        the later: who has the claim keeps it (A12). Of a node that keeps what ``receive`` would raise for,
        nothing is taken and nobody leaves.
        """
        heard = Heard()
        entries = {}
        for peer, update in kept.items():
            try:
                entries[peer] = self._read_relayed(update, peer)
            except ProtocolError as error:
                heard.refused[peer] = error
        for peer, clients in entries.items():
            for client in self._claims.setdefault(peer, set()) - clients.keys():
                if self._entries[client].seen_at < asked_at:
                    self._claims[peer].discard(client)
                    self._entries[client].release(now, GRACE_S)
        # Released first, taken then: who has moved is released by one node and taken for the other.
        for peer, clients in entries.items():
            for client, (clock, state) in clients.items():
                entry = self._entries.get(client)
                if entry is None or entry.peer in (None, peer) or entry.clock < clock:
                    self._relayed(client, clock, state, peer, now, heard)
        return heard

    def _read_relayed(self, update: bytes, peer: int) -> dict[int, tuple[int, bytes | None]]:
        """Read what a node tells; raises as ``receive``, before anything is taken."""
        entries = read_entries(update, is_relayed=True)
        for client, (clock, state) in entries.items():
            if self._is_news(client, clock, state, peer, client):
                check_state(state)
        return entries

    def _relayed(
        self, client: int, clock: int, state: bytes | None, peer: int, now: float, heard: Heard
    ) -> None:
        is_news = self._is_news(client, clock, state, peer, None if state is None else client)
        if not (is_news or self._is_known(client, clock, state)):
            return
        entry = self._entries.get(client)
        if entry is not None and entry.peer != peer:
            heard.moved.append(client)
        claimed = self._claim(client, peer, now)
        claimed.seen_at = now
        if is_news:
            claimed.clock, claimed.state = clock, state
            heard.changed.append(client)

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

    def _is_known(self, client: int, clock: int, state: bytes | None) -> bool:
        entry = self._entries.get(client)
        return entry is not None and None not in (entry.state, state) and entry.clock == clock

    def _is_outdated(self, client: int, entries: dict[int, tuple[int, bytes | None]], peer: int) -> bool:
        """A7."""
        entry = self._entries.get(client)
        if entry is None or entry.peer != peer or entry.state is not None or not entry.clock:
            return False
        clock, state = entries[client]
        return state is not None and clock <= entry.clock

    def _claim(self, client: int, peer: int, now: float) -> Entry:
        entry = self._entries.get(client)
        if entry is None:
            entry = self._entries[client] = Entry(0, None, peer, now)
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
            self._entries[client].release(now, GRACE_S)
        for client in gone:
            self._entries[client].bury(now)
        return gone

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
                entry.bury(now)
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

    def size_of(self, client: int) -> int:
        """How many bytes a client takes in an update, at most; 0 for one that was forgotten."""
        entry = self._entries.get(client)
        return 0 if entry is None else ENTRY_BYTES + len(entry.state or b"")

    def encode(self, clients: Iterable[int]) -> bytes:
        """Write the latest entries of ``clients``, but for the forgotten, as one awareness update."""
        return encode_entries(self._latest(clients))

    def encode_parts(self, clients: Iterable[int]) -> list[bytes]:
        """Write the same for members: as several updates where one would be too large (A3)."""
        return [encode_entries(part) for part in in_parts(self._latest(clients))]

    def _latest(self, clients: Iterable[int]) -> list[tuple[int, int, bytes | None]]:
        entries = ((client, self._entries[client]) for client in clients if client in self._entries)
        return [(client, entry.clock, entry.state) for client, entry in entries]
