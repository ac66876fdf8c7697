"""Random updates of every kind of content beside every other: the same ones for the same seed and number."""

from dataclasses import dataclass
from random import Random

from tests.crdt.build import Id
from tests.differential.contents import KINDS, content
from tests.differential.draft import Draft, encode
from tests.differential.hostility import break_grammar, mutate
from tests.differential.values import PLAIN

__all__ = ["PAIRS", "Case", "generate"]

PAIRS = [(first, second) for first in KINDS for second in (*KINDS, None)]
"""All ordered pairs of kinds, and every kind alone: one after the other, all in 132 cases."""


@dataclass(frozen=True, slots=True)
class Case:
    """Updates as they come from one peer, in order."""

    name: str
    updates: tuple[bytes, ...]
    traits: frozenset[str] = PLAIN
    known: tuple[tuple[int, int], ...] = ()
    """A state vector somewhere in the middle, for a peer that comes back."""


def generate(seed: int, number: int) -> Case:
    """Write case ``number`` of ``seed``."""
    random = Random(seed << 32 | number)
    first, second = PAIRS[number % len(PAIRS)]
    draft = Draft(random)
    if second is None:
        draft.add(draft.clients[0], content(first, random))
    else:
        _fill(draft, random)
        client = random.choice(draft.clients)
        draft.add(client, content(first, random))
        draft.add(client, content(second, random))
        _fill(draft, random)
    updates = _encode(draft, random)
    chance = random.random()
    if chance < 0.06:
        updates = (break_grammar(draft, updates[-1]),)
    elif chance < 0.16:
        updates = (mutate(draft, updates[-1]),)
    return Case(f"{seed}:{number}", updates, frozenset(draft.traits), tuple(draft.knows()))


def _fill(draft: Draft, random: Random) -> None:
    for _ in range(random.choice((0, 0, 1, 2, 4))):
        draft.add(random.choice(draft.clients), content(random.choice(KINDS[:-1]), random))


def _encode(draft: Draft, random: Random) -> tuple[bytes, ...]:
    clients = sorted((client for client in draft.clients if draft.structs[client]), reverse=True)
    if random.random() < 0.1:
        random.shuffle(clients)
    deletes = _deletes(draft, random)
    whole = encode([_section(draft, client) for client in clients], deletes)
    chance = random.random()
    if chance < 0.75:
        return (whole,)
    if chance < 0.8:
        # Nobody has what comes before.
        cuts = {client: random.randrange(len(draft.structs[client])) for client in clients}
        return (encode([_section(draft, client, start=cuts[client]) for client in clients], deletes),)
    cuts = {client: random.randint(0, len(draft.structs[client])) for client in clients}
    before = encode([_section(draft, client, stop=cuts[client]) for client in clients if cuts[client]], ())
    rest = [client for client in clients if cuts[client] < len(draft.structs[client])]
    after = encode([_section(draft, client, start=cuts[client]) for client in rest], deletes)
    return random.choice(((before, after), (after, before), (before, whole)))


def _section(
    draft: Draft, client: int, start: int = 0, stop: int | None = None
) -> tuple[int, int, list[bytes]]:
    structs = draft.structs[client][start:stop]
    return client, structs[0][0], [data for _, data in structs]


def _deletes(draft: Draft, random: Random) -> list[tuple[int, list[Id]]]:
    deleted: dict[int, set[int]] = {}
    for _ in range(random.choice((0, 0, 0, 1, 2, 3))):
        if (chosen := draft.delete()) is not None:
            deleted.setdefault(chosen[0], set()).update(range(chosen[1], chosen[2]))
    return [(client, _ranges(clocks)) for client, clocks in deleted.items()]


def _ranges(clocks: set[int]) -> list[Id]:
    """Ranges as clients write them: in order, apart from each other."""
    starts = sorted(clock for clock in clocks if clock - 1 not in clocks)
    ends = sorted(clock + 1 for clock in clocks if clock + 1 not in clocks)
    return [(start, end - start) for start, end in zip(starts, ends, strict=True)]
