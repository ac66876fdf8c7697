"""The plain path alone, against a server that can be made to stall."""

import asyncio
from typing import Any

import pytest

from crdt.errors import CloseCode
from server.transport import frame_of
from server.transport.asgi import AsgiTransport
from tests.server.transport.recording import BUDGET, RecordingSink, on_uvloop, until


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
    transport.write(frame_of(b"stuck"))
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
    frame_of_a_mebibyte = frame_of(bytes(2**20))
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
    transport.write(frame_of(b"unheard"))
    await transport.serve(sink)
    assert sink.events == ["clean"]


async def never(*_: object) -> Any:
    await asyncio.get_running_loop().create_future()
