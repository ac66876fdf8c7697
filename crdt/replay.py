"""Takes the updates of a log, in whatever order they come."""

from collections.abc import Callable, Iterable

from crdt.document import Document
from crdt.update import Update

__all__ = ["take_all"]


def take_all(
    document: Document, updates: Iterable[Update], accept: Callable[[Update], None] = lambda part: None
) -> list[Update]:
    """Take updates in any order as far as possible, telling ``accept`` every part that was new.

    Returns what still waits for something unknown; raises as ``Intake.steps``.
    """
    waiting = list(updates)
    progress = True
    while waiting and progress:
        progress = False
        rests = []
        for update in waiting:
            intake = document.intake(update)
            for part in intake.run():
                accept(part)
                progress = True
            if intake.rest is not None:
                rests.append(intake.rest)
        waiting = rests
    return waiting
