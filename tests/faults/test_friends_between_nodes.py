"""Two people type one document on two nodes, which die under them."""

import asyncio
import json
from functools import partial
from pathlib import Path
from random import Random

import pytest

from tests.faults.faults import Faults
from tests.support.node import run_program
from tests.support.nodes import run_nodes
from tests.support.polling import poll
from tests.support.raw_client import RawClient
from tests.support.redis_server import RedisServer
from tests.support.server_process import ServerProcess
from tests.support.traces import FRIENDSFOREVER, text_at_end

LONGEST_LIFE_S = 6.0
BEGIN_LIMIT_S = 20.0


async def has_begun(node: ServerProcess, document: str) -> bool:
    """Tell whether a node has anything that was typed."""
    async with RawClient.open(node.ws_url(document)) as reader:
        return reader.text != ""


@pytest.mark.timeout(180)
async def test_concurrent_recording_over_dying_nodes_ends_as_recorded(
    redis: RedisServer, document: str, tmp_path: Path, seed: int
) -> None:
    """26,000 concurrent edits, each author's node killed at random: exactly the recorded text, everywhere."""
    expected = text_at_end(FRIENDSFOREVER)
    async with run_nodes(tmp_path, [redis.url] * 2) as nodes:
        urls = ",".join(node.ws_root for node in nodes)
        program = run_program("friends.mjs", urls, document, str(FRIENDSFOREVER), str(seed), timeout_s=150)
        async with asyncio.TaskGroup() as group:
            typing = group.create_task(program)
            for node in nodes:
                await poll(partial(has_begun, node, document), BEGIN_LIMIT_S, "the authors type")
            killed = await Faults(Random(seed), nodes, [], redis).kill_nodes_while(typing, LONGEST_LIFE_S)

        texts = json.loads(typing.result())["texts"]
        assert texts == [expected, expected]
        print(f"killed while their authors typed, by node: {dict(killed)}")
        assert all(killed[index] for index in range(len(nodes))), "a node of an author was not killed"
        for node in nodes:
            async with RawClient.open(node.ws_url(document)) as fresh:
                assert fresh.text == expected
