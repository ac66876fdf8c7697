"""Both transports keep the promises of server/transport/__init__.py, over real sockets and servers."""

import asyncio
import logging
import random
import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from crdt.errors import CloseCode
from server.transport import DIRECT, Frame, Transport
from server.transport.asgi import AsgiTransport
from server.transport.uvicorn import CowriteProtocol
from tests.server.transport_support import (
    BINARY,
    BUDGET,
    CLOSE,
    CONT,
    MAX_SIZE,
    PING,
    PONG,
    TEXT,
    Client,
    MemoryTransport,
    Peer,
    RecordingSink,
    closing,
    frame,
    in_memory,
    on_uvloop,
    running,
    until,
)

every_server = pytest.mark.parametrize("kind", ["direct", "uvicorn", "hypercorn"])
SIZES = (0, 1, 125, 126, 300, 65_535, 65_536, 200_000)


def echo(peer: Peer) -> None:
    peer.sink.on_message = lambda payload: peer.transport.write(Frame(payload))


async def receive_messages(client: Client, count: int) -> list[bytes]:
    received = [await client.receive() for _ in range(count)]
    assert all(opcode == BINARY for opcode, _ in received)
    return [payload for _, payload in received]


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
async def test_closing_flushes_what_was_written_and_is_clean_when_answered(kind: str) -> None:
    async with running(kind) as server:
        client, peer = await server.connect()
        written = [bytes([n]) * 50_000 for n in range(20)]
        for payload in written:
            peer.transport.write(Frame(payload))
        peer.transport.close(CloseCode.OVERLOADED, CloseCode.OVERLOADED.phrase)
        peer.transport.close(CloseCode.FAILURE, "not this one")
        peer.transport.write(Frame(b"too late"))
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
        peer.transport.write(Frame(b"into the void"))
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
            peer.transport.write(Frame(bytes(100_000)))
        await until(lambda: peer.sink.events == ["pause"])
        peer.transport.abort()
        peer.transport.abort()
        peer.transport.close(1000, "")
        await peer.served
        assert peer.sink.events == ["pause", "unclean"]
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            for _ in range(100):
                await client.receive()


@every_server
@on_uvloop
async def test_a_paused_sink_gets_nothing_and_then_everything_in_order(kind: str) -> None:
    async with running(kind) as server:
        client, peer = await server.connect()
        sent = [struct.pack("!I", n) * 10 for n in range(2_000)]
        violations: list[bytes] = []

        def pause_every_tenth(payload: bytes) -> None:
            if peer.transport.is_reading_paused:
                violations.append(payload)
            if len(peer.sink.messages) % 10 == 0:
                peer.transport.pause_reading()
                asyncio.get_running_loop().call_later(0.001, peer.transport.resume_reading)

        peer.sink.on_message = pause_every_tenth
        client.send(*(frame(BINARY, payload) for payload in sent), closing(1001))
        await peer.served
        assert peer.sink.messages == sent
        assert peer.sink.events[-1] == ("unclean" if kind == "hypercorn" else "clean")
        assert violations == []


@every_server
@on_uvloop
async def test_pausing_reading_slows_the_peer_down(kind: str) -> None:
    async with running(kind) as server:
        client, peer = await server.connect()
        peer.transport.pause_reading()
        peer.transport.pause_reading()
        assert peer.transport.is_reading_paused
        message = frame(BINARY, bytes(500_000))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                for _ in range(200):
                    client.send(message)
                    await client.writer.drain()
        assert peer.sink.events == []
        peer.transport.resume_reading()
        assert not peer.transport.is_reading_paused
        await client.writer.drain()
        client.send(frame(BINARY, b"end"))
        await until(lambda: peer.sink.events[-1:] == [b"end"])
        assert set(peer.sink.messages) == {bytes(500_000), b"end"}


