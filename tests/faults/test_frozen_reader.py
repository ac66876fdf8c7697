"""A node that sleeps while the others go on, and wakes when what it missed is no longer in the stream."""

import asyncio
from pathlib import Path

from tests.support.clients import NodeClients
from tests.support.nodes import run_nodes
from tests.support.polling import PATIENCE_S, poll_blocking
from tests.support.raw_client import RawClient
from tests.support.redis_server import RedisServer
from tests.support.tcp_proxy import TcpProxy

ENTRIES = 24
LINE = "0123456789abcdef" * 4096
"""All entries together are more than what is folded while the document is open."""


def trimmed(redis: RedisServer) -> bool:
    """Tell whether most of the one stream there is was trimmed."""
    [key] = redis.execute("KEYS", "*:stream")
    return bool(redis.execute("XLEN", key) < ENTRIES / 2)


async def test_reader_frozen_past_a_trim_reloads_and_agrees(
    redis: RedisServer, clients: NodeClients, document: str, tmp_path: Path
) -> None:
    """Its connections to Redis broke too; its own clients see everything, and their edits are not lost."""
    async with (
        TcpProxy.open(redis.port) as proxy,
        run_nodes(tmp_path, [redis.url, proxy.url]) as [awake, asleep],
    ):
        reader = await clients.open("reader", asleep.ws_root, document)
        await reader.insert(0, "start ")
        await reader.acknowledge()
        text = "start "
        async with RawClient.open(awake.ws_url(document)) as writer:
            asleep.freeze()
            try:
                proxy.cut()
                await reader.insert(0, "typed asleep ")
                for number in range(ENTRIES):
                    await writer.append(f"{number} {LINE} ")
                    text += f"{number} {LINE} "
                    await writer.acknowledge()
                await asyncio.to_thread(
                    poll_blocking, lambda: trimmed(redis), PATIENCE_S, "the stream is trimmed"
                )
            finally:
                asleep.thaw()
        text = "typed asleep " + text

        await reader.wait_text(text)
        await reader.acknowledge()
        for node in (awake, asleep):
            async with RawClient.open(node.ws_url(document)) as fresh:
                assert fresh.text == text
