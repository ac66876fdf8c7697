"""Node and the packages under ``tests/node``: found, or the test is skipped with a sentence."""

import asyncio
import json
import shutil
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from tests.support.polling import PATIENCE_S
from tests.support.require import require

__all__ = ["NODE_PROGRAMS", "find_node", "run_program", "start_program"]

NODE_PROGRAMS = Path(__file__).parents[1] / "node"
LINE_LIMIT_BYTES = 64 * 1024 * 1024
SILENCE_LIMIT_S = 2 * PATIENCE_S
"""A program that waits says itself what it waited for."""


async def start_program(name: str, *arguments: str) -> Process:
    """Start a client program with its input and output connected; its errors go where the test's go."""
    return await asyncio.create_subprocess_exec(
        find_node(), str(NODE_PROGRAMS / name), *arguments, stdin=PIPE, stdout=PIPE, limit=LINE_LIMIT_BYTES
    )


async def run_program(name: str, *arguments: str) -> AsyncGenerator[dict[str, Any], None]:
    """Run a client program to its end and give what it prints, a line of JSON each.

    It may take as long as it likes, but not be silent for long: fails then, and when the program fails.
    """
    process = await start_program(name, *arguments)
    assert process.stdout is not None
    try:
        while True:
            async with asyncio.timeout(SILENCE_LIMIT_S):
                line = await process.stdout.readline()
            if not line:
                break
            yield json.loads(line)
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, f"{name} ended with {process.returncode}"


def find_node() -> str:
    """Return the path of Node, where it and the packages are there; else skip the test."""
    beside_python = Path(sys.executable).with_name("node")
    node = str(beside_python) if beside_python.exists() else shutil.which("node")
    require(node, "the Yjs clients need Node 20.19 or later on the PATH")
    require((NODE_PROGRAMS / "node_modules").is_dir(), "the Yjs clients need `npm ci` in tests/node")
    assert node is not None
    return node
