"""Who is here, as a plain table: client id to clock and state, with the connection that speaks for it.

A server is no peer: the table never speaks for itself and time is an argument. Rules of the table
(references/protocol.md, A1–A12):

- an entry counts when its clock is new, or when it is null at the clock of a live state (A2);
- the id alone in a connection's first awareness message is its own, and is claimed for it even
  against an older connection; any other id only while nobody claims it (A5);
- leaving announces null at the same clock, only for ids still claimed by the one who leaves: at once
  after a close frame, after ``GRACE_S`` otherwise (A6);
- whoever announces its own id at a clock at which others may remember it without showing it is told that it
  left, and then announces itself again: where the room saw null at that clock, where another node had the
  client, and where the table is young (A7);
- who turns up on another node, at whatever clock, has moved there (A11); what nodes keep for joiners
  has no order, and moves nobody at the same clock (A12).

States are opaque JSON text, checked but never changed. What does not count of a message costs nobody
anything else (A3, A4).
"""

from collections.abc import Callable, Mapping
from math import inf

from crdt.awareness_entries import Entry, Said, encode_entries, flaw_of, read_entries
from crdt.awareness_table import AwarenessTable
from crdt.errors import ProtocolError
from crdt.heard import Flaw, Heard

__all__ = ["GRACE_S", "Awareness", "Heard"]

GRACE_S = 2.0
"""How long a client whose connection broke is still shown (A6)."""

OUTDATED_S = 45.0
"""A live state not renewed for so long is removed; clients renew every 15 s and forget after 30 (A8)."""

TOMBSTONE_S = 600.0
"""How long the clock of a client that left is remembered (A9)."""

CLAIM_LIMIT = 64
"""The most ids that one connection speaks for; entries for more are ignored (A10)."""

YOUNG_S = 30.0
"""How long after a room was opened those who come are taken to return after a restart (A7). Stock clients
renew within 18 s, connected or not: whoever returns later is remembered by nobody at the clock it has."""


class Awareness(AwarenessTable):
    """The presence of everybody on one document, and which connection speaks for whom."""

    __slots__ = ("_claims", "_reported", "_young_until")

    def __init__(self, opened_at: float = -inf) -> None:
        super().__init__()
        self._young_until = opened_at + YOUNG_S
        self._claims: dict[int, set[int]] = {}
        """For each connection that has spoken, the ids that it claims."""
        self._reported: set[int] | None = None
        """Of whom it was told that something did not count: a flood is told of once."""

    def receive(self, update: bytes, peer: int, now: float) -> Heard:
        """Take an awareness message of connection ``peer``.

        What does not count costs nothing else of the message. Raises ``Malformed`` where the bytes are no
        awareness update; nothing of them is taken then.
        """
        entries, flaw = read_entries(update, is_relayed=False)
        heard = Heard()
        self._report(flaw, peer, heard)
        if not entries:
            return heard
        own = entries[0][0] if peer not in self._claims and len(entries) == 1 else None
        claims = self._claims.setdefault(peer, set())
        for client, clock, state in entries:
            entry = self._entries.get(client)
            is_news = self._is_news(client, clock, state, peer, own)
            if client == own:
                heard.is_recalled = self._is_returning(entry, state, now)
                if entry is not None and entry.peer != peer and entry.is_here_at(clock, state):
                    heard.moved.append(client)
                entry = self._claim(client, peer, now)
                entry.is_relayed = False
            if entry is not None and entry.peer == peer and entry.has_left_at(clock, state):
                heard.corrected.append(client)
            if is_news and (client in claims or len(claims) < CLAIM_LIMIT):
                self._take(client, clock, state, peer, now, heard)
            elif is_news:
                self._report(Flaw("too many clients", len(update)), peer, heard)
        return heard

    def _is_returning(self, entry: Entry | None, state: bytes | None, now: float) -> bool:
        """Whether others may remember the clock of a client that they no longer show (A7).

        Stock clients do so with all others when their own connection breaks.
        """
        if state is None:
            return False
        if entry is not None and entry.clock:
            return entry.is_relayed
        return now < self._young_until

    def _take(
        self, client: int, clock: int, state: bytes | None, peer: int, now: float, heard: Heard
    ) -> None:
        """Take an entry that is news; a state that does not count leaves the former one in its place (A4)."""
        if flaw := flaw_of(state):
            self._report(flaw, peer, heard)
            state = self._entries[client].state if client in self._entries else None
            if state is None:
                return
        entry = self._claim(client, peer, now)
        entry.clock, entry.state, entry.seen_at = clock, state, now
        heard.changed.append(client)

    def _report(self, flaw: Flaw | None, peer: int, heard: Heard) -> None:
        if flaw is not None and peer not in (self._reported or ()):
            self._reported = self._reported or set()
            self._reported.add(peer)
            heard.flaws[peer] = flaw

    def receive_relayed(self, update: bytes, peer: int, now: float) -> Heard:
        """Take what another node says of its own connections; ``peer`` stands for that node.

        A live state takes the claim with it, at the same clock too: the client has moved there, and
        what its former connection says when it ends no longer counts (A11). Raises as ``receive``, and
        ``TooLarge`` for more than a node may tell.
        """
        heard = Heard()
        entries, flaw = read_entries(update, is_relayed=True)
        self._report(flaw, peer, heard)
        self._claims.setdefault(peer, set())
        for client, clock, state in entries:
            self._relayed(client, clock, state, peer, now, heard)
        return heard

    def receive_kept(self, kept: Mapping[int, bytes], asked_at: float, now: float) -> Heard:
        """Take all that other nodes keep of their connections, by the peer that stands for each.

        Who was here through one of them before ``asked_at``, and is no longer among what it keeps, leaves
        after the grace. Where two keep a client at one clock, as when one of them has died, nothing tells
        the later: who has the claim keeps it (A12). Of a node that keeps what ``receive_relayed`` would
        raise for, nothing is taken and nobody leaves.
        """
        heard = Heard()
        read: dict[int, list[Said]] = {}
        for peer, update in kept.items():
            try:
                read[peer], flaw = read_entries(update, is_relayed=True)
            except ProtocolError as error:
                flaw = Flaw(str(error), len(update))
            self._report(flaw, peer, heard)
        for peer, entries in read.items():
            for client in self._claims.setdefault(peer, set()) - {client for client, _, _ in entries}:
                if self._entries[client].seen_at < asked_at:
                    self._claims[peer].discard(client)
                    self._entries[client].release(now, GRACE_S)
        # Released first, taken then: who has moved is released by one node and taken for the other.
        for peer, entries in read.items():
            for client, clock, state in entries:
                entry = self._entries.get(client)
                if entry is None or entry.peer in (None, peer) or entry.clock < clock:
                    self._relayed(client, clock, state, peer, now, heard)
        return heard

    def _relayed(
        self, client: int, clock: int, state: bytes | None, peer: int, now: float, heard: Heard
    ) -> None:
        known = self._entries.get(client)
        former = peer if known is None else known.peer
        if self._is_news(client, clock, state, peer, None if state is None else client):
            self._take(client, clock, state, peer, now, heard)
        elif known is not None and known.is_here_at(clock, state):
            self._claim(client, peer, now).seen_at = now
        entry = self._entries.get(client)
        if entry is not None and entry.peer == peer:
            entry.is_relayed = True
            if former != peer:
                heard.moved.append(client)

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
        return entry.is_older_than(clock, state)

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
        if self._reported is not None:
            self._reported.discard(peer)
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
