"""Puts appends in the order of their calls, and commits together what has come in meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from server.storage import Entry, PartlyStored, StoreUnavailable

__all__ = ["AppendQueue"]


@dataclass(frozen=True, slots=True)
class _Append:
    entries: Sequence[Entry]
    outcome: asyncio.Future[Sequence[Entry] | Exception]


class AppendQueue:
    """One commit at a time, which takes everything that waits.

    The queue has no bound of its own: each caller waits for its call, and bounds what it has not yet
    stored. A commit outlives the callers that have gone.
    """

    def __init__(self, commit: Callable[[Sequence[Entry]], Awaitable[Sequence[Entry]]]) -> None:
        self._commit = commit
        self._waiting: list[_Append] = []
        self._writing: asyncio.Task[None] | None = None

    async def append(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Commit the entries in their turn; returns those of them that ``commit`` did; raises as it did."""
        call = _Append(entries, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        if self._writing is None:
            # In no TaskGroup, for no caller may own it: it ends by itself, and ``finish`` waits for it.
            self._writing = asyncio.create_task(self._write())
        # Unlike awaiting it, this leaves the future alone when the caller is cancelled.
        await asyncio.wait([call.outcome])
        outcome = call.outcome.result()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def finish(self) -> None:
        """Wait until nothing waits."""
        while self._writing is not None:
            await asyncio.wait([self._writing])

    async def _write(self) -> None:
        try:
            while self._waiting:
                calls, self._waiting = self._waiting, []
                outcome = await self._outcome_of([entry for call in calls for entry in call.entries])
                for call in calls:
                    call.outcome.set_result(_share_of(call.entries, outcome))
        finally:
            self._writing = None

    async def _outcome_of(self, entries: Sequence[Entry]) -> Sequence[Entry] | Exception:
        try:
            return await self._commit(entries)
        except Exception as error:
            return error


def _share_of(entries: Sequence[Entry], outcome: Sequence[Entry] | Exception) -> Sequence[Entry] | Exception:
    """What of a commit's outcome is for the one who brought these entries."""
    if isinstance(outcome, PartlyStored):
        return _share_of_part(entries, outcome)
    return outcome if isinstance(outcome, Exception) else _among(entries, outcome)


def _share_of_part(entries: Sequence[Entry], outcome: PartlyStored) -> Sequence[Entry] | Exception:
    unstored, taken = _among(entries, outcome.unstored), _among(entries, outcome.taken)
    if not unstored:
        return taken
    if len(unstored) == len(entries):
        return StoreUnavailable(outcome.reason)
    return PartlyStored(unstored, taken, outcome.reason)


def _among(entries: Sequence[Entry], chosen: Sequence[Entry]) -> Sequence[Entry]:
    held = set(chosen)
    return [entry for entry in entries if entry in held]
