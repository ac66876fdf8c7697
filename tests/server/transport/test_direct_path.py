"""The direct path alone, over sockets."""

import asyncio
import logging
import socket

import pytest

from crdt.errors import CloseCode
from server.transport import frame_of
from tests.server.transport.client import BINARY, CLOSE, CONT, PING, closing, frame
from tests.server.transport.recording import MAX_SIZE, on_uvloop, until
from tests.server.transport.servers import running
from tests.server.transport.support import receive_messages
from tests.support.polling import PATIENCE_S


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        pytest.param(b"\x82\x03abc", 4400, id="not masked"),
        pytest.param(frame(BINARY | 0x40, b"abc"), 4400, id="reserved bit"),
        pytest.param(frame(0x3, b"abc"), 4400, id="reserved opcode"),
        pytest.param(frame(CONT, b"abc"), 4400, id="nothing to continue"),
        pytest.param(frame(BINARY, b"a", fin=False) + frame(BINARY, b"b"), 4400, id="not continued"),
        pytest.param(frame(PING, b"a", fin=False), 4400, id="fragmented ping"),
        pytest.param(frame(PING, bytes(126)), 4400, id="long ping"),
        pytest.param(frame(PING, bytes(MAX_SIZE))[:200_000], 4400, id="very long ping"),
        pytest.param(frame(BINARY | 0x10, bytes(MAX_SIZE))[:200_000], 4400, id="reserved bit of a long one"),
        pytest.param(frame(CONT, bytes(MAX_SIZE)), 4400, id="nothing to continue at length"),
        pytest.param(frame(CLOSE, b"\x03\xe8\xff"), 4400, id="close reason not UTF-8"),
        pytest.param(frame(CLOSE, b"\x03"), 4400, id="close code cut short"),
        pytest.param(b"\x82\xff" + b"\xff" * 12, 4413, id="too large by its header alone"),
        pytest.param(
            frame(BINARY, bytes(MAX_SIZE), fin=False) + frame(CONT, b"1"), 4413, id="too large in sum"
        ),
        pytest.param(
            frame(BINARY, bytes(2), fin=False) + frame(CONT, bytes(MAX_SIZE - 1))[:200_000],
            4413,
            id="too large in sum by its header alone",
        ),
    ],
)
@on_uvloop
async def test_malformed_frames_are_refused_after_what_came_before_them(bad: bytes, code: int) -> None:
    async with running("direct") as server:
        client, peer = await server.connect()
        client.send(frame(BINARY, b"good"), bad)
        assert await client.receive_close() == (code, CloseCode(code).phrase)
        client.writer.close()
        await peer.served
        first, (told, reason), last = peer.sink.events
        assert (first, told, last) == (b"good", code, "unclean")
        assert reason.startswith(CloseCode(code).phrase)


@on_uvloop
async def test_a_refused_peer_learns_why_though_it_still_sends() -> None:
    async with running("direct") as server:
        client, peer = await server.connect()
        client.send(frame(BINARY, bytes(50 * MAX_SIZE)))
        assert await client.receive_close() == (4413, "message too large")
        assert await client.at_end()
        await client.writer.drain()
        client.writer.close()
        await peer.served
        reason = f"message too large, frame with {50 * MAX_SIZE} bytes exceeds limit of {MAX_SIZE} bytes"
        assert peer.sink.events == [(4413, reason), "unclean"]


@on_uvloop
async def test_a_stopping_server_says_so_after_what_is_queued() -> None:
    async with running("direct") as server:
        client, peer = await server.connect()
        unserved, unserved_peer = await server.connect()
        peer.transport.write(frame_of(b"queued" * 20_000))
        assert server.shutdown is not None
        stopping = asyncio.create_task(server.shutdown())
        assert await receive_messages(client, 1) == [b"queued" * 20_000]
        for each in (client, unserved):
            assert await each.receive_close() == (1012, "server restarts")
            each.send(frame(BINARY, b"in flight"), closing(1012))
            assert await each.at_end()
        await stopping
        # They are sent away to come back at once: nobody has left.
        assert peer.sink.events == unserved_peer.sink.events == ["unclean"]


