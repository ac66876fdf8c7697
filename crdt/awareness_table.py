"""What is known of everybody on one document, as it is told: knows nothing of who may change it."""

from collections.abc import Iterable, Iterator

from crdt.awareness_entries import ENTRY_BYTES, Entry, Said, encode_entries, in_parts

__all__ = ["AwarenessTable"]


class AwarenessTable:
    """The latest entry of each client that is here, or left a while ago."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: dict[int, Entry] = {}

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

    def clock_of(self, client: int) -> int:
        """The clock of a client that is here, 0 of any other."""
        entry = self._entries.get(client)
        return 0 if entry is None or entry.state is None else entry.clock

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

    def _latest(self, clients: Iterable[int]) -> list[Said]:
        entries = ((client, self._entries[client]) for client in clients if client in self._entries)
        return [(client, entry.clock, entry.state) for client, entry in entries]
