"""What every store promises (server/storage/__init__.py), for each store in ``KINDS``."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from server.storage import Backlog, Entry, Snapshot, Store, StoreClosed, Stored
from server.storage.memory import MemoryStore
from server.storage.postgres import PostgresStore
from server.storage.redis import RedisStore
from server.storage.sqlite import SqliteStore
from tests.support.postgres_server import PostgresServer
from tests.support.redis_server import RedisCluster, RedisServer

Open = Callable[[], AbstractAsyncContextManager[Store]]


@asynccontextmanager
async def open_memory() -> AsyncIterator[Store]:
    store = MemoryStore()
    yield store
    await store.close()


@pytest.fixture(scope="module")
def postgres_server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    with RedisCluster(tmp_path_factory.mktemp("redis-cluster")) as cluster:
        yield cluster


@pytest.fixture
def memory() -> Open:
    return open_memory


@pytest.fixture
def sqlite(tmp_path: Path) -> Open:
    return lambda: SqliteStore.open(tmp_path)


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> Open:
    url = postgres_server.new_database()
    return lambda: PostgresStore.open(url)


@pytest.fixture
def redis(redis_server: RedisServer) -> Open:
    redis_server.flush()
    return lambda: RedisStore.open(redis_server.url)


@pytest.fixture
def cluster(redis_cluster: RedisCluster) -> Open:
    redis_cluster.flush()
    return lambda: RedisStore.open(redis_cluster.url)


KINDS = ["memory", "sqlite", "postgres", "redis", "cluster"]
"""The fixtures that say how to open a store, on something of the test's own."""


class Subject:
    """The store under test, and a way to see what outlives it."""

    store: Store

    def __init__(self, open: Open) -> None:
        self.is_lasting = open is not open_memory
        """Whether opening again finds what was there."""
        self._open = open
        self._stack = AsyncExitStack()

    async def open(self) -> None:
        self.store = await self._stack.enter_async_context(self._open())

    async def close(self) -> None:
        await self._stack.aclose()

    async def reopen(self) -> None:
        """End the store and open what it left; nothing happens to a store that does not last."""
        if self.is_lasting:
            await self.close()
            await self.open()


@pytest.fixture(params=KINDS)
def opener(request: pytest.FixtureRequest) -> Open:
    """Say how to open a store of each kind; starts only the servers that the chosen tests need."""
    chosen: Open = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture
async def subject(opener: Open) -> AsyncIterator[Subject]:
    subject = Subject(opener)
    await subject.open()
    yield subject
    await subject.close()


def entries(document: str, positions: Sequence[int], text: str = "update") -> list[Entry]:
    return [Entry(document, position, f"{document} {position} {text}".encode()) for position in positions]


async def both(subject: Subject, document: str) -> Stored:
    """Load from the open store and from the reopened one, and see that they agree."""
    before = await subject.store.load(document)
    await subject.reopen()
    after = await subject.store.load(document)
    assert list(before.entries) == list(after.entries)
    assert (before.snapshot, before.generation, before.last_position) == (
        after.snapshot,
        after.generation,
        after.last_position,
    )
    return after


async def test_an_unknown_document_is_empty(subject: Subject) -> None:
    stored = await both(subject, "nobody")
    assert (stored.snapshot, stored.generation, list(stored.entries), stored.last_position) == (
        None,
        0,
        [],
        0,
    )


async def test_entries_come_back_in_order_of_position(subject: Subject) -> None:
    await subject.store.append(entries("a", [2, 3]))
    await subject.store.append(entries("a", [1]))
    stored = await both(subject, "a")
    assert list(stored.entries) == entries("a", [1, 2, 3])
    assert stored.last_position == 3


async def test_bytes_come_back_as_they_were(subject: Subject) -> None:
    updates = [b"", b"\x00", b"\xff" * 3, bytes(range(256)), random.Random(1).randbytes(1_000_000)]
    written = [Entry("a", position, update) for position, update in enumerate(updates, 1)]
    await subject.store.append(written)
    assert list((await both(subject, "a")).entries) == written


async def test_appending_nothing_changes_nothing(subject: Subject) -> None:
    await subject.store.append([])
    assert list(await subject.store.backlog()) == []


async def test_an_entry_appended_again_stays_the_first_one(subject: Subject) -> None:
    await subject.store.append(entries("a", [1, 2]))
    await subject.store.append(entries("a", [2, 3, 3], "other"))
    stored = await both(subject, "a")
    assert list(stored.entries) == entries("a", [1, 2]) + entries("a", [3], "other")


async def test_two_documents_are_independent(subject: Subject) -> None:
    await subject.store.append([*entries("a", [1]), *entries("b", [1, 2]), *entries("a", [2])])
    assert await subject.store.replace("b", Snapshot(b"b", 2, 1), generation=0)
    assert list((await both(subject, "a")).entries) == entries("a", [1, 2])
    assert list((await both(subject, "b")).entries) == []


