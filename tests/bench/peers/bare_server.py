"""A broadcast and nothing else, on picows and uvloop: ``bare_server.py PORT``.

Writes every frame that it gets, as one bytes object, to everybody else on the same path. Holds no document: a
sync step 1 is answered with an empty sync step 2, so that a client of y-websocket calls itself synced.
"""

import asyncio
import sys
from collections import defaultdict

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

SYNC_STEP_1 = b"\x00\x00"
EMPTY_SYNC_STEP_2 = b"\x00\x01\x02\x00\x00"

Room = set[asyncio.Transport]


class Client(WSListener):
    """One connection."""

    def __init__(self, room: Room) -> None:
        self._room = room

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Join the room."""
        self._room.add(transport.underlying_transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Leave the room."""
        self._room.discard(transport.underlying_transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Pass a frame on."""
        if frame.msg_type is WSMsgType.CLOSE:
            transport.disconnect()
        if frame.msg_type is not WSMsgType.BINARY:
            return
        payload = frame.get_payload_as_bytes()
        if payload.startswith(SYNC_STEP_1):
            transport.send(WSMsgType.BINARY, EMPTY_SYNC_STEP_2)
            return
        encoded, sender = framed(payload), transport.underlying_transport
        for other in self._room:
            if other is not sender:
                other.write(encoded)


def framed(payload: bytes) -> bytes:
    """Return the binary frame that a server sends."""
    size = len(payload)
    if size < 126:
        return bytes((0x82, size)) + payload
    if size < 2**16:
        return b"\x82\x7e" + size.to_bytes(2, "big") + payload
    return b"\x82\x7f" + size.to_bytes(8, "big") + payload


async def serve(port: int) -> None:
    """Serve until killed."""
    rooms: defaultdict[bytes, Room] = defaultdict(set)

    def enter(request: WSUpgradeRequest) -> WSListener:
        return Client(rooms[request.path])

    # The transport of uvloop, as every Python server here has it, and not the one that picows prefers.
    server = await ws_create_server(enter, "127.0.0.1", port, use_aiofastnet=False)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
