"""Several nodes of one cluster, started side by side."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from tests.support.server_process import ServerProcess

__all__ = ["run_nodes", "start_all"]


@asynccontextmanager
async def run_nodes(
    folder: Path, redis_urls: Sequence[str], *arguments: str, environment: Mapping[str, str] | None = None
) -> AsyncIterator[list[ServerProcess]]:
    """Run one node for each URL of Redis; all are gone, and their logs printed, at the end."""
    nodes = [
        ServerProcess(
            folder / f"node {index}", arguments=("--redis", url, *arguments), environment=environment
        )
        for index, url in enumerate(redis_urls)
    ]
    with ExitStack() as stack:
        for node in nodes:
            stack.push(node)
        await start_all(nodes)
        yield nodes


async def start_all(nodes: Sequence[ServerProcess]) -> None:
    """Start nodes that do not run, at the same time: most of a start is waiting."""
    async with asyncio.TaskGroup() as group:
        for node in nodes:
            group.create_task(asyncio.to_thread(node.start))