async def test_overlapping_appends_take_effect_in_the_order_of_the_calls(subject: Subject) -> None:
    calls = [
        entries("a", [position], f"call {call}")
        for call in range(5)
        for position in range(call + 1, call + 301)
    ]
    await asyncio.gather(*map(subject.store.append, calls))
    first: dict[int, Entry] = {}
    for (entry,) in calls:
        first.setdefault(entry.position, entry)
    assert list((await both(subject, "a")).entries) == [first[position] for position in range(1, 305)]


async def test_a_batch_of_many_documents_is_stored_whole(subject: Subject) -> None:
    batch = [entry for number in range(300) for entry in entries(f"doc {number}", [1, 2])]
    random.Random(2).shuffle(batch)
    await subject.store.append(batch)
    await subject.reopen()
    for number in range(300):
        stored = await subject.store.load(f"doc {number}")
        assert list(stored.entries) == entries(f"doc {number}", [1, 2])


async def test_replace_keeps_the_entries_after_its_position(subject: Subject) -> None:
    await subject.store.append(entries("a", range(1, 6)))
    assert await subject.store.replace("a", Snapshot(b"three", 3, 7), generation=0)
    stored = await both(subject, "a")
    assert (stored.snapshot, stored.generation) == (Snapshot(b"three", 3, 7), 1)
    assert list(stored.entries) == entries("a", [4, 5])


async def test_of_two_competing_replaces_exactly_one_wins(subject: Subject) -> None:
    await subject.store.append(entries("a", range(1, 4)))
    rivals = [Snapshot(b"one", 1, 1), Snapshot(b"two", 2, 2)]
    won = await asyncio.gather(*(subject.store.replace("a", rival, generation=0) for rival in rivals))
    assert sorted(won) == [False, True]
    winner = rivals[won.index(True)]
    stored = await both(subject, "a")
    assert (stored.snapshot, stored.generation) == (winner, 1)
    assert list(stored.entries) == entries("a", range(winner.position + 1, 4))


@pytest.mark.parametrize("generation", [0, 2])
async def test_a_replace_with_another_generation_changes_nothing(subject: Subject, generation: int) -> None:
    await subject.store.append(entries("a", [1, 2]))
    assert await subject.store.replace("a", Snapshot(b"one", 1, 1), generation=0)
    assert not await subject.store.replace("a", Snapshot(b"late", 2, 2), generation=generation)
    assert not await subject.store.replace("unknown", Snapshot(b"late", 2, 2), generation=1)
    stored = await both(subject, "a")
    assert (stored.snapshot, stored.generation) == (Snapshot(b"one", 1, 1), 1)
    assert list(stored.entries) == entries("a", [2])
    assert (await both(subject, "unknown")).last_position == 0


async def test_a_snapshot_replaces_the_one_before(subject: Subject) -> None:
    for generation in range(3):
        position = generation + 1
        await subject.store.append(entries("a", [position]))
        snapshot = Snapshot(b"%d" % position, position, position)
        assert await subject.store.replace("a", snapshot, generation=generation)
    stored = await both(subject, "a")
    assert (stored.snapshot, stored.generation, stored.last_position) == (Snapshot(b"3", 3, 3), 3, 3)


async def test_a_snapshot_needs_no_entries_before_it(subject: Subject) -> None:
    assert await subject.store.replace("a", Snapshot(b"imported", 5, 0), generation=0)
    stored = await both(subject, "a")
    assert (stored.snapshot, stored.last_position) == (Snapshot(b"imported", 5, 0), 5)


async def test_a_snapshot_never_goes_back(subject: Subject) -> None:
    assert await subject.store.replace("a", Snapshot(b"five", 5, 0), generation=0)
    with pytest.raises(AssertionError):
        await subject.store.replace("a", Snapshot(b"four", 4, 0), generation=1)
    assert (await both(subject, "a")).snapshot == Snapshot(b"five", 5, 0)


async def test_positions_are_not_given_out_again_after_replace(subject: Subject) -> None:
    await subject.store.append(entries("a", [1, 2, 3]))
    assert await subject.store.replace("a", Snapshot(b"all", 3, 1), generation=0)
    stored = await both(subject, "a")
    assert (list(stored.entries), stored.last_position) == ([], 3)


async def test_an_entry_that_the_snapshot_holds_is_not_seen_again(subject: Subject) -> None:
    await subject.store.append(entries("a", [1, 2, 3]))
    assert await subject.store.replace("a", Snapshot(b"all", 3, 1), generation=0)
    await subject.store.append(entries("a", [2, 3, 4]))
    stored = await both(subject, "a")
    assert list(stored.entries) == entries("a", [4])
    assert [document.rows for document in await subject.store.backlog()] == [1]


