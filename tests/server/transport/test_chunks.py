"""The direct path alone, chunk by chunk: cut, served and paused anywhere, it sees what the parser sees."""

import asyncio
import random
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from server.transport import Transport
from tests.server.transport.client import BINARY, CONT, PING, PONG, TEXT, closing, frame
from tests.server.transport.memory import in_memory
from tests.server.transport.recording import on_uvloop, until
from tests.server.transport.support import record_direct

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
