"""When a peer is dead, stuck, flooded or in need of a sign of life. Time is an argument.

Stock clients drop a connection on which no application message came for 30 s, whatever pings came
(references/protocol.md, T4–T6).
"""

__all__ = ["Health"]

LOOK_S = 2.5
"""How often somebody looks after a connection."""
PING_AFTER_S = 7.5
"""Silence after which a ping is sent: at most 10 s."""
DEAD_AFTER_S = 17.0
"""Silence after which the peer is dead: noticed within 20 s."""
ANSWER_S = 5.0
"""How long it had a ping to answer by then, however late somebody looked."""
KEEPALIVE_AFTER_S = 15.0
"""Time without any message to the peer after which an empty one is sent."""
FLOOD_LIMIT_BYTES = 1_048_576
"""What a peer that is behind may add to its queue by asking for more."""


class Health:
    """What is known of one peer's connection."""

    __slots__ = (
        "_asked_at",
        "_asked_bytes",
        "_behind_since",
        "_heard_at",
        "_kept_at",
        "_pinged_at",
        "_slow_s",
        "_unsent",
    )

    def __init__(self, now: float, slow_s: float) -> None:
        self._slow_s = slow_s
        self._heard_at = self._kept_at = self._pinged_at = now
        self._asked_at: float | None = None
        """When the first ping since was sent."""
        self._behind_since: float | None = None
        self._asked_bytes = 0
        self._unsent = 0

    def hear(self, now: float) -> None:
        """Note that bytes came, or that it is we who do not read."""
        self._heard_at = now
        self._asked_at = None

    def is_dead(self, now: float) -> bool:
        """Whether nothing was heard for too long, not even the answer to a ping."""
        is_unanswered = self._asked_at is not None and now - self._asked_at >= ANSWER_S
        return is_unanswered and now - self._heard_at >= DEAD_AFTER_S

    def wants_ping(self, now: float) -> bool:
        """Whether it is time to ask for a sign of life; true once for each time it is."""
        if now - max(self._heard_at, self._pinged_at) < PING_AFTER_S:
            return False
        self._pinged_at = now
        self._asked_at = self._asked_at or now
        return True

    def wants_keepalive(self, now: float, written_at: float) -> bool:
        """Whether the peer needs a message to stay; ``written_at`` is when all were last written to."""
        latest = self._kept_at if self.is_behind else max(self._kept_at, written_at)
        if now - latest < KEEPALIVE_AFTER_S:
            return False
        self._kept_at = now
        return True

    @property
    def is_behind(self) -> bool:
        """Whether the write budget is exceeded."""
        return self._behind_since is not None

    def fall_behind(self, now: float) -> None:
        """Note that the write budget is exceeded."""
        self._behind_since = now
        self._asked_bytes = 0

    def drain(self) -> None:
        """Note that the peer has taken most of it."""
        self._behind_since = None

    def measure(self, now: float, unsent_bytes: int) -> None:
        """Note how much waits: whoever takes something is slow, not stuck."""
        if self.is_behind and unsent_bytes < self._unsent:
            self._behind_since = now
        self._unsent = unsent_bytes

    def is_stuck(self, now: float) -> bool:
        """Whether the peer is behind and has taken nothing for too long."""
        return self._behind_since is not None and now - self._behind_since >= self._slow_s

    def is_flooded(self, size_bytes: int) -> bool:
        """Whether a peer that is behind has asked for too much more, ``size_bytes`` of it now."""
        if not self.is_behind:
            return False
        self._asked_bytes += size_bytes
        return self._asked_bytes > FLOOD_LIMIT_BYTES
