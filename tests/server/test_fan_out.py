"""One reader's trouble is its own: slow and hostile clients beside others who edit."""

import asyncio
import socket
from collections.abc import Callable

import pytest

from crdt.dialects.y_websocket import YWebsocket
from crdt.encoding import encode_var_bytes
from crdt.errors import CloseCode
from crdt.messages import SyncStep1, SyncStep2
from crdt.state_vector import encode_state_vector
from tests.server.parts import running_parts, step_1, update_frame
from tests.server.servers import RunningServer
from tests.server.support import Peer, presence, until, update_of, warnings_of

Start = Callable[..., RunningServer]

BUDGET_BYTES = 2**16
CHUNK_BYTES = 250_000
VOLUME_BYTES = 8_000_000
SLOW_S, SOONER_THAN_USUAL_S = 2.0, 25.0
"""Longer than a busy machine keeps the other clients from reading; and less than 30 s, the default."""


def narrow_socket(server: RunningServer) -> socket.socket:
    """Return a connected socket that takes little before its reader reads."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    sock.connect(("127.0.0.1", server.port))
    sock.setblocking(False)
    return sock


class SlowPeer(Peer):
    """A client that stops reading, and begins again when it is told."""

    async def stop_reading(self) -> None:
        self.ws.transport.pause_reading()

    async def read_on(self) -> None:
        self.ws.transport.resume_reading()


def slow_peer(server: RunningServer, document: str, **options: object) -> SlowPeer:
    peer = SlowPeer(server.url(document), {"sock": narrow_socket(server)}, **options)  # type: ignore[arg-type]
    server.peers.append(peer)
    return peer


async def overfill(writer: Peer, reader: Peer) -> None:
    """Write more than any kernel keeps for one slow reader; each edit is waited for by the other one."""
    for _ in range(VOLUME_BYTES // CHUNK_BYTES):
        await writer.append("x" * CHUNK_BYTES)
        await until(lambda: len(reader.text) == len(writer.text), "the edit")


async def test_R6_nobody_waits_for_a_client_that_never_reads(start: Start) -> None:
    """It is given up after an hour: everything comes before."""
    server = start(write_budget_bytes=BUDGET_BYTES, slow_client_s=3_600.0)
    slow = slow_peer(server, "d")
    async with server.peer("d") as writer, server.peer("d") as reader:
        await slow.connect()
        await slow.synced()
        await slow.stop_reading()
        await overfill(writer, reader)
        unsent_bytes = await server.call(
            lambda: max(connection.transport.unsent_bytes for connection in server.node.connections)
        )
        assert unsent_bytes < BUDGET_BYTES + 2 * CHUNK_BYTES
        await writer.acknowledge()


async def test_R6_a_client_that_never_reads_is_closed(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    server = start(write_budget_bytes=BUDGET_BYTES, slow_client_s=SLOW_S)
    slow = slow_peer(server, "d")
    async with server.peer("d") as writer, server.peer("d") as reader:
        await slow.connect()
        await slow.synced()
        await slow.stop_reading()
        await overfill(writer, reader)
        await until(lambda: warnings_of(caplog), "given up", SOONER_THAN_USUAL_S)
        await slow.read_on()
        assert await slow.closing() == (CloseCode.OVERLOADED, CloseCode.OVERLOADED.phrase)
        await writer.append("fine")
        await writer.acknowledge()
    (line,) = warnings_of(caplog)
    assert line.getMessage() == "refused: took nothing for too long"


async def test_R6_a_client_that_drains_in_time_gets_all_it_missed_at_once(start: Start) -> None:
    server = start(write_budget_bytes=BUDGET_BYTES, slow_client_s=30.0)
    slow = slow_peer(server, "d")
    async with server.peer("d", hello=presence((7, 1, {"name": "W"}))) as writer, server.peer("d") as reader:
        await slow.connect()
        await slow.synced()
        await writer.append("before ")
        await slow.shows("before ")
        await slow.stop_reading()
        await overfill(writer, reader)
        await writer.edit(lambda content: content.__delitem__(slice(0, 7)))
        await writer.acknowledge()
        assert await server.call(lambda: any(c._health.is_behind for c in server.node.connections))
        await writer.ws.send(b"\x01" + encode_var_bytes(presence((7, 2, {"name": "new"}))))
        frames = len(slow.frames)
        await slow.read_on()
        await slow.shows(writer.shown)
        await until(lambda: slow.state_of(7) == {"name": "new"}, "who is here")
        updates = [frame for frame in slow.frames[frames:] if frame[0] == 0]
        assert len(updates) < VOLUME_BYTES // CHUNK_BYTES, "it was sent one by one"
        await slow.append("mine")
        await writer.shows(slow.shown)


async def test_R6_what_is_edited_on_both_sides_while_behind_is_not_lost(start: Start) -> None:
    server = start(write_budget_bytes=BUDGET_BYTES)
    slow = slow_peer(server, "d")
    async with server.peer("d") as writer, server.peer("d") as reader:
        await slow.connect()
        await slow.synced()
        await slow.stop_reading()
        await slow.insert(0, "<before>")
        await overfill(writer, reader)
        await slow.insert(0, "<behind>")
        await until(lambda: "<behind>" in writer.shown, "what the slow client wrote")
        await writer.acknowledge()
        await slow.read_on()
        await slow.shows(writer.shown)
        async with server.peer("d") as third:
            assert third.shown == writer.shown


async def test_R6_everything_missed_is_one_answer() -> None:
    async with running_parts() as parts:
        writer, mine = await parts.join("d")
        slow, wire = await parts.join("d")
        slow.message_received(step_1())
        wire.is_stuck = True
        peer = Peer("")

        async def write(content: str) -> None:
            known = len(mine.messages)
            writer.message_received(update_frame(peer.change(lambda text: text.insert(0, content))))
            await until(lambda: len(mine.messages) > known, "the echo")

        for _ in range(3):
            await write("x" * 40_000)
        known = len(wire.messages)
        for number in range(20):
            await write(f"<{number}>")
        assert len(wire.messages) == known
        wire.drain()
        assert len(wire.messages) == known + 1
        assert wire.shown == peer.shown


async def test_everybody_gets_the_edit_the_sender_too(server: RunningServer) -> None:
    """It feeds the client's watchdog."""
    async with server.peer("d") as one, server.peer("d") as other:
        known = len(one.frames)
        sent = await one.append("x")
        frame = b"\x00\x02" + encode_var_bytes(sent)
        await until(lambda: frame in one.frames[known:], "the echo")
        await until(lambda: frame in other.frames, "the edit")