@every_server
@on_uvloop
async def test_a_slow_reader_pauses_writing_and_resumes_when_drained(kind: str) -> None:
    async with running(kind) as server:
        client, peer = await server.connect(receive_buffer_bytes=4096)
        written = 0
        while "pause" not in peer.sink.events:
            peer.transport.write(Frame(struct.pack("!I", written) * 2_500))
            written += 1
            await asyncio.sleep(0)
            assert written < 2_000
        assert peer.transport.unsent_bytes > BUDGET
        assert "resume" not in peer.sink.events
        received = await receive_messages(client, written)
        assert received == [struct.pack("!I", n) * 2_500 for n in range(written)]
        await until(lambda: peer.sink.events == ["pause", "resume"])
        assert peer.transport.unsent_bytes == 0


@every_server
@on_uvloop
async def test_a_budget_exceeded_before_serving_is_told_when_it_starts(kind: str) -> None:
    async with running(kind) as server:
        server.may_serve.clear()
        client, peer = await server.connect(receive_buffer_bytes=4096)
        for _ in range(50):
            peer.transport.write(Frame(b"early" * 20_000))
        server.may_serve.set()
        await until(lambda: peer.sink.events == ["pause"])
        assert await receive_messages(client, 50) == [b"early" * 20_000] * 50
        await until(lambda: peer.sink.events == ["pause", "resume"])


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


# The plain path alone, against a server that can be made to stall


@on_uvloop
async def test_pausing_stops_asking_the_server_for_messages() -> None:
    incoming: asyncio.Queue[Any] = asyncio.Queue()
    for payload in (b"1", b"2", b"3"):
        incoming.put_nowait({"type": "websocket.receive", "bytes": payload})
    incoming.put_nowait({"type": "websocket.disconnect", "code": 1000})
    sink = RecordingSink()
    transport = AsgiTransport(incoming.get, never, BUDGET)
    sink.on_message = lambda payload: transport.pause_reading() if payload == b"1" else None
    service = asyncio.create_task(transport.serve(sink))
    await until(lambda: transport.is_reading_paused)
    await asyncio.sleep(0)
    assert (sink.events, incoming.qsize()) == ([b"1"], 3)
    transport.resume_reading()
    await service
    assert sink.events == [b"1", b"2", b"3", "clean"]


