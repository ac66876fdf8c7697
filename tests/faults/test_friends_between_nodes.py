"""Two people type one document on two nodes, which die under them."""

import asyncio
from contextlib import aclosing
from pathlib import Path
from random import Random
from typing import Any

from tests.support.node import run_program
from tests.support.nodes import run_nodes
from tests.support.raw_client import RawClient
from tests.support.redis_server import RedisServer
from tests.support.traces import FRIENDSFOREVER, text_at_end

KILLS = 4
"""Of each author's node, at random places in what the author types."""
LATEST_PLACE = 0.9
LONGEST_ABSENCE_S = 1.5


async def test_concurrent_recording_over_dying_nodes_ends_as_recorded(
    redis: RedisServer, document: str, tmp_path: Path, seed: int
) -> None:
    """26,000 concurrent edits, each author's node killed at random: exactly the recorded text, everywhere."""
    random = Random(seed)
    expected = text_at_end(FRIENDSFOREVER)
    async with run_nodes(tmp_path, [redis.url] * 2) as nodes:
        urls = ",".join(node.ws_root for node in nodes)
        places = [sorted(random.uniform(0, LATEST_PLACE) for _ in range(KILLS)) for _ in nodes]
        result: dict[str, Any] = {}
        async with aclosing(
            run_program("friends.mjs", urls, document, str(FRIENDSFOREVER), str(seed))
        ) as lines:
            async for result in lines:
                if "typed" not in result or not places[result["author"]]:
                    continue
                if result["typed"] >= places[result["author"]][0]:
                    places[result["author"]].pop(0)
                    node = nodes[result["author"]]
                    await asyncio.to_thread(node.kill)
                    await asyncio.sleep(random.uniform(0, LONGEST_ABSENCE_S))
                    await asyncio.to_thread(node.start)

        assert places == [[], []], "a node of an author was not killed as often as it should be"
        assert result["texts"] == [expected, expected]
        for node in nodes:
            async with RawClient.open(node.ws_url(document)) as fresh:
                assert fresh.text == expected
