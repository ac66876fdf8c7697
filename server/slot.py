"""One entry of the registry of rooms: what it knows of a document beside its room."""

import asyncio
from dataclasses import dataclass

from server.room import Room

__all__ = ["Slot"]

PAUSE_MIN_S, PAUSE_MAX_S = 0.1, 5.0
CALM_S = 60.0
"""A document that was not loaded anew for so long is loaded at once the next time."""


@dataclass(slots=True, eq=False)
class Slot:
    """A document that is being opened, live, or being unloaded."""

    name: str
    room: asyncio.Future[Room]
    users: int = 0
    unloading: asyncio.TimerHandle | asyncio.Task[None] | None = None
    reloaded: asyncio.Event | None = None
    """Only while the document is loaded anew: an event takes 850 bytes."""
    _pause_s: float = 0.0
    _calm_at: float = 0.0

    async def available(self) -> None:
        """Wait while the document is loaded anew."""
        while self.reloaded is not None:
            await self.reloaded.wait()

    def go_on(self) -> None:
        """Let everybody in who waits for the document; idempotent."""
        if self.reloaded is not None:
            self.reloaded.set()
            self.reloaded = None

    def reload_pause(self, now: float) -> float:
        """Return how long to wait before loading anew: the longer the oftener (B16)."""
        pause_s = self._pause_s if now < self._calm_at else 0.0
        self._pause_s = min(max(2 * pause_s, PAUSE_MIN_S), PAUSE_MAX_S)
        self._calm_at = now + CALM_S
        return pause_s
