"""What the tests of the Redis store share."""

__all__ = ["LATE", "QUARANTINE", "SNAPSHOT", "STREAM"]

STREAM, SNAPSHOT, LATE, QUARANTINE = (
    f"cowrite:0:{{a}}:{what}" for what in ("stream", "snapshot", "late", "quarantine")
)
