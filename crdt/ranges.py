"""Ranges of clocks of one client, each from a clock up to, not including, an end.

A list of them is *joined* when it ascends, and no two meet or overlap.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from operator import itemgetter

from crdt.update import DeleteRange

__all__ = ["by_client", "common", "extend", "gaps", "is_within", "joined", "touches"]


def by_client(deletes: Iterable[DeleteRange]) -> dict[int, list[tuple[int, int]]]:
    """Return for each client what is deleted, ``joined``."""
    ranges: dict[int, list[tuple[int, int]]] = {}
    for client, clock, end in deletes:
        ranges.setdefault(client, []).append((clock, end))
    return {client: joined(deleted) for client, deleted in ranges.items()}


def joined(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return ranges from a clock to an end in ascending order, joined where they meet or overlap."""
    result: list[tuple[int, int]] = []
    for clock, end in sorted(ranges):
        if result and clock <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((clock, end))
    return result


def extend(ranges: list[tuple[int, int]], more: Iterable[tuple[int, int]]) -> None:
    """Add ``more``, which mostly goes on where the last range ended."""
    for clock, end in more:
        if ranges and ranges[-1][1] == clock:
            ranges[-1] = (ranges[-1][0], end)
        else:
            ranges.append((clock, end))


def is_within(clock: int, end: int, ranges: Sequence[tuple[int, int]]) -> bool:
    """Whether one of ``ranges``, which are joined, holds all of it."""
    index = bisect_right(ranges, clock, key=itemgetter(0)) - 1
    return index >= 0 and end <= ranges[index][1]


def touches(clock: int, end: int, ranges: Sequence[tuple[int, int]]) -> bool:
    """Whether one of ``ranges``, which are joined, holds any of it."""
    index = bisect_left(ranges, end, key=itemgetter(0)) - 1
    return index >= 0 and clock < ranges[index][1]


def gaps(ranges: Sequence[tuple[int, int]], end: int) -> list[tuple[int, int]]:
    """Return what joined ``ranges`` leave out below ``end``."""
    starts = [0, *(stop for _, stop in ranges)]
    stops = [*(start for start, _ in ranges), end]
    return [(start, stop) for start, stop in zip(starts, stops, strict=True) if start < stop]


def common(ranges: Sequence[tuple[int, int]], others: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return what is in both of two joined lists."""
    result = []
    one = other = 0
    while one < len(ranges) and other < len(others):
        clock, end = max(ranges[one][0], others[other][0]), min(ranges[one][1], others[other][1])
        if clock < end:
            result.append((clock, end))
        if ranges[one][1] < others[other][1]:
            one += 1
        else:
            other += 1
    return result
