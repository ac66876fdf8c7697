"""Between the handshake and the direct path: what the app may do instead, and what is left behind."""

import asyncio
import gc
from typing import Any

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from crdt.errors import CloseCode
from server.transport import DIRECT
from server.transport.handshake import Opening
from server.transport.parser import Parser
from server.transport.receive_budget import ReceiveBudget
from server.transport.uvicorn import CowriteProtocol
from tests.server.transport.client import BINARY, CONT, PING, PONG, closing, frame
from tests.server.transport.memory import in_memory
from tests.server.transport.recording import BUDGET, MAX_SIZE, RECEIVE_BUDGET, RecordingSink, on_uvloop, until
from tests.server.transport.servers import running


@pytest.mark.parametrize("way", ["receive", "send"])
@on_uvloop
async def test_an_app_that_does_not_take_the_direct_path_has_failed(
    way: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await (receive() if way == "receive" else send({"type": "websocket.send", "bytes": b"?"}))

    with in_memory(CowriteProtocol, app) as tcp:
        await until(lambda: len(tcp.written) == 2)
        assert tcp.written[1][2:4] == (1011).to_bytes(2, "big")
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [RuntimeError]


@pytest.mark.parametrize(("answers", "status"), [(True, b"403"), (False, b"500")])
@on_uvloop
async def test_an_app_that_does_not_accept_refuses(answers: bool, status: bytes) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if answers:
            await send({"type": "websocket.close"})

    with in_memory(CowriteProtocol, app) as tcp:
        await until(lambda: tcp.is_over)
        [answer] = tcp.written
        assert answer.startswith(b"HTTP/1.1 " + status)


@on_uvloop
async def test_a_client_that_is_refused_learns_why_though_it_still_sends() -> None:
    async with running("direct") as server:
        server.refusal = CloseCode.FORBIDDEN
        client = await server.dial()
        client.send(frame(BINARY, bytes(50 * MAX_SIZE)))
        assert await client.receive_close() == (4403, CloseCode.FORBIDDEN.phrase)
        assert await client.at_end()
        await client.writer.drain()
        client.writer.close()
        await until(lambda: not server.connections)


@pytest.mark.parametrize("moment", ["before it opens", "before it serves"])
@on_uvloop
async def test_a_failing_app_ends_its_connection(moment: str, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        if moment == "before it serves":
            scope["extensions"][DIRECT]["open"](BUDGET, ReceiveBudget(RECEIVE_BUDGET))
        raise ZeroDivisionError

    with in_memory(CowriteProtocol, app) as tcp:
        await until(lambda: len(tcp.written) == 2)
        assert tcp.written[1][2:4] == (1011).to_bytes(2, "big")
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError]


@on_uvloop
async def test_a_server_that_stops_while_the_app_waits_says_so() -> None:
    async with running("direct") as server:
        server.may_open.clear()
        client = await server.dial()
        assert server.shutdown is not None
        stopping = asyncio.create_task(server.shutdown())
        assert await client.receive_close() == (1012, "server restarts")
        client.send(frame(BINARY, b"in flight"), closing(1012))
        assert await client.at_end()
        server.may_open.set()
        await stopping
        assert [peer.sink.events for peer in server.peers] == [["unclean"]]


@on_uvloop
async def test_a_client_that_is_gone_when_the_app_opens_is_lost_at_once() -> None:
    sink = RecordingSink()
    may_open = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await may_open.wait()
        transport = scope["extensions"][DIRECT]["open"](BUDGET, ReceiveBudget(RECEIVE_BUDGET))
        transport.ping()
        await transport.serve(sink)

    with in_memory(CowriteProtocol, app) as tcp:
        await until(lambda: bool(tcp.written), interval_s=0)
        tcp.abort()
        await until(lambda: tcp.is_over)
        may_open.set()
        await until(lambda: sink.is_over)
        assert sink.events == ["unclean"]
        assert len(tcp.written) == 1


@on_uvloop
async def test_a_resting_connection_keeps_nothing_of_the_handshake_and_no_parser() -> None:
    async with running("direct") as server:
        client, peer = await server.connect()
        client.send(frame(BINARY, b"a", fin=False), frame(PING, b"?"), frame(PONG, b""), frame(CONT, b"b"))
        assert await client.receive() == (PONG, b"?")
        await until(lambda: peer.sink.messages == [b"ab"])
        await until(lambda: not server.tasks)
        gc.collect()
        kinds = (CowriteProtocol, HttpToolsProtocol, Opening, Parser)
        assert [kept for kept in gc.get_objects() if issubclass(type(kept), kinds)] == []
