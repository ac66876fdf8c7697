"""The direct path alone, while reading is paused."""

import asyncio
from typing import Any

import pytest

from crdt.errors import CloseCode
from server.transport import Transport
from server.transport.uvicorn import CowriteProtocol
from tests.server.transport.client import BINARY, TEXT, closing, frame
from tests.server.transport.memory import in_memory
from tests.server.transport.recording import RecordingSink, on_uvloop, until
from tests.server.transport.support import record_direct


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
    tcp = getattr(paused[0], "_tcp")  # noqa: B009
    tcp.close()
    await until(lambda: tcp.is_over)
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
    getattr(released[0], "data_received")(frame(BINARY, b"3"))  # noqa: B009
    events, _, _ = await recording
    assert events == [b"1", b"2", b"3", "clean"]


@on_uvloop
async def test_frames_before_the_handshake_is_answered_end_the_connection() -> None:
    may_accept = asyncio.Event()
    refused: list[OSError] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await may_accept.wait()
        try:
            await send({"type": "websocket.accept"})
        except OSError as error:
            refused.append(error)

    with in_memory(CowriteProtocol, app) as tcp:
        tcp.feed(b"\x82\x03abc")
        await until(lambda: tcp.is_over)
        may_accept.set()
        await until(lambda: bool(refused))
        assert tcp.written == []