async def test_backlog_lists_what_is_not_in_a_snapshot_largest_first(subject: Subject) -> None:
    await subject.store.append(
        [Entry("small", 1, b"1"), Entry("large", 1, b"1" * 50_000), Entry("large", 2, b"2")]
    )
    await subject.store.append([Entry("folded", position, b"1" * 99_000) for position in (1, 2)])
    assert await subject.store.replace("folded", Snapshot(b"", 2, 0), generation=0)
    expected = [Backlog("large", 2, 50_001), Backlog("small", 1, 1)]
    assert list(await subject.store.backlog()) == expected
    await subject.reopen()
    assert list(await subject.store.backlog()) == expected


async def test_backlog_lists_more_documents_than_one_step_reads(subject: Subject) -> None:
    names = [f"doc {number:03}" for number in range(450)]
    await subject.store.append([Entry(name, 1, b"x") for name in names])
    assert sorted(document.document for document in await subject.store.backlog()) == names


async def test_reclaim_keeps_every_document(subject: Subject) -> None:
    await subject.store.append([Entry("a", position, b"x" * 10_000) for position in range(1, 300)])
    await subject.store.append(entries("a", [300]) + entries("b", [1]))
    assert await subject.store.replace("a", Snapshot(b"a", 299, 1), generation=0)
    await subject.store.reclaim()
    stored = await both(subject, "a")
    assert (stored.snapshot, list(stored.entries)) == (Snapshot(b"a", 299, 1), entries("a", [300]))
    assert list((await both(subject, "b")).entries) == entries("b", [1])


NAMES = [
    "a",
    "A",
    "a/b",
    "/a//b/",
    "a b",
    " a",
    "%2F",
    "é",
    "e\N{COMBINING ACUTE ACCENT}",
    "日本/語",
    "\N{GRINNING FACE}" * 63,
    "x" * 255,
    "'; DROP TABLE entries; --",
]


async def test_every_name_is_a_document_of_its_own(subject: Subject) -> None:
    await subject.store.append([entry for name in NAMES for entry in entries(name, [1])])
    await subject.reopen()
    for name in NAMES:
        assert list((await subject.store.load(name)).entries) == entries(name, [1])
    assert sorted(document.document for document in await subject.store.backlog()) == sorted(NAMES)


async def test_a_cancelled_append_is_still_stored_and_later_calls_stay_right(subject: Subject) -> None:
    for position in range(1, 40, 2):
        cancelled = asyncio.create_task(subject.store.append(entries("a", [position])))
        await asyncio.sleep(0)
        cancelled.cancel()
        await subject.store.append(entries("a", [position + 1]))
        await asyncio.wait([cancelled])
    assert list((await both(subject, "a")).entries) == entries("a", range(1, 41))


async def test_a_cancelled_load_or_replace_leaves_later_calls_right(subject: Subject) -> None:
    await subject.store.append(entries("a", range(1, 20)))
    for attempt in range(20):
        generation = (await subject.store.load("a")).generation
        snapshot = Snapshot(b"%d" % attempt, 1, 1)
        calls = [
            asyncio.create_task(subject.store.load("a")),
            asyncio.create_task(subject.store.replace("a", snapshot, generation=generation)),
        ]
        await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
        stored = await subject.store.load("a")
        assert list(stored.entries) == entries("a", range(2 if stored.snapshot else 1, 20))
    await subject.reopen()
    assert list((await both(subject, "a")).entries)[-1:] == entries("a", [19])


async def test_close_finishes_the_calls_under_way(subject: Subject) -> None:
    appends = [
        asyncio.create_task(subject.store.append(entries("a", [position]))) for position in range(1, 50)
    ]
    replaced = asyncio.create_task(subject.store.replace("b", Snapshot(b"b", 1, 1), generation=0))
    loaded = asyncio.create_task(subject.store.load("a"))
    await asyncio.sleep(0)
    await subject.store.close()
    await asyncio.gather(*appends, loaded)
    assert await replaced
    if subject.is_lasting:
        await subject.reopen()
        assert list((await subject.store.load("a")).entries) == entries("a", range(1, 50))
        assert (await subject.store.load("b")).snapshot == Snapshot(b"b", 1, 1)


async def test_calls_after_close_say_so_and_closing_again_is_harmless(subject: Subject) -> None:
    store = subject.store
    await asyncio.gather(store.close(), store.close())
    await store.close()
    for call in (
        store.append(entries("a", [1])),
        store.load("a"),
        store.replace("a", Snapshot(b"", 1, 0), generation=0),
        store.backlog(),
        store.reclaim(),
    ):
        with pytest.raises(StoreClosed):
            await call


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
        await asyncio.gather(self.subject.store.append(batch[:cut]), self.subject.store.append(batch[cut:]))

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
        assert await self.subject.store.replace(name, model.snapshot, generation=model.generation)
        model.generation += 1
        model.entries = {at: update for at, update in model.entries.items() if at > position}

    async def replace_wrongly(self) -> None:
        name, model = self.random.choice(list(self.models.items()))
        wrong = model.generation + self.random.choice([-1, 1])
        late = Snapshot(b"late", model.last_position, 1)
        assert not await self.subject.store.replace(name, late, generation=wrong)

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
