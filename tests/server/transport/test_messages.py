"""Messages on every server: whole, in order, within the limit."""

import random

import pytest

from crdt.errors import CloseCode
from server.transport import frame_of
from tests.server.transport.client import BINARY, CONT, PING, PONG, TEXT, closing, frame
from tests.server.transport.recording import MAX_SIZE, on_uvloop, until
from tests.server.transport.servers import Peer, running
from tests.server.transport.support import every_server, receive_messages

SIZES = (0, 1, 125, 126, 300, 65_535, 65_536, 200_000)


def echo(peer: Peer) -> None:
    peer.sink.on_message = lambda payload: peer.transport.write(frame_of(payload))


@every_server
@on_uvloop
async def test_messages_of_every_size_arrive_in_order_and_are_echoed(kind: str, seed: int) -> None:
    rng = random.Random(seed)
    sent = [rng.randbytes(size) for size in (*SIZES, *rng.choices(SIZES[:5], k=200))]
    async with running(kind) as server:
        client, peer = await server.connect()
        echo(peer)
        client.send(*(frame(BINARY, payload) for payload in sent))
        assert await receive_messages(client, len(sent)) == sent
        assert peer.sink.messages == sent


@every_server
@on_uvloop
async def test_messages_that_came_before_serving_are_delivered_first(kind: str) -> None:
    async with running(kind) as server:
        server.may_serve.clear()
        client, peer = await server.connect()
        early = [b"a", b"b" * 300, b"c" * 70_000, b"d"]
        client.send(*(frame(BINARY, payload) for payload in early[:2]))
        await client.writer.drain()
        client.send(*(frame(BINARY, payload) for payload in early[2:]))
        server.may_serve.set()
        client.send(frame(BINARY, b"late"))
        await until(lambda: len(peer.sink.events) == 5)
        assert peer.sink.events == [*early, b"late"]


@every_server
@on_uvloop
async def test_text_is_reported_in_order_without_its_content(kind: str) -> None:
    async with running(kind) as server:
        client, peer = await server.connect()
        client.send(frame(BINARY, b"1"), frame(TEXT, b"no"), frame(BINARY, b"2"))
        await until(lambda: len(peer.sink.events) == 3)
        assert peer.sink.events == [b"1", "text", b"2"]


@every_server
@on_uvloop
async def test_fragments_are_joined_and_pings_between_them_answered(kind: str) -> None:
    async with running(kind) as server:
        client, peer = await server.connect()
        client.send(frame(BINARY, b"ab", fin=False), frame(PING, b"are you there"))
        assert await client.receive() == (PONG, b"are you there")
        client.send(frame(CONT, b"cd", fin=False), frame(CONT, b"ef"), frame(BINARY, b"next"))
        await until(lambda: len(peer.sink.events) == 2)
        assert peer.sink.events == [b"abcdef", b"next"]


@every_server
@on_uvloop
async def test_an_oversize_message_closes_the_connection(kind: str) -> None:
    async with running(kind) as server:
        client, peer = await server.connect()
        client.send(frame(BINARY, b"fine"))
        await until(lambda: peer.sink.messages == [b"fine"])
        client.send(frame(BINARY, bytes(MAX_SIZE + 1)))
        code, reason = await client.receive_close()
        if kind == "direct":
            assert (code, reason) == (CloseCode.TOO_LARGE, "message too large")
        else:
            assert code == 1009
        client.send(closing(code))
        client.writer.close()
        await peer.served
        assert peer.sink.messages == [b"fine"]


@every_server
@on_uvloop
async def test_a_failing_sink_closes_its_own_connection_only(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(kind) as server:
        client, peer = await server.connect()
        other, other_peer = await server.connect()

        def fail(_: bytes) -> None:
            raise ZeroDivisionError

        peer.sink.on_message = fail
        client.send(frame(BINARY, b"1"), frame(BINARY, b"2"))
        assert await client.receive_close() == (1011, "internal error")
        client.send(closing(1011))
        await peer.served
        assert peer.sink.events == [b"1", "clean"]
        assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError]
        echo(other_peer)
        other.send(frame(BINARY, b"still here"))
        assert await receive_messages(other, 1) == [b"still here"]


@every_server
@on_uvloop
async def test_activity_is_noticed(kind: str) -> None:
    async with running(kind) as server:
        client, peer = await server.connect()
        peer.transport.take_activity()
        client.send(frame(BINARY, b"hello"))
        await until(lambda: peer.sink.messages == [b"hello"])
        assert peer.transport.take_activity()
        if kind == "direct":
            assert not peer.transport.take_activity()
            peer.transport.ping()
            assert await client.receive() == (PING, b"")
            client.send(frame(PONG, b""))
            await until(peer.transport.take_activity)
