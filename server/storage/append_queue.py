"""Puts appends in the order of their calls, and commits together what has come in meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from server.storage import Entry

__all__ = ["AppendQueue"]


@dataclass(frozen=True, slots=True)
class _Append:
    entries: Sequence[Entry]
    failure: asyncio.Future[Exception | None]


class AppendQueue:
    """One commit at a time, which takes everything that waits.

    The queue has no bound of its own: each caller waits for its call, and bounds what it has not yet
    stored. A commit outlives the callers that have gone.
    """

    def __init__(self, commit: Callable[[Sequence[Entry]], Awaitable[None]]) -> None:
        self._commit = commit
        self._waiting: list[_Append] = []
        self._writing: asyncio.Task[None] | None = None

    async def append(self, entries: Sequence[Entry]) -> None:
        """Commit the entries in their turn; raises what ``commit`` raised."""
        call = _Append(entries, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        # Unlike awaiting it, this leaves the future alone when the caller is cancelled.
        await asyncio.wait([call.failure])
        failure = call.failure.result()
        if failure is not None:
            raise failure

    async def finish(self) -> None:
        """Wait until nothing waits."""
        while self._writing is not None:
            await asyncio.wait([self._writing])

    async def _write(self) -> None:
        try:
            while self._waiting:
                calls, self._waiting = self._waiting, []
                failure = await self._failure_of([entry for call in calls for entry in call.entries])
                for call in calls:
                    call.failure.set_result(failure)
        finally:
            self._writing = None

    async def _failure_of(self, entries: Sequence[Entry]) -> Exception | None:
        try:
            await self._commit(entries)
        except Exception as error:
            return error
        return None
