"""pycrdt-websocket on uvicorn and uvloop, everything else as it comes: ``pycrdt_websocket_server.py PORT``.

Documents live in memory. Runs in an environment of its own, see ``requirements.txt`` beside it.
"""

import sys

import uvicorn
import uvloop
from pycrdt.websocket import ASGIServer, WebsocketServer  # type: ignore[import-not-found]


async def serve(port: int) -> None:
    """Serve until killed."""
    async with WebsocketServer() as websocket_server:
        await uvicorn.Server(
            uvicorn.Config(ASGIServer(websocket_server), port=port, log_level="warning")
        ).serve()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