@on_uvloop
async def test_a_close_that_cannot_be_sent_ends_in_bounded_time() -> None:
    sink = RecordingSink()
    transport = AsgiTransport(never, never, BUDGET)
    service = asyncio.create_task(transport.serve(sink))
    await asyncio.sleep(0)
    transport.write(Frame(b"stuck"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("server.transport.asgi._CLOSE_TIMEOUT_S", 0.05)
        transport.close(CloseCode.OVERLOADED, "")
    await service
    assert sink.events == ["unclean"]


@on_uvloop
async def test_writing_on_after_the_pause_is_aborted_in_the_end() -> None:
    sink = RecordingSink()
    transport = AsgiTransport(never, never, BUDGET)
    service = asyncio.create_task(transport.serve(sink))
    await asyncio.sleep(0)
    frame_of_a_mebibyte = Frame(bytes(2**20))
    for _ in range(64):
        transport.write(frame_of_a_mebibyte)
    assert sink.events == ["pause"]
    for _ in range(10):
        transport.write(frame_of_a_mebibyte)
    await service
    assert sink.events == ["pause", "unclean"]
    assert transport.unsent_bytes == 0


@pytest.mark.parametrize("error", [OSError, RuntimeError])
@on_uvloop
async def test_a_server_that_refuses_to_send_still_tells_how_it_ended(
    error: type[Exception],
) -> None:
    incoming: asyncio.Queue[Any] = asyncio.Queue()

    async def refuse(_: Any) -> None:
        incoming.put_nowait({"type": "websocket.disconnect", "code": 1009, "reason": ""})
        raise error

    sink = RecordingSink()
    transport = AsgiTransport(incoming.get, refuse, BUDGET)
    transport.write(Frame(b"unheard"))
    await transport.serve(sink)
    assert sink.events == ["clean"]


async def never(*_: object) -> Any:
    await asyncio.get_running_loop().create_future()


# The direct path alone, over sockets


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
        pytest.param(frame(CLOSE, b"\x03\xe8\xff"), 4400, id="close reason not UTF-8"),
        pytest.param(frame(CLOSE, b"\x03"), 4400, id="close code cut short"),
        pytest.param(b"\x82\xff" + b"\xff" * 12, 4413, id="too large by its header alone"),
        pytest.param(
            frame(BINARY, bytes(MAX_SIZE), fin=False) + frame(CONT, b"1"), 4413, id="too large in sum"
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
        assert peer.sink.events == [b"good", "unclean"]


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
        assert peer.sink.events == ["unclean"]


@on_uvloop
async def test_a_stopping_server_says_so_after_what_is_queued() -> None:
    async with running("direct") as server:
        client, peer = await server.connect()
        unserved, unserved_peer = await server.connect()
        peer.transport.write(Frame(b"queued" * 20_000))
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
async def test_a_peer_that_never_answers_our_close_is_aborted() -> None:
    async with running("direct") as server:
        _, peer = await server.connect(receive_buffer_bytes=4096)
        protocol = protocol_of(peer)
        protocol.close_timeout = 0.05
        for _ in range(100):
            peer.transport.write(Frame(bytes(100_000)))
        peer.transport.close(CloseCode.OVERLOADED, "")
        await peer.served
        assert peer.sink.events[-1] == "unclean"


@on_uvloop
async def test_a_peer_that_closes_and_reads_nothing_is_over_at_once() -> None:
    async with running("direct") as server:
        client, peer = await server.connect(receive_buffer_bytes=4096)
        protocol_of(peer).close_timeout = 0.5
        for _ in range(100):
            peer.transport.write(Frame(bytes(100_000)))
        client.send(closing(1000))
        await peer.served
        assert peer.sink.events == ["pause", "clean"]
        assert not protocol_of(peer).disconnected
        await until(lambda: protocol_of(peer).disconnected)


@on_uvloop
async def test_pings_of_a_peer_that_reads_nothing_cost_no_memory() -> None:
    async with running("direct") as server:
        client, peer = await server.connect(receive_buffer_bytes=4096)
        while "pause" not in peer.sink.events:
            peer.transport.write(Frame(bytes(10_000)))
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
async def test_cancelling_the_service_ends_the_connection() -> None:
    async with running("direct") as server:
        client, peer = await server.connect()
        (task,) = protocol_of(peer).tasks
        task.cancel()
        await until(lambda: peer.sink.events == ["unclean"])
        assert await client.at_end()


@on_uvloop
async def test_the_socket_sends_at_once_and_hides_little() -> None:
    async with running("direct") as server:
        _, peer = await server.connect()
        sock = protocol_of(peer).transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.IPPROTO_TCP, 25) == 131_072


@on_uvloop
async def test_a_request_line_that_is_too_long_is_answered(caplog: pytest.LogCaptureFixture) -> None:
    """The parser gives up on it without a word; the client would wait for ever."""
    async with running("direct") as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        head = "Host: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        writer.write(f"GET /{'x' * 9_000} HTTP/1.1\r\n{head}{key}".encode())
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 431 ")


async def test_T8_the_query_is_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with running("direct") as server:
        client, peer = await server.connect()
        client.send(closing(1000))
        await peer.served
    assert "/room" in caplog.text
    assert "s3cret" not in caplog.text


def protocol_of(peer: Peer) -> CowriteProtocol:
    protocol = getattr(peer.transport, "_protocol")  # noqa: B009
    assert isinstance(protocol, CowriteProtocol)
    return protocol


# The direct path alone, chunk by chunk


RECORDED = b"".join(
    (
        frame(BINARY, b"one", mask=b"\x01\x02\x03\x04"),
        frame(BINARY, b"", mask=b"\xff\x00\xff\x00"),
        frame(BINARY, bytes(range(126)), mask=b"mask"),
        frame(TEXT, b"a text"),
        frame(PING, b"ping"),
        frame(BINARY, b"frag", fin=False),
        frame(PING, b""),
        frame(CONT, b"men", fin=False),
        frame(CONT, b"ted", mask=bytes(4)),
        frame(TEXT, b"te", fin=False),
        frame(CONT, b"xt"),
        frame(BINARY, b"wide" * 75, width=8),
        frame(PONG, b"unasked"),
        frame(BINARY, b"same mask", mask=b"mask"),
        frame(BINARY, b"last"),
        closing(1000, "done"),
    )
)


async def record_stock(chunks: list[bytes]) -> tuple[list[Any], bytes]:
    """Return what uvicorn's own protocol delivers and answers."""
    events: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            events.append("text" if message.get("bytes") is None else message["bytes"])
        events.append("clean" if "reason" in message else "unclean")

    with in_memory(WebSocketsSansIOProtocol, app) as tcp:
        await until(lambda: bool(tcp.written), interval_s=0)
        tcp.feed(*chunks)
        await until(lambda: events[-1:] in (["clean"], ["unclean"]))
        return events, b"".join(tcp.written[1:])


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
        transport = scope["extensions"][DIRECT]["open"](BUDGET)
        if on_message is not None:
            sink.on_message = lambda _: on_message(transport)
        await may_serve.wait()
        service = asyncio.create_task(transport.serve(sink))
        await asyncio.sleep(0)
        served.set()
        await service

    with in_memory(CowriteProtocol, app) as tcp:
        await until(lambda: bool(tcp.written), interval_s=0)
        tcp.feed(*before)
        may_serve.set()
        await served.wait()
        tcp.reading_calls = 0
        tcp.feed(*after)
        await until(lambda: sink.is_over, interval_s=0)
        return sink.events, b"".join(tcp.written[1:]), tcp


def cut(stream: bytes, *offsets: int) -> list[bytes]:
    """Cut a stream into chunks, none of them empty."""
    bounds = [0, *sorted(offsets), len(stream)]
    return [stream[a:b] for a, b in zip(bounds, bounds[1:], strict=False) if a < b]


@on_uvloop
async def test_cut_anywhere_the_sink_sees_what_the_parser_alone_delivers() -> None:
    expected = await record_stock([RECORDED])
    assert len(expected[0]) == 10
    for offset in range(1, len(RECORDED)):
        events, answers, tcp = await record_direct([], cut(RECORDED, offset))
        assert (events, answers) == expected, f"cut at {offset}"
        assert tcp.reading_calls == 0, f"cut at {offset}"


@on_uvloop
async def test_served_anywhere_the_sink_sees_what_the_parser_alone_delivers() -> None:
    expected = await record_stock([RECORDED])
    for offset in range(len(RECORDED) + 1):
        before, after = RECORDED[:offset], RECORDED[offset:]
        events, answers, _ = await record_direct(cut(before), cut(after))
        assert (events, answers) == expected, f"served at {offset}"


@on_uvloop
async def test_byte_by_byte_the_sink_sees_what_the_parser_alone_delivers() -> None:
    expected = await record_stock([RECORDED])
    for offset in range(0, len(RECORDED), 97):
        before, after = RECORDED[:offset], RECORDED[offset:]
        events, answers, _ = await record_direct([bytes([b]) for b in before], [bytes([b]) for b in after])
        assert (events, answers) == expected, f"served at {offset}"


@on_uvloop
async def test_cut_served_and_paused_at_random_the_sink_sees_the_same(seed: int) -> None:
    rng = random.Random(seed)
    expected = await record_stock([RECORDED])

    def pause_sometimes(transport: Transport) -> None:
        assert not transport.is_reading_paused
        choice = rng.randrange(4)
        if choice > 1:
            transport.pause_reading()
        if choice == 2:
            transport.resume_reading()
        elif choice == 3:
            asyncio.get_running_loop().call_later(rng.choice((0, 0.001)), transport.resume_reading)

    for _ in range(500):
        chunks = cut(RECORDED, *(rng.randrange(len(RECORDED)) for _ in range(rng.randrange(6))))
        served_at = rng.randrange(len(chunks) + 1)
        events, answers, _ = await record_direct(chunks[:served_at], chunks[served_at:], pause_sometimes)
        assert (events, answers) == expected, f"{[len(c) for c in chunks]} served at {served_at}"


@on_uvloop
async def test_a_large_frame_in_many_chunks_is_delivered_once(seed: int) -> None:
    payload = random.Random(seed).randbytes(300_000)
    stream = frame(BINARY, payload) + frame(BINARY, b"after") + closing(1000)
    events, _, _ = await record_direct([], cut(stream, *range(1, len(stream), 4_099)))
    assert events == [payload, b"after", "clean"]


async def lose_while_paused(sink: RecordingSink) -> tuple[Transport, asyncio.Task[Any]]:
    """Deliver one message of three in a chunk, and lose the connection."""
    paused: list[Transport] = []

    def pause_first(transport: Transport) -> None:
        if not paused:
            transport.pause_reading()
            paused.append(transport)

    chunk = frame(BINARY, b"1") + frame(BINARY, b"2") + frame(TEXT, b"3")
    recording = asyncio.create_task(record_direct([], [chunk], pause_first, sink))
    await until(lambda: bool(paused))
    protocol = getattr(paused[0], "_protocol")  # noqa: B009
    protocol.transport.close()
    await until(lambda: protocol.disconnected)
    assert sink.events == [b"1"]
    return paused[0], recording


@on_uvloop
async def test_a_loss_while_reading_is_paused_is_told_after_what_was_received() -> None:
    sink = RecordingSink()
    transport, recording = await lose_while_paused(sink)
    transport.resume_reading()
    assert sink.events == [b"1"], "never from within resume_reading"
    await recording
    assert sink.events == [b"1", b"2", "text", "unclean"]


@pytest.mark.parametrize("how", ["close", "abort"])
@on_uvloop
async def test_a_paused_sink_that_gives_up_is_told_of_the_loss(how: str) -> None:
    sink = RecordingSink()
    transport, recording = await lose_while_paused(sink)
    if how == "close":
        transport.close(CloseCode.OVERLOADED, "")
    else:
        transport.abort()
    await recording
    assert sink.events == [b"1", "unclean"]


@on_uvloop
async def test_what_waits_for_a_paused_sink_is_dropped_by_our_close() -> None:
    released: list[Transport] = []

    def pause(transport: Transport) -> None:
        transport.pause_reading()
        released.append(transport)

    sink = RecordingSink()
    chunk = frame(BINARY, b"1") + frame(BINARY, b"2")
    recording = asyncio.create_task(record_direct([], [chunk, closing(4400)], pause, sink))
    await until(lambda: bool(released))
    released[0].close(CloseCode.MALFORMED, "malformed message")
    assert not released[0].is_reading_paused
    events, _, _ = await recording
    assert events == [b"1", "clean"]


@on_uvloop
async def test_what_is_received_while_reading_resumes_comes_after_what_was_kept() -> None:
    released: list[Transport] = []

    def pause_first(transport: Transport) -> None:
        if not released:
            transport.pause_reading()
            released.append(transport)

    sink = RecordingSink()
    chunk = frame(BINARY, b"1") + frame(BINARY, b"2")
    recording = asyncio.create_task(record_direct([], [chunk, closing(1000)], pause_first, sink))
    await until(lambda: bool(released))
    released[0].resume_reading()
    getattr(released[0], "_protocol").data_received(frame(BINARY, b"3"))  # noqa: B009
    events, _, _ = await recording
    assert events == [b"1", b"2", b"3", "clean"]


@on_uvloop
async def test_frames_before_the_handshake_is_answered_end_the_connection() -> None:
    received: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        received.extend([await receive(), await receive()])

    with in_memory(CowriteProtocol, app) as tcp:
        tcp.feed(b"\x82\x03abc")
        await until(lambda: len(received) == 2)
        assert [message["type"] for message in received] == ["websocket.connect", "websocket.disconnect"]