@on_uvloop
async def test_a_peer_that_never_answers_our_close_is_aborted(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running("direct") as server:
        _, peer = await server.connect(receive_buffer_bytes=4096)
        for _ in range(100):
            peer.transport.write(frame_of(bytes(100_000)))
        monkeypatch.setattr("server.transport.direct.CLOSE_TIMEOUT_S", 0.05)
        peer.transport.close(CloseCode.OVERLOADED, "")
        await peer.served
        assert peer.sink.events[-1] == "unclean"


@on_uvloop
async def test_a_peer_that_closes_and_reads_nothing_is_over_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.transport.direct.CLOSE_TIMEOUT_S", 0.5)
    async with running("direct") as server:
        client, peer = await server.connect(receive_buffer_bytes=4096)
        for _ in range(100):
            peer.transport.write(frame_of(bytes(100_000)))
        client.send(closing(1000))
        await peer.served
        assert peer.sink.events == ["pause", "clean"]
        assert peer.transport in server.connections
        await until(lambda: peer.transport not in server.connections)


@on_uvloop
async def test_pings_of_a_peer_that_reads_nothing_cost_no_memory() -> None:
    async with running("direct") as server:
        client, peer = await server.connect(receive_buffer_bytes=4096)
        while "pause" not in peer.sink.events:
            peer.transport.write(frame_of(bytes(10_000)))
        unsent = peer.transport.unsent_bytes
        client.send(*[frame(PING, bytes(125))] * 5_000, frame(BINARY, b"done"))
        await until(lambda: peer.sink.messages == [b"done"])
        assert peer.transport.unsent_bytes <= unsent


@on_uvloop
async def test_endless_fragments_are_refused() -> None:
    async with running("direct") as server:
        client, _ = await server.connect()
        client.send(frame(BINARY, b"", fin=False), *[frame(CONT, b"", fin=False)] * 16_400)
        assert await client.receive_close() == (4413, "message too large")


@on_uvloop
async def test_a_large_message_in_small_fragments_is_taken() -> None:
    """Some libraries cut messages into frames of a few KB, some proxies into less."""
    fragments = [bytes((n % 256,)) * 60 for n in range(MAX_SIZE // 60)]
    assert len(fragments) > 16_384
    async with running("direct") as server:
        client, peer = await server.connect()
        first, *middle, last = fragments
        client.send(frame(BINARY, first, fin=False), *(frame(CONT, each, fin=False) for each in middle))
        client.send(frame(CONT, last))
        await until(lambda: bool(peer.sink.events))
        assert peer.sink.events == [b"".join(fragments)]


@on_uvloop
async def test_a_connection_needs_no_task() -> None:
    async with running("direct") as server:
        client, peer = await server.connect()
        await until(lambda: not server.tasks)
        client.send(frame(BINARY, b"still here"))
        await until(lambda: peer.sink.messages == [b"still here"])
        assert server.connections == {peer.transport}


@on_uvloop
async def test_the_socket_sends_at_once_and_hides_little() -> None:
    async with running("direct") as server:
        _, peer = await server.connect()
        sock = getattr(peer.transport, "_tcp").get_extra_info("socket")  # noqa: B009
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.IPPROTO_TCP, 25) == 131_072


@on_uvloop
async def test_a_request_line_that_is_too_long_is_answered(caplog: pytest.LogCaptureFixture) -> None:
    async with running("direct") as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        head = "Host: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        writer.write(f"GET /{'x' * 9_000} HTTP/1.1\r\n{head}{key}".encode())
        answer = await asyncio.wait_for(reader.read(), PATIENCE_S)
        writer.close()
        await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 414 ")


async def test_T8_the_query_is_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with running("direct") as server:
        client, peer = await server.connect()
        client.send(frame(3, b"no such opcode"))
        await peer.served
    assert (CloseCode.MALFORMED, CloseCode.MALFORMED.phrase) in peer.sink.events
    assert "s3cret" not in caplog.text
