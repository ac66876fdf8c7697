"""An update while it is written: who has written what, where it sits, and what may refer to it.

Several people write, and none has heard of all that the others wrote.
"""

from collections.abc import Iterator, Sequence
from random import Random

from crdt.content import DELETED, GC, SKIP, TYPE
from crdt.encoding import encode_var_uint
from tests.crdt.build import Id, item
from tests.differential.contents import Content
from tests.differential.places import Place, Span
from tests.differential.traits import SEVERAL_UNDER_A_KEY, SPLIT_PAIR

__all__ = ["Draft", "encode"]

CLIENTS = (0, 1, 2, 7, 300, 2**31, 2**32 - 1, 2**53 - 1)
ROOTS = ("t", "t", "a", "m", "", "é😀", "__proto__")
MAP_KEYS = ("k", "n", "", "__proto__", "é")
PARENTS = {TYPE: 1.0, DELETED: 0.3, GC: 0.3}
"""How often others are put into a struct of that kind; into those that are no types seldom."""
CARELESS = 0.02
"""How often somebody edits between the halves of a surrogate pair."""


class Draft:
    """Structs of a few clients, each with a clock, none of them integrated."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.clients = random.sample(CLIENTS, random.choice((1, 1, 2, 3)))
        self.clocks = dict.fromkeys(self.clients, 0)
        self.structs: dict[int, list[tuple[int, bytes]]] = {client: [] for client in self.clients}
        """For each client (clock, bytes) of its structs."""
        self.traits: set[str] = set()
        self._time = 0
        self._heard = dict.fromkeys(self.clients, 0)
        """Up to when each client knows everything."""
        self._places: dict[tuple[str | Id, str | None], Place] = {}
        self._enter(random.choice(ROOTS), None)
        self._seconds: set[Id] = set()

    def add(self, client: int, content: Content) -> None:
        """Write a struct of ``client``, somewhere."""
        here = (client, self.clocks[client])
        self._time += 1
        if content.kind in (GC, SKIP):
            data = bytes((content.kind,)) + content.data
        else:
            place = self._choose_place(content)
            left, right = self._choose_origins(client, place)
            data = item(
                content.kind, content.data, left=left, right=right, parent=place.parent, key=place.key
            )
            place.insert(list(self._spans(here, content, left, right)))
        self._seconds.update((client, here[1] + offset) for offset in content.seconds)
        self.structs[client].append((here[1], data))
        self.clocks[client] += content.length
        self.traits |= content.traits
        if content.kind != SKIP and self.random.random() < PARENTS.get(content.kind, 0.02):
            self._enter(here, None)

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

    def _enter(self, parent: str | Id, key: str | None) -> Place:
        time = 0 if isinstance(parent, str) else self._time
        return self._places.setdefault((parent, key), Place(parent, key, time))

    def _choose_place(self, content: Content) -> Place:
        random = self.random
        chance = random.random()
        if chance < 0.15:
            return self._enter(random.choice(ROOTS), None)
        places = list(self._places.values())
        place = random.choice(places)
        if chance < 0.3:
            place = self._enter(place.parent, random.choice(MAP_KEYS))
        if place.key is not None and content.length > 1 and content.kind != DELETED:
            if random.random() < 0.8:
                return places[0]
            self.traits.add(SEVERAL_UNDER_A_KEY)
        return place

    def _choose_origins(self, client: int, place: Place) -> tuple[Id | None, Id | None]:
        """Choose neighbours, as ``client`` sees them, who may not have heard of the latest."""
        random = self.random
        heard = max(self._heard[client], place.time)
        if random.random() < 0.7:
            heard = random.choice((self._time, random.randint(heard, self._time)))
        self._heard[client] = heard
        seen = place.seen_by(client, heard)
        if place.key is not None:
            return (seen[-1].last if seen else None), None
        at = random.randint(0, len(seen))
        left, right = seen[at - 1] if at else None, seen[at] if at < len(seen) else None
        if left is not None and left.first != left.last and self._is_careless():
            return left.first, left.last
        return None if left is None else left.last, None if right is None else right.first

    def _is_careless(self) -> bool:
        if self.random.random() >= CARELESS:
            return False
        self.traits.add(SPLIT_PAIR)
        return True

    def _spans(self, here: Id, content: Content, left: Id | None, right: Id | None) -> Iterator[Span]:
        client, clock = here
        for offset in range(content.length):
            if offset in content.seconds:
                continue
            first = (client, clock + offset)
            last = (client, first[1] + (offset + 1 in content.seconds))
            yield Span(first, last, left, right, self._time)
            left = last


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
