"""Everything fails at random while people write: in the end all agree, and nothing acknowledged is lost."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from random import Random

from tests.faults.agreement import check_agreement
from tests.faults.faults import Faults
from tests.support.clients import NodeClients
from tests.support.ledger import Author, Ledger
from tests.support.nodes import run_nodes, start_all
from tests.support.polling import PATIENCE_S, poll
from tests.support.postgres_server import PostgresServer
from tests.support.raw_client import RawClient
from tests.support.redis_server import RedisServer
from tests.support.server_process import ServerProcess
from tests.support.tcp_proxy import TcpProxy

NODES = 3
AUTHORS = 12
PAUSE_S = 0.2
"""Between two edits of one author, on average."""
ERASE_CHANCE, DEATH_CHANCE = 0.25, 0.01
ONE_QUESTION_S = 10.0
"""Then the author writes on: everything may be down."""
ENDS = 5
SWEEP_S = 0.02
"""Short enough that the document is folded and trimmed all the time, whenever nobody writes for a moment."""
FOLDS = 10
"""How many folds there are at least: there are more faults until then."""
WORK_S = 2.0
LONGEST_REST_S = 3.0
"""Of all authors, until a fold begins. It may be that none can, because of a fault."""


class Folds:
    """How often nodes came to the end of a fold, by what they ask of Redis through proxies."""

    def __init__(self, proxies: Sequence[TcpProxy]) -> None:
        self.count = 0
        self.begins = asyncio.Event()
        """Set whenever a document is claimed, to be folded, or given free."""
        for proxy in proxies:
            proxy.on_request = self._look

    def _look(self, piece: bytes) -> None:
        self.count += b"XTRIM" in piece
        if b":fold:claim" in piece:
            self.begins.set()

    @property
    def are_enough(self) -> bool:
        """Whether there were as many as there should be."""
        return self.count >= FOLDS


async def acknowledge(author: Author, stop: asyncio.Event) -> None:
    """Wait for an acknowledgement for a while, and no longer when told to stop."""
    asking = asyncio.create_task(author.acknowledge(ONE_QUESTION_S))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((asking, stopping), return_when=asyncio.FIRST_COMPLETED)
        if asking.done():
            asking.result()
    finally:
        for task in (asking, stopping):
            task.cancel()


async def comes(event: asyncio.Event, within_s: float) -> bool:
    """Wait for an event for a while, and tell whether it has come."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), within_s)
    return event.is_set()


class Crowd:
    """Authors who write until they are told to stop; some die without a word, and others take their place."""

    def __init__(
        self,
        clients: NodeClients,
        nodes: Sequence[ServerProcess],
        document: str,
        *,
        acknowledge_chance: float = 0.15,
    ) -> None:
        self.ledger = Ledger()
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._acknowledge_chance = acknowledge_chance
        self._clients = clients
        self._nodes = nodes
        self._document = document
        self._count = 0

    async def write(self, random: Random, stop: asyncio.Event) -> Author:
        """Write as one author after the other; return the last."""
        author = await self._enter(random)
        while not stop.is_set():
            await asyncio.sleep(random.uniform(0, 2 * PAUSE_S))
            await self._may_write.wait()
            if random.random() < ERASE_CHANCE:
                await author.erase()
            else:
                await author.insert(random.random())
            if random.random() < self._acknowledge_chance:
                await acknowledge(author, stop)
            if random.random() < DEATH_CHANCE:
                await author.client.abandon()
                author = await self._enter(random)
        return author

    async def rest_for(self, folds: Folds, stop: asyncio.Event) -> None:
        """Rest now and then until a fold begins: where all write all the time, none may ever do."""
        while not await comes(stop, WORK_S):
            folds.begins.clear()
            self._may_write.clear()
            await comes(folds.begins, LONGEST_REST_S)
            self._may_write.set()

    async def _enter(self, random: Random) -> Author:
        self._count += 1
        url = random.choice(self._nodes).ws_root
        return Author(await self._clients.open(str(self._count), url, self._document), self.ledger)


