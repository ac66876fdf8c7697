"""Workers that fold may die at any step and meet at any time: nothing is lost, and all is folded."""

import asyncio
import itertools
from functools import partial
from pathlib import Path
from random import Random

import pytest

from tests.faults.workers import (
    Worker,
    busy_worker,
    expire_claims,
    victim_killed_at,
    wait_folded,
    waits,
)
from tests.support.nodes import run_nodes
from tests.support.polling import PATIENCE_S, poll, poll_blocking
from tests.support.postgres_server import PostgresServer
from tests.support.raw_client import RawClient
from tests.support.redis_server import RedisServer
from tests.support.server_process import ServerProcess

PAUSE_S = 0.15
"""A sweep folds what was left alone since the latest one: with pauses up to this between two edits it happens
all the time that a document is folded while it is written."""
STEPS = {"redis": 7, "postgres": 10}
"""The requests of a worker for one document, from the claim to its release."""
EDITS = 5
EDITS_OF_TWO = 80
MOST_EDITS_OF_TWO = 20 * EDITS_OF_TWO
DOCUMENTS = 2_000
AT_ONCE = 16
KEPT_LIMIT_BYTES = 600


async def write(node: ServerProcess, document: str, token: str) -> None:
    """Add one acknowledged edit at the end of a document."""
    async with RawClient.open(node.ws_url(document)) as client:
        await client.append(token)
        await client.acknowledge()


async def read(node: ServerProcess, document: str) -> str:
    """Return the text that a fresh client gets."""
    async with RawClient.open(node.ws_url(document)) as reader:
        return reader.text


async def shows(node: ServerProcess, document: str, text: str) -> bool:
    """Tell whether a fresh client gets this text."""
    return await read(node, document) == text


@pytest.fixture(params=["redis", "postgres"])
def store(request: pytest.FixtureRequest) -> str:
    """Give both stores that several nodes can have."""
    if request.param == "redis":
        return "redis"
    postgres: PostgresServer = request.getfixturevalue("postgres")
    return postgres.new_database()


async def test_worker_killed_at_every_step_loses_nothing(
    redis: RedisServer, store: str, document: str, tmp_path: Path
) -> None:
    """Killed before each of its requests; another worker folds the document in its sweep, without an edit."""
    text = ""
    steps = STEPS["redis" if store == "redis" else "postgres"]
    arguments = ("--worker", "no", "--store", store, "--grace-s", "0")
    async with run_nodes(tmp_path, [redis.url], *arguments) as [node]:
        for step in range(1, steps + 1):
            async with victim_killed_at(step, redis, store, tmp_path / f"victim {step}") as victim:
                for edit in range(EDITS):
                    await write(node, document, f"<{step}.{edit}>")
                    text += f"<{step}.{edit}>"
                await asyncio.to_thread(
                    poll_blocking, lambda: victim.has_ended, PATIENCE_S, f"step {step} is reached"
                )
            assert await read(node, document) == text
            if step < steps:
                expire_claims(redis)
                with Worker(redis.url, store, tmp_path / f"rescuer {step}"):
                    await wait_folded(redis)
                assert await read(node, document) == text
        assert not waits(redis), "the last step comes before the end of a fold"


async def test_claim_of_a_killed_worker_ends_by_itself(
    redis: RedisServer, document: str, tmp_path: Path
) -> None:
    """Nobody has to clean up after it."""
    async with run_nodes(tmp_path, [redis.url], "--worker", "no", "--grace-s", "0") as [node]:
        async with victim_killed_at(2, redis, "redis", tmp_path / "victim") as victim:
            await write(node, document, "kept")
            await asyncio.to_thread(poll_blocking, lambda: victim.has_ended, PATIENCE_S, "it is killed")
        assert redis.execute("KEYS", "*:fold:claim")
        with Worker(redis.url, "redis", tmp_path / "rescuer"):
            await asyncio.to_thread(poll_blocking, lambda: not waits(redis), PATIENCE_S, "all is folded")
        assert await read(node, document) == "kept"


async def test_two_workers_on_one_document_lose_and_double_nothing(
    redis: RedisServer, store: str, document: str, tmp_path: Path, seed: int
) -> None:
    """Both fold it all the time, with claims that end too early, while it is edited through two nodes."""
    random = Random(seed)
    arguments = ("--worker", "no", "--store", store, "--grace-s", "0")
    async with (
        run_nodes(tmp_path, [redis.url] * 2, *arguments) as nodes,
        busy_worker(redis, store, tmp_path / "first") as first,
        busy_worker(redis, store, tmp_path / "second") as second,
    ):
        text = ""
        for number in itertools.count():
            if number >= EDITS_OF_TWO and first and second:
                break
            assert number < MOST_EDITS_OF_TWO, f"folded by each: {len(first)}, {len(second)}"
            node = random.choice(nodes)
            # What another node has acknowledged comes here a moment later.
            await poll(partial(shows, node, document, text), PATIENCE_S, "the same text on the next node")
            await write(node, document, f"<{number}>")
            text += f"<{number}>"
            if random.random() < 0.5:
                expire_claims(redis)
            # Longer and longer: a sweep takes its time on a busy machine.
            await asyncio.sleep(random.uniform(0, PAUSE_S) * (1 + number // EDITS_OF_TWO))
        await wait_folded(redis)
        print(f"edits: {number}, folded by each: {len(first)}, {len(second)}")
        for node in nodes:
            assert await read(node, document) == text


async def test_memory_of_idle_documents_goes_back(redis: RedisServer, tmp_path: Path) -> None:
    """2,000 documents edited once: when folded, each takes less than 600 bytes beside its snapshot."""
    async with run_nodes(tmp_path, [redis.url], "--grace-s", "0", "--sweep-s", "1") as [node]:
        names = iter(range(DOCUMENTS))

        async def edit() -> None:
            for number in names:
                await write(node, f"document-{number}", f"text of document {number}")

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(edit())
        await asyncio.to_thread(poll_blocking, lambda: not waits(redis), PATIENCE_S, "all is folded")

        kept = {key: redis.execute("MEMORY", "USAGE", key) for key in redis.execute("KEYS", "*")}
        snapshots = sum(redis.execute("STRLEN", key) for key in kept if key.endswith(b":snapshot"))
        beside = (sum(kept.values()) - snapshots) / DOCUMENTS
        print(f"{beside:.0f} bytes for each document beside its snapshot")
        assert beside < KEPT_LIMIT_BYTES
        for number in (0, DOCUMENTS - 1):
            assert await read(node, f"document-{number}") == f"text of document {number}"
