"""What the tests of the Redis store share."""

__all__ = ["TIMEOUT_S", "LATE", "QUARANTINE", "SNAPSHOT", "STREAM"]

TIMEOUT_S = 2.0
"""Short, as many tests wait for it, and longer than a busy machine stalls."""

STREAM, SNAPSHOT, LATE, QUARANTINE = (
    f"cowrite:0:{{a}}:{what}" for what in ("stream", "snapshot", "late", "quarantine")
)
