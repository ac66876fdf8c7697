"""What could not be folded, and how long each of those documents is left alone.

A refused fold costs as much as one that is done, and mostly fails again. So the pauses grow; and each reason
is news once.
"""

from dataclasses import dataclass, field

__all__ = ["FIRST_PAUSE_S", "LIMIT", "LONGEST_PAUSE_S", "FoldRefusals"]

FIRST_PAUSE_S = 60.0
"""What the log lacks may be on its way, or the folding process live again."""

LONGEST_PAUSE_S = 3_600.0
"""Each pause is twice the one before, up to this: the 5 s for 4 MB of paragraphs are 0.2 % of a core then."""

LIMIT = 10_000
"""Documents remembered. Of more, the one refused longest ago is forgotten: tried again, and told of again."""

REASONS = 8
"""Reasons told of one document; more are no news."""


@dataclass(slots=True)
class _Refusal:
    pause_s: float
    ends_at: float
    reasons: set[str] = field(default_factory=set)


class FoldRefusals:
    """The documents whose latest fold was refused; ``now`` is monotonic."""

    def __init__(self) -> None:
        self._refusals: dict[str, _Refusal] = {}

    def add(self, document: str, reason: str, now: float) -> bool:
        """Note a refusal, and begin a pause; return whether ``reason`` is news."""
        known = self._refusals.pop(document, None)
        if known is None:
            known = _Refusal(FIRST_PAUSE_S, now)
        else:
            known.pause_s = min(2 * known.pause_s, LONGEST_PAUSE_S)
        known.ends_at = now + known.pause_s
        # Behind all others: the first is the one refused longest ago.
        self._refusals[document] = known
        if len(self._refusals) > LIMIT:
            del self._refusals[next(iter(self._refusals))]
        is_news = reason not in known.reasons and len(known.reasons) < REASONS
        if is_news:
            known.reasons.add(reason)
        return is_news

    def is_paused(self, document: str, now: float) -> bool:
        """Whether a document is to be left alone."""
        known = self._refusals.get(document)
        return known is not None and now < known.ends_at

    def forget(self, document: str) -> bool:
        """Learn that a document was folded; return whether it had been refused."""
        return self._refusals.pop(document, None) is not None
