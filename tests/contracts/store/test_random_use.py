"""Anything in any order, beside a dictionary that does the same."""

import asyncio
import random
from dataclasses import dataclass, field

from server.storage import Backlog, Entry, Snapshot
from tests.contracts.store.support import NAMES, Subject


@dataclass
class Model:
    """What one document should be, as a dictionary knows it."""

    snapshot: Snapshot | None = None
    generation: int = 0
    last_position: int = 0
    entries: dict[int, bytes] = field(default_factory=dict)


class RandomUse:
    """Random calls on a store, and the same ones on models, one per document."""

    def __init__(self, subject: Subject, seed: int) -> None:
        self.subject = subject
        self.random = random.Random(seed)
        self.models = {name: Model() for name in random.Random(seed).sample(NAMES, 5)}

    async def step(self) -> None:
        steps = (self.append, self.replace, self.replace_wrongly, self.reclaim, self.subject.reopen)
        await self.random.choices(steps, weights=(70, 10, 5, 3, 3))[0]()
        await self.check()

    async def append(self) -> None:
        batch = [self.next_entry() for _ in range(self.random.randrange(1, 90))]
        for name in self.models:
            again = [entry for entry in batch if entry.document == name][:2]
            batch += [Entry(name, entry.position, b"not the first") for entry in again]
        cut = self.random.randrange(len(batch))
        taken = await asyncio.gather(
            self.subject.store.append(batch[:cut]), self.subject.store.append(batch[cut:])
        )
        assert {entry.update for entry in [*taken[0], *taken[1]]} <= {b"not the first"}

    def next_entry(self) -> Entry:
        name, model = self.random.choice(list(self.models.items()))
        model.last_position += 1
        update = self.random.randbytes(self.random.choice([0, 5, 40, 300, 5000]))
        model.entries[model.last_position] = update
        return Entry(name, model.last_position, update)

    async def replace(self) -> None:
        name, model = self.random.choice(list(self.models.items()))
        oldest = model.snapshot.position if model.snapshot else 0
        position = self.random.randint(oldest, model.last_position)
        model.snapshot = Snapshot(self.random.randbytes(self.random.randrange(20_000)), position, 3)
        # Of the entries after the snapshot the latest stays, for it alone tells the latest position.
        beyond = [at for at in model.entries if position < at < model.last_position]
        folded = [at for at in model.entries if at <= position] + self.random.sample(
            beyond, len(beyond) // 10
        )
        assert await self.subject.store.replace(
            name, model.snapshot, folded=folded, generation=model.generation
        )
        model.generation += 1
        model.entries = {at: update for at, update in model.entries.items() if at not in folded}

    async def replace_wrongly(self) -> None:
        name, model = self.random.choice(list(self.models.items()))
        wrong = model.generation + self.random.choice([-1, 1])
        late = Snapshot(b"late", model.last_position, 1)
        folded = list(model.entries)
        assert not await self.subject.store.replace(name, late, folded=folded, generation=wrong)

    async def reclaim(self) -> None:
        await self.subject.store.reclaim()

    async def check(self) -> None:
        for name, model in self.models.items():
            stored = await self.subject.store.load(name)
            assert (stored.snapshot, stored.generation) == (model.snapshot, model.generation)
            assert stored.last_position == model.last_position
            assert list(stored.entries) == [Entry(name, *entry) for entry in sorted(model.entries.items())]
        waiting = {
            Backlog(name, len(model.entries), sum(map(len, model.entries.values())))
            for name, model in self.models.items()
            if model.entries
        }
        assert set(await self.subject.store.backlog()) == waiting


async def test_random_use_agrees_with_a_dictionary(subject: Subject, seed: int) -> None:
    use = RandomUse(subject, seed)
    for _ in range(120):
        await use.step()
