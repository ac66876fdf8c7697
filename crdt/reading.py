"""How yrs reads the content of a struct, compared with Yjs: alike, or so that somebody has to step in.

Yjs is what people write with, so what Yjs reads is right (references/protocol.md, U13–U16).
"""

from enum import IntEnum

__all__ = ["Reading"]


class Reading(IntEnum):
    """What has to happen to content; the highest of several counts."""

    ALIKE = 0
    """Nothing: yrs reads what Yjs reads, and writes what means the same."""
    ALTERED = 1
    """yrs would write another value: a stand-in enters the Doc, and the content is kept beside it."""
    UNREADABLE = 2
    """yrs refuses or misreads it: it is written anew, so that everybody reads what Yjs reads."""
    UNTAKABLE = 3
    """It is beyond a limit: it is taken as deleted, and its author is told."""
