"""Who is on one document, here and on other nodes: what the members and the other nodes still have to hear.

Changes are collected and taken once a flush, the latest entry of each client (references/protocol.md, R5).
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from crdt.awareness import Awareness, Heard

__all__ = ["Presence"]

NOBODY = b"\x00"
"""An awareness update of no clients."""


class Presence:
    """The presence table of a room, with what was not told yet.

    ``announce`` is called when members have something to hear, ``publish`` when other nodes have.
    """

    __slots__ = ("_announce", "_nodes", "_publish", "_unannounced", "_unpublished", "awareness")

    def __init__(self, announce: Callable[[], None], publish: Callable[[], None]) -> None:
        self.awareness = Awareness()
        self._announce = announce
        self._publish = publish
        self._unannounced: dict[int, None] = {}
        self._unpublished: dict[int, None] = {}
        self._nodes: dict[str, int] = {}
        """The peer that stands for each other node in the table: below zero."""

    def changed(self, clients: Sequence[int]) -> None:
        """Note what a connection of this node brought about."""
        self._relay(clients)
        self._unpublished.update(dict.fromkeys(clients))
        self._publish()

    def _relay(self, clients: Sequence[int]) -> None:
        self._unannounced.update(dict.fromkeys(clients))
        self._announce()

    def expire(self, now: float) -> None:
        """Withdraw clients that are gone."""
        if gone := self.awareness.expire(now):
            self.changed(gone)

    def hear_node(self, node: str, update: bytes, now: float) -> None:
        """Take what another node tells of its own connections; raises ``ProtocolError``."""
        peer = self._nodes.setdefault(node, -1 - len(self._nodes))
        self._heard(self.awareness.receive_relayed(update, peer, now))

    def hear_all(self, everybody: Mapping[str, bytes], living: Collection[str], now: float) -> None:
        """Take all that the other nodes keep, after something may have been missed.

        A node of ``living`` that is not among them has nobody here. Raises ``ProtocolError``.
        """
        for node in {*everybody, *(node for node in self._nodes if node in living)}:
            peer = self._nodes.setdefault(node, -1 - len(self._nodes))
            self._heard(self.awareness.receive_whole(everybody.get(node, NOBODY), peer, now))

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

    def take_for_members(self) -> bytes | None:
        """Return what the members have not heard, None if that is nothing."""
        unannounced, self._unannounced = self._unannounced, {}
        return self.awareness.encode(unannounced) if unannounced else None

    def take_for_nodes(self) -> tuple[Iterable[int], bytes, bytes]:
        """Return the clients of whom other nodes have not heard, their entries, and who is here through this
        node; ``give_back`` the clients where they cannot be told.
        """
        unpublished, self._unpublished = self._unpublished, {}
        local = self.awareness.claimed_by(lambda peer: peer > 0)
        return (
            unpublished,
            self.awareness.encode(unpublished),
            self.awareness.encode(local) if local else b"",
        )

    def give_back(self, unpublished: Iterable[int]) -> None:
        """Have the other nodes told another time; bounded by the clients that the table remembers."""
        self._unpublished.update(dict.fromkeys(unpublished))
        self._publish()

    def everybody(self) -> bytes | None:
        """Return everybody who is here, None for nobody."""
        present = self.awareness.present
        return self.awareness.encode(present) if present else None
