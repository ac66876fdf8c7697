"""What the figures were taken on and with: the machine, and the versions that the packages name."""

import json
import os
import platform
import sqlite3
import subprocess
from importlib.metadata import version
from pathlib import Path

from tests.bench.process import ALL_CORES, own_core, server_cores
from tests.bench.systems.peers import PEERS, VENV
from tests.support.redis_server import binary

__all__ = ["describe", "revision"]

MISSING = "missing"
OURS = ("cowrite", "pycrdt", "uvicorn", "websockets", "uvloop", "starlette", "hiredis", "picows")
THEIRS = ("pycrdt-websocket", "pycrdt", "uvicorn", "websockets", "uvloop")
NODE_PACKAGES = (
    "y-websocket",
    "@hocuspocus/server",
    "@hocuspocus/extension-sqlite",
    "better-sqlite3",
    "ws",
    "yjs",
)
VERSIONS = """
import sys
from importlib.metadata import version
print(", ".join(f"{name} {version(name)}" for name in sys.argv[1:]))
"""


def describe(now: str) -> list[str]:
    """Return a sentence for each part of the machine; ``now`` is the date."""
    theirs = _output(str(VENV / "bin/python"), "-c", VERSIONS, *THEIRS)
    return [
        f"{now}; {_processor()}, {len(ALL_CORES)} cores, {_memory_gb():.0f} GB, {platform.platform()}",
        f"servers on core {_listed(server_cores())}, the generator on core {_listed(own_core())};"
        f" where two processes serve, both on core {_listed(server_cores(2))}",
        f"Cowrite at {revision()}, SQLite {sqlite3.sqlite_version} on {_filesystem()}",
        f"Python {platform.python_version()}: " + ", ".join(f"{name} {version(name)}" for name in OURS),
        f"Python of the peer: {theirs}",
        f"Node.js {_output('node', '--version')}: "
        + ", ".join(f"{name} {_node_version(name)}" for name in NODE_PACKAGES),
        f"Redis of several nodes: {_output(binary(), '--version')}",
    ]


def revision() -> str:
    """Return what of Cowrite is measured: its commit, and whether anything was changed since."""
    return _output("git", "describe", "--always", "--dirty", "--abbrev=12")


def _listed(cores: set[int]) -> str:
    return ", ".join(map(str, sorted(cores)))


def _filesystem() -> str:
    return _output("stat", "--file-system", "--format", "%T", ".")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def _node_version(name: str) -> str:
    path = PEERS / "node_modules" / name / "package.json"
    return str(json.loads(path.read_text())["version"]) if path.exists() else MISSING


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return MISSING
