"""Large messages over sockets: within the budget of the node, and nothing of them is left behind (T10)."""

import asyncio
from collections.abc import Callable

import pytest

from crdt.errors import CloseCode
from server.transport import frame_of, receive_budget
from server.transport.receive_budget import COUNTED_BYTES
from tests.server.transport.client import BINARY, CLOSE, CONT, Client, closing, frame
from tests.server.transport.recording import MAX_SIZE, RECEIVE_BUDGET, on_uvloop, until
from tests.server.transport.servers import Peer, Server, running
from tests.server.transport.support import receive_messages

LARGE = 900_000
FITTING = RECEIVE_BUDGET // LARGE
"""How many of these fit into the budget."""


async def begin(server: Server, size: int, sent: int) -> tuple[Client, Peer, bytes]:
    """Send the first bytes of a large message; return the rest of it, too."""
    client, peer = await server.connect()
    whole = frame(BINARY, bytes(size))
    client.send(whole[:sent])
    return client, peer, whole[sent:]


async def fill(server: Server) -> list[tuple[Client, Peer, bytes]]:
    """Fill the budget with messages of which one byte is missing."""
    known = server.receive_budget.received_bytes
    stalled = [await begin(server, LARGE, LARGE) for _ in range(FITTING)]
    await until(lambda: server.receive_budget.received_bytes >= known + FITTING * (LARGE - 20))
    return stalled


@on_uvloop
async def test_T10_many_unfinished_messages_stay_within_the_budget_and_are_all_taken_in_the_end() -> None:
    async with running("direct") as server:
        senders = [await begin(server, LARGE, LARGE) for _ in range(15)]
        budget = server.receive_budget
        await until(lambda: budget.received_bytes > RECEIVE_BUDGET - LARGE)
        # Nothing more comes, however long: whoever could be read has sent all but a few bytes.
        most = 0
        for _ in range(100):
            await asyncio.sleep(0)
            most = max(most, budget.received_bytes)
        assert most <= 2 * RECEIVE_BUDGET
        for client, _, rest in senders:
            client.send(rest)
        await until(lambda: all(peer.sink.events for _, peer, _ in senders))
        assert all(peer.sink.events == [bytes(LARGE)] for _, peer, _ in senders)
        assert budget.received_bytes == 0


@on_uvloop
async def test_T10_small_messages_of_others_are_not_delayed() -> None:
    async with running("direct") as server:
        await fill(server)
        held, held_peer, _ = await begin(server, LARGE, 300_000)
        client, peer = await server.connect()
        peer.sink.on_message = lambda payload: peer.transport.write(frame_of(payload))
        sent = [bytes((n,)) * size for n, size in enumerate((1, 300, 20_000, COUNTED_BYTES - 10))]
        client.send(*(frame(BINARY, payload) for payload in sent))
        assert await receive_messages(client, len(sent)) == sent
        # Written to all the same.
        held_peer.transport.write(frame_of(b"news"))
        assert await receive_messages(held, 1) == [b"news"]
        assert held_peer.transport.take_activity(), "it is we who do not read"


@on_uvloop
async def test_T10_who_waits_too_long_gets_the_room_of_the_largest_and_slowest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(receive_budget, "PATIENCE_S", 0.05)
    async with running("direct") as server:
        stalled = await fill(server)
        client, peer, rest = await begin(server, LARGE, 300_000)
        client.send(rest)
        await until(lambda: peer.sink.messages == [bytes(LARGE)])
        given_up = [each for each in stalled if not getattr(each[1].transport, "is_open")]  # noqa: B009
        assert given_up
        for client, peer, _ in given_up:
            assert await client.receive_close() == (CloseCode.OVERLOADED, CloseCode.OVERLOADED.phrase)
            assert (CloseCode.OVERLOADED, "too much is under way") in peer.sink.events


@pytest.mark.parametrize("size", [1_000, 30_000])
@on_uvloop
async def test_T10_fragments_count_too(size: int) -> None:
    async with running("direct") as server:
        budget = server.receive_budget
        client, peer = await server.connect()
        count = LARGE // size
        client.send(frame(BINARY, bytes(size), fin=False))
        client.send(*(frame(CONT, bytes(size), fin=False) for _ in range(count - 1)))
        await until(lambda: budget.received_bytes == count * size)
        client.send(frame(CONT, b"end"))
        await until(lambda: bool(peer.sink.events))
        assert peer.sink.events == [bytes(count * size) + b"end"]
        assert budget.received_bytes == 0


@on_uvloop
async def test_T10_a_message_counts_until_its_sink_reads_on() -> None:
    async with running("direct") as server:
        client, peer, rest = await begin(server, LARGE, 300_000)

        def pause_at_large(payload: bytes) -> None:
            if len(payload) == LARGE:
                peer.transport.pause_reading()

        peer.sink.on_message = pause_at_large
        client.send(rest, frame(BINARY, b"next"))
        await until(lambda: bool(peer.sink.events))
        assert server.receive_budget.received_bytes == LARGE
        peer.transport.resume_reading()
        await until(lambda: peer.sink.messages == [bytes(LARGE), b"next"])
        assert server.receive_budget.received_bytes == 0


def reset(client: Client, peer: Peer) -> None:
    client.reset()


def close(client: Client, peer: Peer) -> None:
    peer.transport.close(CloseCode.FAILURE, CloseCode.FAILURE.phrase)


def abort(client: Client, peer: Peer) -> None:
    peer.transport.abort()


def send_nonsense(client: Client, peer: Peer) -> None:
    client.send(frame(BINARY, b"not continued"))


@pytest.mark.parametrize("end", [reset, close, abort, send_nonsense])
@on_uvloop
async def test_T10_nothing_is_counted_of_a_connection_that_ends(end: Callable[[Client, Peer], None]) -> None:
    async with running("direct") as server:
        client, peer = await server.connect()
        client.send(frame(BINARY, bytes(LARGE), fin=False))
        await until(lambda: server.receive_budget.received_bytes >= LARGE)
        end(client, peer)
        await until(lambda: server.receive_budget.received_bytes == 0)


@on_uvloop
async def test_T10_after_our_close_the_rest_of_a_message_is_dropped_and_the_answer_is_heard() -> None:
    async with running("direct") as server:
        client, peer, rest = await begin(server, LARGE, 300_000)
        await until(lambda: server.receive_budget.received_bytes > 0)
        peer.transport.close(CloseCode.RESTART, CloseCode.RESTART.phrase)
        client.send(rest, frame(BINARY, bytes(MAX_SIZE)), frame(BINARY, b"small"), closing(1012))
        assert (await client.receive())[0] == CLOSE
        await peer.served
        assert peer.sink.events == ["unclean"]
        assert server.receive_budget.received_bytes == 0
