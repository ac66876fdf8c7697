"""Postgres, the store of all nodes, is killed while people write."""

import asyncio
from pathlib import Path

from tests.support.clients import NodeClients
from tests.support.nodes import run_nodes, start_all
from tests.support.polling import PATIENCE_S, poll_blocking
from tests.support.postgres_server import PostgresServer
from tests.support.raw_client import RawClient
from tests.support.redis_server import RedisServer

NOT_ACKNOWLEDGED_S = 1.0


async def test_acknowledgements_wait_for_postgres(
    redis: RedisServer, postgres: PostgresServer, clients: NodeClients, document: str, tmp_path: Path
) -> None:
    """People on all nodes go on writing to each other; all is stored and acknowledged when it is back."""
    async with run_nodes(tmp_path, [redis.url] * 2, "--store", postgres.new_database()) as nodes:
        near, far = [await clients.open(f"on {i}", node.ws_root, document) for i, node in enumerate(nodes)]
        await near.insert(0, "before ")
        await near.acknowledge()
        await far.wait_text("before ")

        await asyncio.to_thread(postgres.kill)
        await near.insert(0, "meanwhile ")
        await far.wait_text("meanwhile before ")
        await far.insert(0, "everywhere ")
        await near.wait_text("everywhere meanwhile before ")
        assert not any(
            await asyncio.gather(*(each.is_acknowledged(NOT_ACKNOWLEDGED_S) for each in (near, far)))
        )
        for node in nodes:
            assert not await asyncio.to_thread(node.is_ready)

        await asyncio.to_thread(postgres.start)
        for client in (near, far):
            await client.acknowledge()
            assert await client.history("close") == []
        for node in nodes:
            await asyncio.to_thread(poll_blocking, node.is_ready, PATIENCE_S, "the node is ready")
        for node in nodes:
            await asyncio.to_thread(node.kill)
        await asyncio.to_thread(redis.kill)
        await clients.ask("on 0", "disconnect")
        await clients.ask("on 1", "disconnect")
        await asyncio.to_thread(redis.start)
        await start_all(nodes)
        for node in nodes:
            async with RawClient.open(node.ws_url(document)) as fresh:
                assert fresh.text == "everywhere meanwhile before "
