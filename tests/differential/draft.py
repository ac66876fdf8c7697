"""An update while it is written: who has written what, where it sits, and what may refer to it.

Structs are placed as several people would place them who have not heard of all of each other's edits.
The order of a place is what its last writer saw, not what integration makes of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from crdt.encoding import encode_var_uint
from crdt.update import DELETED, GC, SKIP, TYPE
from tests.crdt.build import Id, item
from tests.differential.contents import Content
from tests.differential.traits import SEVERAL_UNDER_A_KEY, SPLIT_PAIR

__all__ = ["Draft", "Place"]

CLIENTS = (0, 1, 2, 7, 300, 2**31, 2**32 - 1, 2**53 - 1)
ROOTS = ("t", "t", "a", "m", "", "é😀", "__proto__")
MAP_KEYS = ("k", "n", "", "__proto__", "é")
PARENTS = {TYPE: 1.0, DELETED: 0.3, GC: 0.3}
"""How often others are put into a struct of that kind; into those that are no types seldom."""
CARELESS = 0.02
"""How often somebody edits between the halves of a surrogate pair."""


@dataclass(slots=True, eq=False)
class Place:
    """A sequence, or one key, of a root or of an item."""

    parent: str | Id
    key: str | None = None
    spans: list[tuple[Id, Id]] = field(default_factory=list)
    """The first and last id of what stands here and is not to be split: two ids for a surrogate pair."""


class Draft:
    """Structs of a few clients, each with a clock, none of them integrated."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.clients = random.sample(CLIENTS, random.choice((1, 1, 2, 3)))
        self.clocks = dict.fromkeys(self.clients, 0)
        self.structs: dict[int, list[tuple[int, bytes]]] = {client: [] for client in self.clients}
        """For each client (clock, bytes) of its structs."""
        self.traits: set[str] = set()
        self._places = [Place(random.choice(ROOTS))]
        self._seconds: set[Id] = set()

    def add(self, client: int, content: Content) -> None:
        """Write a struct of ``client``, somewhere."""
        here = (client, self.clocks[client])
        if content.kind in (GC, SKIP):
            data = bytes((content.kind,)) + content.data
        else:
            place = self._choose_place(content)
            left, right = self._choose_origins(place)
            data = item(
                content.kind, content.data, left=left, right=right, parent=place.parent, key=place.key
            )
            self._settle(place, left, here, content)
        self._seconds.update((client, here[1] + offset) for offset in content.seconds)
        self.structs[client].append((here[1], data))
        self.clocks[client] += content.length
        self.traits |= content.traits
        if content.kind != SKIP and self.random.random() < PARENTS.get(content.kind, 0.02):
            self._places.append(Place(here))

    def delete(self) -> tuple[int, int, int] | None:
        """Choose (client, clock, end) to delete, now and then beyond what the client wrote."""
        client = self.random.choice(self.clients)
        start = self.random.randrange(self.clocks[client] + 1)
        end = start + self.random.choice((1, 1, 2, 5))
        if self.random.random() < 0.9:
            end = min(end, self.clocks[client])
        if start == end:
            return None
        if (client, start) in self._seconds and not self._is_careless():
            start -= 1
        if (client, end) in self._seconds and not self._is_careless():
            end += 1
        return client, start, end

    def knows(self) -> list[tuple[int, int]]:
        """Return a state vector that a peer may have who heard the beginning."""
        known = [(client, self.random.randint(0, clock)) for client, clock in self.clocks.items()]
        return [(client, clock + ((client, clock) in self._seconds)) for client, clock in known]

    def _choose_place(self, content: Content) -> Place:
        random = self.random
        chance = random.random()
        if chance < 0.15:
            self._places.append(Place(random.choice(ROOTS)))
            return self._places[-1]
        place = random.choice(self._places)
        if chance < 0.3:
            place = Place(place.parent, random.choice(MAP_KEYS))
            self._places.append(place)
        if place.key is not None and content.length > 1 and content.kind != DELETED:
            if random.random() < 0.8:
                return self._places[0]
            self.traits.add(SEVERAL_UNDER_A_KEY)
        return place

    def _choose_origins(self, place: Place) -> tuple[Id | None, Id | None]:
        """The neighbours, as somebody sees them who may not have heard of the latest ids here."""
        seen, random = place.spans, self.random
        if not seen or random.random() < 0.1:
            return None, None
        if place.key is not None:
            return (random.choice(seen) if random.random() < 0.2 else seen[-1])[1], None
        if random.random() < 0.2:
            kept = set(random.sample(seen, random.randint(1, len(seen))))
            seen = [each for each in seen if each in kept]
        at = random.randint(0, len(seen))
        left, right = seen[at - 1] if at else None, seen[at] if at < len(seen) else None
        if left is not None and left[0] != left[1] and self._is_careless():
            return left
        return left and left[1], right and right[0] if random.random() < 0.9 else None

    def _is_careless(self) -> bool:
        if self.random.random() >= CARELESS:
            return False
        self.traits.add(SPLIT_PAIR)
        return True

    def _settle(self, place: Place, left: Id | None, here: Id, content: Content) -> None:
        client, clock = here
        seconds = {clock + offset for offset in content.seconds}
        spans = [
            ((client, first), (client, first + (first + 1 in seconds)))
            for first in range(clock, clock + content.length)
            if first not in seconds
        ]
        lasts = [last for _, last in place.spans]
        at = lasts.index(left) + 1 if left in lasts else 0
        place.spans[at:at] = spans


def encode(
    sections: Sequence[tuple[int, int, Sequence[bytes]]], deletes: Sequence[tuple[int, Sequence[Id]]]
) -> bytes:
    """Put (client, clock, structs) and (client, ranges) together in the order given."""
    parts = [encode_var_uint(len(sections))]
    for client, clock, structs in sections:
        parts += map(encode_var_uint, (len(structs), client, clock))
        parts += structs
    parts.append(encode_var_uint(len(deletes)))
    for client, ranges in deletes:
        parts += (encode_var_uint(client), encode_var_uint(len(ranges)))
        parts += (encode_var_uint(clock) + encode_var_uint(length) for clock, length in ranges)
    return b"".join(parts)
