"""Who is on one document, here and on other nodes: what the members and the other nodes still have to hear.

Changes are collected and taken once a flush, the latest entry of each client (references/protocol.md, R5).
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from crdt.awareness import Awareness, Heard
from crdt.awareness_entries import NODE_LIMIT, NODE_LIMIT_BYTES
from crdt.errors import Malformed

__all__ = ["Presence"]

KEEP_INTERVAL_S = 1.0
"""How often who is here is written for joiners on other nodes while nobody comes or leaves: a hundred people
who move their carets would be 10 MB/s else."""

ANSWER_S = 0.25
"""How long members hear nothing of a client that was asked to announce itself anew (A7), which takes a round
trip: thousands may return at once, and everybody is told of each."""

TIMER_SLACK_S = 0.005
"""uvloop's timers may come a millisecond early."""

NOBODY = b"\x00"
"""An awareness update of no clients."""

COUNT_BYTES = 8
"""What an awareness update takes beside its entries at most."""


class Presence:
    """The presence table of a room, with what was not told yet.

    ``announce`` is called when members have something to hear, ``publish`` when other nodes have.
    """

    __slots__ = (
        "_announce",
        "_keeping",
        "_keeps_at",
        "_kept",
        "_nodes",
        "_publish",
        "_unannounced",
        "_unkept",
        "_unpublished",
        "_withdrawal",
        "awareness",
    )

    def __init__(self, announce: Callable[[], None], publish: Callable[[], None]) -> None:
        self.awareness = Awareness(asyncio.get_running_loop().time())
        self._announce = announce
        self._publish = publish
        self._unannounced: dict[int, None] = {}
        self._unpublished: dict[int, None] = {}
        self._unkept: dict[int, None] = {}
        """Of whom other nodes have heard, but not those who will join there."""
        self._kept: frozenset[int] | None = None
        """Who was here when that was kept for joiners last."""
        self._keeps_at = 0.0
        """When it is to be kept anew, if nobody comes or leaves before."""
        self._keeping: asyncio.TimerHandle | None = None
        self._nodes: dict[str, int] = {}
        """The peer that stands for each other node in the table: below zero."""
        self._withdrawal: asyncio.TimerHandle | None = None

    def changed(self, clients: Sequence[int], *, are_asked: bool = False) -> None:
        """Note what a connection of this node brought about.

        Members hear of those who were asked to announce themselves anew when they have, or in a moment.
        """
        if are_asked:
            clocks = [(client, self.awareness.clock_of(client)) for client in clients]
            asyncio.get_running_loop().call_later(ANSWER_S, self._relay_unanswered, clocks)
        else:
            self._relay(clients)
        self._unpublished.update(dict.fromkeys(clients))
        self._publish()

    def _relay_unanswered(self, clocks: Sequence[tuple[int, int]]) -> None:
        clock_of = self.awareness.clock_of
        if silent := [client for client, clock in clocks if clock_of(client) == clock > 0]:
            self._relay(silent)

    def _relay(self, clients: Sequence[int]) -> None:
        self._unannounced.update(dict.fromkeys(clients))
        self._announce()

    def expire(self, now: float) -> None:
        """Withdraw clients that are gone."""
        if gone := self.awareness.expire(now):
            self.changed(gone)

    def withdraw_in_time(self) -> None:
        """Have everybody whose connection broke withdrawn as soon as the grace is over."""
        leaves_at = self.awareness.next_leave if self._withdrawal is None else None
        if leaves_at is not None:
            at = leaves_at + TIMER_SLACK_S
            self._withdrawal = asyncio.get_running_loop().call_at(at, self._withdraw)

    def _withdraw(self) -> None:
        self._withdrawal = None
        self.expire(asyncio.get_running_loop().time())
        self.withdraw_in_time()

    def hear_node(self, node: str, update: bytes, now: float) -> None:
        """Take what another node tells of its own connections.

        Raises ``ProtocolError`` for what of it does not count, when all else was taken.
        """
        peer = self._peer_of(node)
        heard = self.awareness.receive_relayed(update, peer, now)
        self._heard(heard)
        if flaw := heard.flaws.get(peer):
            raise Malformed(str(flaw))

    def hear_all(
        self, kept: Mapping[str, bytes], living: Collection[str], asked_at: float, now: float
    ) -> None:
        """Take all that the other nodes keep, asked for at ``asked_at`` as something may have been missed.

        A node of ``living`` that keeps nothing has nobody here. Raises ``ProtocolError`` for what of it does
        not count, when all else was taken.
        """
        nodes = {*kept, *(node for node in self._nodes if node in living)}
        by_peer = {self._peer_of(node): kept.get(node, NOBODY) for node in nodes}
        heard = self.awareness.receive_kept(by_peer, asked_at, now)
        self._heard(heard)
        self.withdraw_in_time()
        flaws = {node: heard.flaws[peer] for node in nodes if (peer := self._peer_of(node)) in heard.flaws}
        if flaws:
            raise Malformed("; ".join(f"node {node}: {flaw}" for node, flaw in flaws.items()))

    def _peer_of(self, node: str) -> int:
        return self._nodes.setdefault(node, -1 - len(self._nodes))

    def _heard(self, heard: Heard) -> None:
        if heard.changed:
            self._relay(heard.changed)
        if heard.moved:
            # Who has moved away is no longer among those that this node keeps for joiners.
            self._publish()

    def forget_node(self, node: str, now: float) -> None:
        """Withdraw, after the grace, who was here through a node that has died and does not come back."""
        if node in self._nodes:
            self.awareness.leave(self._nodes[node], now, clean=False)
            self.withdraw_in_time()

    def take_for_members(self) -> list[bytes]:
        """Return the updates with what the members have not heard."""
        if not self._unannounced:
            return []
        unannounced, self._unannounced = self._unannounced, {}
        return self.awareness.encode_parts(unannounced)

    def take_for_nodes(self, now: float) -> tuple[Iterable[int], bytes, bytes | None]:
        """Return the clients of whom other nodes have not heard, their entries, and who is here through this
        node; ``give_back`` the clients where they cannot be told.

        Who is here is None while the same are as a moment ago. What is too much for other nodes to take at
        once (A3) is told another time.
        """
        everybody = self.here() if self._begin_keeping(now) else None
        told = self._fitting(self._unpublished)
        for client in told:
            del self._unpublished[client]
        if self._unpublished:
            self._publish()
        if everybody is None:
            self._unkept.update(dict.fromkeys(told))
            self._keep_in_time()
        return told, self.awareness.encode(told), everybody

    def _begin_keeping(self, now: float) -> bool:
        """Whether who is here has to be kept for joiners now, which the caller does."""
        local = frozenset(self._local())
        if local == self._kept and now < self._keeps_at:
            return False
        self._kept, self._keeps_at = local, now + KEEP_INTERVAL_S
        if self._keeping is not None:
            self._keeping.cancel()
            self._keeping = None
        # Who joined since the last time was given what was kept then. Who moved away is not told of (A11).
        told_again = dict.fromkeys(client for client in self._unkept if client in local)
        self._unpublished, self._unkept = told_again | self._unpublished, {}
        return True

    def _keep_in_time(self) -> None:
        if self._unkept and self._keeping is None:
            at = self._keeps_at + TIMER_SLACK_S
            self._keeping = asyncio.get_running_loop().call_at(at, self._publish)

    def here(self) -> bytes:
        """Return who is here through this node, nothing at all for nobody.

        Where that is too much for other nodes (A3), the largest are left out: stock clients are small.
        """
        local = self._local()
        kept = self._fitting(local)
        if len(kept) < len(local):
            kept = self._fitting(sorted(local, key=self.awareness.size_of))
        return self.awareness.encode(kept) if kept else b""

    def _local(self) -> list[int]:
        return self.awareness.claimed_by(lambda peer: peer > 0)

    def _fitting(self, clients: Iterable[int]) -> list[int]:
        """As many of ``clients``, from the first, as one update to other nodes may hold."""
        fitting: list[int] = []
        left_bytes = NODE_LIMIT_BYTES - COUNT_BYTES
        for client in clients:
            left_bytes -= self.awareness.size_of(client)
            if left_bytes < 0 or len(fitting) == NODE_LIMIT:
                break
            fitting.append(client)
        return fitting

    def give_back(self, unpublished: Iterable[int]) -> None:
        """Have the other nodes told another time; bounded by the clients that the table remembers."""
        self._unpublished.update(dict.fromkeys(unpublished))
        self._kept = None
        self._publish()

    def everybody(self) -> list[bytes]:
        """Return the updates with everybody who is here."""
        return self.awareness.encode_parts(self.awareness.present)
