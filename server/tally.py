"""What peers provoke, in the log: the first of a kind at once, the others as one count for each interval.

Time is an argument.
"""

import logging
from collections.abc import Hashable, Mapping
from dataclasses import dataclass

__all__ = ["INTERVAL_S", "Tally"]

INTERVAL_S = 60.0
KINDS_LIMIT = 256
"""Kinds told apart at once; all beyond them are one more kind of each level, which names none of them."""
OTHERS = "more kinds of events than are told apart"


@dataclass(slots=True)
class _Kind:
    logger: logging.Logger
    level: int
    text: str
    fields: Mapping[str, object]
    since: float
    more: int = 0


class Tally:
    """Logs no more than one line an interval for each kind of event, and for at most ``KINDS_LIMIT``."""

    def __init__(self, interval_s: float = INTERVAL_S) -> None:
        self._interval_s = interval_s
        self._kinds: dict[Hashable, _Kind] = {}

    def note(
        self,
        kind: Hashable,
        now: float,
        logger: logging.Logger,
        text: str,
        fields: Mapping[str, object],
        level: int = logging.WARNING,
    ) -> None:
        """Log an event, or count it where one of its kind was logged less than an interval ago."""
        self.look(now)
        if kind not in self._kinds and len(self._kinds) >= KINDS_LIMIT:
            kind, text, fields = (OTHERS, level), OTHERS, {}
        known = self._kinds.get(kind)
        if known is not None:
            known.more += 1
            return
        logger.log(level, "%s", text, extra=fields)
        self._kinds[kind] = _Kind(logger, level, text, fields, now)

    def look(self, now: float) -> None:
        """Log the counts of the intervals that are over."""
        due = [kind for kind, known in self._kinds.items() if now - known.since >= self._interval_s]
        for kind in due:
            known = self._kinds.pop(kind)
            if known.more:
                self._log(known, now)
                self._kinds[kind] = _Kind(known.logger, known.level, known.text, known.fields, now)

    def close(self, now: float) -> None:
        """Log what is counted and not logged yet; idempotent."""
        for known in self._kinds.values():
            if known.more:
                self._log(known, now)
        self._kinds.clear()

    def _log(self, known: _Kind, now: float) -> None:
        words = "%s (%d more in %.0f s)"
        known.logger.log(known.level, words, known.text, known.more, now - known.since, extra=known.fields)
