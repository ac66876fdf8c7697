"""The peers, as their documentation starts them, and the floor below all of them."""

import sys
from pathlib import Path

from tests.bench.systems.contract import Dialect
from tests.bench.systems.local import Single, document_url

__all__ = ["BARE", "HOCUSPOCUS", "PEERS", "PYCRDT_WEBSOCKET", "VENV", "Y_WEBSOCKET"]

PEERS = Path(__file__).parents[1] / "peers"
"""Where their packages for Node.js and their programs are."""
VENV = Path("build/bench/venv").resolve()
"""The Python environment of pycrdt-websocket: its versions are not those of Cowrite."""

Y_WEBSOCKET = Single(
    "y-websocket",
    # Its address comes from the environment alone.
    lambda port, folder: [
        *("env", "HOST=127.0.0.1", f"PORT={port}"),
        *("node", str(PEERS / "node_modules/y-websocket/bin/server.cjs")),
    ],
    document_url("/"),
    environment={"NODE_ENV": "production"},
)
"""The server that y-websocket 2 carries in its package; documents live as long as somebody is connected."""

HOCUSPOCUS = Single(
    "hocuspocus",
    lambda port, folder: [
        *("node", str(PEERS / "hocuspocus.mjs"), str(port)),
        str(folder / "hocuspocus.sqlite"),
    ],
    lambda port, document: f"ws://127.0.0.1:{port}",
    is_durable=True,
    dialect=Dialect.HOCUSPOCUS,
    environment={"NODE_ENV": "production"},
)
"""Hocuspocus with its SQLite extension, which writes 2 to 10 s after an edit."""

PYCRDT_WEBSOCKET = Single(
    "pycrdt-websocket",
    lambda port, folder: [
        *(str(VENV / "bin/python"), str(PEERS / "pycrdt_websocket_server.py")),
        str(port),
    ],
    document_url("/"),
)
"""The same language and the same yrs as Cowrite, on uvicorn, in memory."""

BARE = Single(
    "bare",
    lambda port, folder: [sys.executable, str(PEERS / "bare_server.py"), str(port)],
    document_url("/"),
)
"""A broadcast without a document: the floor that the kernel's send sets."""
