"""How log lines look: one line an event, the fields that name document and connection at its end."""

import logging
import sys

from server.tally import INTERVAL_S

__all__ = ["Seldom", "configure"]

FIELDS = ("document", "connection", "code", "path", "address")


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        named = ((name, getattr(record, name, None)) for name in FIELDS)
        return line + "".join(f" {name}={value!r}" for name, value in named if value is not None)


class Seldom(logging.Filter):
    """Lets a warning of uvicorn through once a minute, with how many were kept back: peers cause it (L11)."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[str, tuple[float, int]] = {}
        """When each was let through last, and how many were not since. Their texts are fixed."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is to be logged."""
        if (record.name, record.levelno) != ("uvicorn.error", logging.WARNING):
            return True
        at, kept_back = self._seen.get(str(record.msg), (float("-inf"), 0))
        if record.created - at < INTERVAL_S:
            self._seen[str(record.msg)] = at, kept_back + 1
            return False
        self._seen[str(record.msg)] = record.created, 0
        if kept_back:
            record.args, record.msg = None, f"{record.getMessage()} ({kept_back} more before)"
        return True


def configure(level: str) -> None:
    """Send the log of ``cowrite`` and uvicorn to standard error; never raises."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Seldom())
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    for name, threshold in (("cowrite", level), ("uvicorn", "warning"), ("server", level)):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(threshold.upper())
