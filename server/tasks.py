"""What runs beside the connections: nothing of it may fail and leave a server that goes on without it."""

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine
from typing import Protocol

__all__ = ["Errands", "StoppingTasks", "Tasks"]

logger = logging.getLogger("cowrite.node")

Work = Coroutine[None, None, None]


class Tasks(Protocol):
    """Starts tasks and owns them: an ``asyncio.TaskGroup``, or the node's."""

    def create_task(self, work: Work, /) -> asyncio.Task[None]:
        """Start ``work``."""


class Errands:
    """The tasks of one owner: one that fails is recovered from, and ``close`` ends all of them."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._started: set[asyncio.Task[None]] = set()

    def start(self, work: Work, recover: Callable[[], None] = lambda: None) -> asyncio.Task[None]:
        """Start ``work``; ``recover`` is called if it fails of anything that it did not expect."""
        task = self._tasks.create_task(_recovering(work, recover))
        self._started.add(task)
        task.add_done_callback(self._started.discard)
        task.add_done_callback(lambda _: work.close())  # if it was cancelled before its first step
        return task

    def close(self) -> None:
        """End what is under way; idempotent."""
        for task in self._started:
            task.cancel()


async def _recovering(work: Work, recover: Callable[[], None]) -> None:
    try:
        await work
    except Exception:
        logger.critical("something failed that should not", exc_info=True)
        recover()


class StoppingTasks:
    """The tasks of a node: the server stops when one of them fails, rather than go on and forget (R10)."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self.failure: BaseException | None = None
        """Of the task that failed first."""

    def create_task(self, work: Work, /) -> asyncio.Task[None]:
        """Start ``work``; it ends with the group."""
        task = self._group.create_task(self._or_stop(work))
        task.add_done_callback(lambda _: work.close())  # if it was cancelled before its first step
        return task

    async def _or_stop(self, work: Work) -> None:
        try:
            await work
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            # A panic of yrs is no Exception, and ends the group as quietly: the server would serve on.
            if self.failure is None:
                logger.critical("stopping, for a part of the server failed", exc_info=True)
                self.failure = error
                signal.raise_signal(signal.SIGTERM)