async def test_R4_a_joiner_in_the_middle_of_a_burst_has_everything(server: RunningServer) -> None:
    async with server.peer("d") as writer:
        for round_ in range(20):
            for number in range(30):
                await writer.append(f"{round_}.{number} ")
            joiner = server.peer("d")
            await joiner.connect()
            await joiner.synced()
            await writer.append("| ")
            await joiner.shows(writer.shown)
            await joiner.close()


@pytest.mark.parametrize("size", [100, 20_000, 300_000])
async def test_a_reconnecting_client_gets_the_difference(server: RunningServer, size: int) -> None:
    peer = server.peer("d")
    async with server.peer("d") as other:
        await other.append("x" * size)
        await other.acknowledge()
        await peer.connect()
        await peer.synced()
        await peer.abort()
        offline = peer.change(lambda t: t.insert(0, "offline "))
        await other.append("meanwhile")
        await other.acknowledge()
        known = len(peer.frames)
        await peer.connect()
        await peer.synced()
        await other.shows("offline " + "x" * size + "meanwhile")
        await peer.shows(other.shown)
        assert sum(map(len, peer.frames[known:])) < 1_000 + len(offline)
        await peer.close()


async def test_R6_a_large_question_of_a_peer_that_is_behind_is_the_last_that_is_read_of_it() -> None:
    """It has to be kept until the peer has drained, and others like it would be kept, too."""
    async with running_parts() as parts:
        writer, _ = await parts.join("d")
        slow, wire = await parts.join("d")
        wire.is_stuck = True
        writer.message_received(update_frame(update_of("x" * 200_000)))
        await until(lambda: wire.unsent_bytes > 100_000, "behind")
        question = SyncStep1(encode_state_vector({2**40 + number: 1 for number in range(10_000)}))
        slow.message_received(YWebsocket().encode(question))
        for _ in range(5):
            await asyncio.sleep(0)  # its turn is over by then
            assert wire.is_reading_paused
        known = len(wire.messages)
        wire.drain()
        assert not wire.is_reading_paused
        assert any(isinstance(message, SyncStep2) for message in wire.messages[known:])
