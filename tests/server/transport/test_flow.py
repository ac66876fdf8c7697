"""Who cannot keep up slows the other side down, on every server."""

import asyncio
import struct

import pytest

from server.transport import frame_of
from tests.server.transport.client import BINARY, closing, frame
from tests.server.transport.recording import BUDGET, on_uvloop, until
from tests.server.transport.servers import running
from tests.server.transport.support import every_server, receive_messages


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
            peer.transport.write(frame_of(struct.pack("!I", written) * 2_500))
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
            peer.transport.write(frame_of(b"early" * 20_000))
        server.may_serve.set()
        await until(lambda: peer.sink.events == ["pause"])
        assert await receive_messages(client, 50) == [b"early" * 20_000] * 50
        await until(lambda: peer.sink.events == ["pause", "resume"])
