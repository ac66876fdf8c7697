"""Runs ``python -m tests.differential`` from a test."""

import subprocess
import sys
from pathlib import Path

from tests.support.node import find_node

__all__ = ["run"]

TIMEOUT_S = 110


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the program to its end, whatever that is."""
    find_node()
    return subprocess.run(
        [sys.executable, "-m", "tests.differential", *map(str, arguments)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
