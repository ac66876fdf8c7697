"""How log lines look: one line an event, the fields that name document and connection at its end."""

import logging
import sys

__all__ = ["configure"]

FIELDS = ("document", "connection", "code", "path", "address")


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        named = ((name, getattr(record, name, None)) for name in FIELDS)
        return line + "".join(f" {name}={value!r}" for name, value in named if value is not None)


def configure(level: str) -> None:
    """Send the log of ``cowrite`` and uvicorn to standard error; never raises."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    for name, threshold in (("cowrite", level), ("uvicorn", "warning"), ("server", level)):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(threshold.upper())
