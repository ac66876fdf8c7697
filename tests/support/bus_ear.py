"""A listener of a bus that remembers what it heard."""

from server.bus import BusEntry
from tests.support.polling import PATIENCE_S, poll

__all__ = ["Ear"]


class Ear:
    """Everything that a bus told, in order."""

    def __init__(self) -> None:
        self.entries: list[BusEntry] = []
        self.presence: list[tuple[str, bytes]] = []
        self.doubts = 0

    @property
    def updates(self) -> list[bytes]:
        """The updates of the entries heard."""
        return [entry.update for entry in self.entries]

    def entry_arrived(self, entry: BusEntry) -> None:
        """Remember an entry."""
        self.entries.append(entry)

    def presence_arrived(self, node: str, update: bytes) -> None:
        """Remember presence."""
        self.presence.append((node, update))

    def doubt(self) -> None:
        """Count a doubt."""
        self.doubts += 1

    async def hears(self, update: bytes) -> None:
        """Return once ``update`` has come, as an entry or as presence."""

        async def has_come() -> bool:
            return update in self.updates or update in [heard for _, heard in self.presence]

        await poll(has_come, PATIENCE_S, f"the listener hears {update!r}")

    async def doubts_again(self, before: int) -> None:
        """Return once it was told to doubt more often than ``before``."""

        async def has_doubted() -> bool:
            return self.doubts > before

        await poll(has_doubted, PATIENCE_S, "the listener is told to doubt")
