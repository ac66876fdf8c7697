"""What the tests of the transport share."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from server.transport import DIRECT, Transport
from server.transport.receive_budget import ReceiveBudget
from server.transport.uvicorn import CowriteProtocol
from tests.server.transport.client import BINARY, Client
from tests.server.transport.memory import MemoryTransport, in_memory
from tests.server.transport.recording import BUDGET, RECEIVE_BUDGET, RecordingSink, until

__all__ = ["every_server", "receive_messages", "record_direct"]

every_server = pytest.mark.parametrize("kind", ["direct", "uvicorn", "hypercorn"])


async def receive_messages(client: Client, count: int) -> list[bytes]:
    received = [await client.receive() for _ in range(count)]
    assert all(opcode == BINARY for opcode, _ in received)
    return [payload for _, payload in received]


async def record_direct(
    before: list[bytes],
    after: list[bytes],
    on_message: Callable[[Transport], None] | None = None,
    sink: RecordingSink | None = None,
) -> tuple[list[Any], bytes, MemoryTransport]:
    """Return the same of ours, with ``before`` received before it is served and ``after`` after."""
    sink = sink or RecordingSink()
    may_serve = asyncio.Event()
    served = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        transport = scope["extensions"][DIRECT]["open"](BUDGET, ReceiveBudget(RECEIVE_BUDGET))
        if on_message is not None:
            sink.on_message = lambda _: on_message(transport)
        await may_serve.wait()
        await transport.serve(sink)
        served.set()

    with in_memory(CowriteProtocol, app) as tcp:
        await until(lambda: bool(tcp.written), interval_s=0)
        tcp.feed(*before)
        may_serve.set()
        await served.wait()
        tcp.reading_calls = 0
        tcp.feed(*after)
        await until(lambda: sink.is_over, interval_s=0)
        return sink.events, b"".join(tcp.written[1:]), tcp
