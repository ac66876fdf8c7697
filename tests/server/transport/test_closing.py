"""Every way in which a connection ends, on every server."""

import asyncio

import pytest

from crdt.errors import CloseCode
from server.transport import frame_of
from tests.server.transport.client import BINARY, CLOSE, TEXT, closing, frame
from tests.server.transport.recording import on_uvloop, until
from tests.server.transport.servers import running
from tests.server.transport.support import every_server, receive_messages


@every_server
@on_uvloop
async def test_closing_flushes_what_was_written_and_is_clean_when_answered(kind: str) -> None:
    async with running(kind) as server:
        client, peer = await server.connect()
        written = [bytes([n]) * 50_000 for n in range(20)]
        for payload in written:
            peer.transport.write(frame_of(payload))
        peer.transport.close(CloseCode.OVERLOADED, CloseCode.OVERLOADED.phrase)
        peer.transport.close(CloseCode.FAILURE, "not this one")
        peer.transport.write(frame_of(b"too late"))
        assert await receive_messages(client, 20) == written
        assert await client.receive_close() == (1013, "overloaded or too slow")
        client.send(closing(1013))
        assert await client.at_end()
        await peer.served
        assert [event for event in peer.sink.events if event not in ("pause", "resume")] == ["clean"]


@every_server
@on_uvloop
async def test_messages_after_our_close_are_dropped(kind: str) -> None:
    async with running(kind) as server:
        client, peer = await server.connect()
        peer.sink.on_message = lambda _: peer.transport.close(CloseCode.MALFORMED, "malformed message")
        client.send(frame(BINARY, b"first"), frame(BINARY, b"second"), frame(TEXT, b"third"))
        assert await client.receive_close() == (4400, "malformed message")
        client.send(frame(BINARY, b"fourth"), closing(4400))
        await peer.served
        assert peer.sink.events == [b"first", "clean"]


@every_server
@on_uvloop
async def test_the_peers_close_is_answered_and_clean_where_the_server_tells(kind: str) -> None:
    async with running(kind) as server:
        expected = "unclean" if kind == "hypercorn" else "clean"
        for farewell in (closing(1000, "bye"), frame(CLOSE, b"")):
            client, peer = await server.connect()
            client.send(frame(BINARY, b"last words"), farewell)
            assert (await client.receive())[0] == CLOSE
            assert await client.at_end()
            await peer.served
            assert peer.sink.events == [b"last words", expected]


@every_server
@pytest.mark.parametrize("how", ["eof", "reset"])
@on_uvloop
async def test_a_loss_without_a_close_frame_is_unclean(kind: str, how: str) -> None:
    async with running(kind) as server:
        client, peer = await server.connect()
        client.send(frame(BINARY, b"last words"))
        await until(lambda: peer.sink.events == [b"last words"])
        if how == "eof":
            client.writer.write_eof()
        else:
            client.reset()
        await peer.served
        assert peer.sink.events == [b"last words", "unclean"]
        peer.transport.write(frame_of(b"into the void"))
        peer.transport.ping()
        peer.transport.pause_reading()
        peer.transport.resume_reading()
        peer.transport.close(1000, "")
        peer.transport.abort()


@every_server
@on_uvloop
async def test_abort_drops_what_is_queued(kind: str) -> None:
    async with running(kind) as server:
        client, peer = await server.connect(receive_buffer_bytes=4096)
        for _ in range(100):
            peer.transport.write(frame_of(bytes(100_000)))
        await until(lambda: peer.sink.events == ["pause"])
        peer.transport.abort()
        peer.transport.abort()
        peer.transport.close(1000, "")
        await peer.served
        assert peer.sink.events == ["pause", "unclean"]
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            for _ in range(100):
                await client.receive()
