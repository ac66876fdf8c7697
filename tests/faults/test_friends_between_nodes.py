"""Two people type one document on two nodes, which die under them."""

import asyncio
import json
from pathlib import Path
from random import Random

import pytest

from tests.faults.faults import Faults
from tests.support.node import run_program
from tests.support.nodes import run_nodes
from tests.support.raw_client import RawClient
from tests.support.redis_server import RedisServer
from tests.support.traces import FRIENDSFOREVER, text_at_end

LONGEST_LIFE_S = 8.0


@pytest.mark.timeout(180)
async def test_concurrent_recording_over_dying_nodes_ends_as_recorded(
    redis: RedisServer, document: str, tmp_path: Path, seed: int
) -> None:
    """26,000 concurrent edits, each author's node killed at random: exactly the recorded text, everywhere."""
    expected = text_at_end(FRIENDSFOREVER)
    async with run_nodes(tmp_path, [redis.url] * 2) as nodes:
        faults = Faults(Random(seed), nodes, [], redis)
        killing = asyncio.create_task(faults.kill_nodes_now_and_then(LONGEST_LIFE_S))
        urls = ",".join(node.ws_root for node in nodes)
        output = await run_program(
            "friends.mjs", urls, document, str(FRIENDSFOREVER), str(seed), timeout_s=150
        )
        await faults.end(killing)

        assert json.loads(output)["texts"] == [expected, expected]
        assert faults.happened, "no node was killed"
        print(f"{len(faults.happened)} nodes were killed")
        for node in nodes:
            async with RawClient.open(node.ws_url(document)) as fresh:
                assert fresh.text == expected