@asynccontextmanager
async def behind_proxies(redis: RedisServer) -> AsyncIterator[list[TcpProxy]]:
    """Give each node a way of its own to Redis."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(TcpProxy.open(redis.port)) for _ in range(NODES)]


async def write_while_everything_fails(
    crowd: Crowd, faults: Faults, folds: Folds, seed: int, *, rounds: int
) -> list[Author]:
    """Return the authors who live at the end, when all faults are healed."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        writing = [group.create_task(crowd.write(Random(f"{seed} {i}"), stop)) for i in range(AUTHORS)]
        group.create_task(crowd.rest_for(folds, stop))
        await faults.rage(rounds, lambda: folds.are_enough)
        stop.set()
    return [task.result() for task in writing]


async def test_all_agree_after_faults_of_every_kind(
    redis: RedisServer, clients: NodeClients, document: str, tmp_path: Path, seed: int
) -> None:
    """Redis is the store; nodes and Redis are killed, and connections to Redis cut, delayed, muted."""
    async with (
        behind_proxies(redis) as proxies,
        run_nodes(
            tmp_path, [proxy.url for proxy in proxies], "--grace-s", "1", "--sweep-s", str(SWEEP_S)
        ) as nodes,
    ):
        crowd, folds = Crowd(clients, nodes, document), Folds(proxies)
        faults = Faults(Random(seed), nodes, proxies, redis)
        authors = await write_while_everything_fails(crowd, faults, folds, seed, rounds=3)
        print(f"faults: {faults.happened}; folds: {folds.count}")
        await check_agreement(authors, nodes, document, crowd.ledger)
        print(f"acknowledged: {len(crowd.ledger.inserted)} of {len(crowd.ledger.attempted)}")


async def test_what_is_acknowledged_survives_the_end_of_everything(
    redis: RedisServer, clients: NodeClients, document: str, tmp_path: Path, seed: int
) -> None:
    """All nodes, Redis and all clients die at one instant, again and again: nobody is left to repeat it.

    Each time some was acknowledged, and some folded.
    """
    random = Random(seed)
    async with (
        behind_proxies(redis) as proxies,
        run_nodes(tmp_path, [proxy.url for proxy in proxies], "--sweep-s", str(SWEEP_S)) as nodes,
    ):
        crowd = Crowd(clients, nodes, document, acknowledge_chance=0.8)
        folds = Folds(proxies)
        for _ in range(ENDS):
            stop = asyncio.Event()
            acknowledged, folded = len(crowd.ledger.inserted), folds.count

            async def has_gone_on(acknowledged: int = acknowledged, folded: int = folded) -> bool:
                return len(crowd.ledger.inserted) > acknowledged and folds.count > folded

            async with asyncio.TaskGroup() as group:
                writing = [
                    group.create_task(crowd.write(Random(random.random()), stop)) for _ in range(AUTHORS)
                ]
                group.create_task(crowd.rest_for(folds, stop))
                await poll(has_gone_on, PATIENCE_S, "edits of this round are acknowledged and folded")
                await asyncio.sleep(random.uniform(0, 1.5))
                for node in nodes:
                    node.kill()
                redis.kill()
                stop.set()
            for task in writing:
                await task.result().client.abandon()
            await asyncio.to_thread(redis.start)
            await start_all(nodes)
            async with RawClient.open(random.choice(nodes).ws_url(document)) as fresh:
                crowd.ledger.check(fresh.text)
        print(f"acknowledged: {len(crowd.ledger.inserted)} of {len(crowd.ledger.attempted)}")


async def test_all_agree_though_redis_forgets_everything(
    redis: RedisServer,
    postgres: PostgresServer,
    clients: NodeClients,
    document: str,
    tmp_path: Path,
    seed: int,
) -> None:
    """Postgres is the store, and killed too; Redis loses all that it has, again and again."""
    arguments = ("--grace-s", "1", "--sweep-s", str(SWEEP_S), "--store", postgres.new_database())
    async with (
        behind_proxies(redis) as proxies,
        run_nodes(tmp_path, [proxy.url for proxy in proxies], *arguments) as nodes,
    ):
        crowd, folds = Crowd(clients, nodes, document), Folds(proxies)
        faults = Faults(Random(seed), nodes, proxies, redis, postgres)
        authors = await write_while_everything_fails(crowd, faults, folds, seed, rounds=2)
        print(f"faults: {faults.happened}; folds: {folds.count}")
        await check_agreement(authors, nodes, document, crowd.ledger)
        print(f"acknowledged: {len(crowd.ledger.inserted)} of {len(crowd.ledger.attempted)}")
