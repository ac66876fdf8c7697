"""One live document: batches, failures of its own, and members that come, go and fall behind."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable

import pytest

from crdt.errors import CloseCode
from crdt.merging import merge
from crdt.messages import SyncStatus, SyncStep2
from crdt.update import Update
from server.storage.memory import MemoryStore
from tests.crdt.build import chain, section, text, update
from tests.server.parts import running_parts, status, step_1, update_frame
from tests.server.servers import RunningServer
from tests.server.support import Peer, until, update_of

Start = Callable[..., RunningServer]

EDITS = 40


async def test_edits_of_one_turn_are_one_frame_for_everybody() -> None:
    async with running_parts() as parts:
        writer, mine = await parts.join("d")
        _, theirs = await parts.join("d")
        known = len(mine.messages), len(theirs.messages)
        peer = Peer("")
        for index in range(EDITS):
            writer.message_received(update_frame(peer.inserted(index, "x")))
        await until(lambda: len(theirs.messages) > known[1], "the frame")
        assert len(mine.messages) == known[0] + 1
        assert len(theirs.messages) == known[1] + 1
        assert mine.messages[-1] == theirs.messages[-1]
        assert theirs.shown == "x" * EDITS


async def test_a_flush_that_costs_more_comes_less_often(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R2: it waits for twice what the last one cost, on a loop whose clock stands still in callbacks too."""
    starts: list[float] = []
    cost_s = 0.03

    def slow_merge(updates: list[Update], *, is_plain: bool = False) -> Update:
        starts.append(time.monotonic())
        time.sleep(cost_s)
        return merge(updates)

    monkeypatch.setattr("server.batch.merge", slow_merge)
    running = start()
    async with running.peer("d") as peer:
        for _ in range(100):
            await peer.append("x")
            await asyncio.sleep(0.003)
        await peer.acknowledge()
    gaps = [later - earlier for earlier, later in zip(starts, starts[1:], strict=False)]
    assert min(gaps) >= 2.9 * cost_s


async def test_R2_what_another_node_has_collected_does_not_wait_here_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("server.room.FLUSH_INTERVAL_S", 60.0)
    async with running_parts() as parts:
        writer, wire = await parts.join("d")
        [room] = parts.rooms
        peer = Peer("")
        writer.message_received(update_frame(peer.inserted(0, "first ")))
        await until(lambda: wire.shown == "first ", "the first edit")
        writer.message_received(update_frame(peer.inserted(6, "second")))
        deque(room.relay.take(update_of("elsewhere")), maxlen=0)
        await until(lambda: "elsewhere" in wire.shown, "what came from another node")
        assert "second" in wire.shown


async def test_a_room_that_cannot_flush_is_given_up_and_nothing_is_lost(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would else take edits for ever that nobody gets and nothing stores."""
    may_merge = threading.Event()
    may_merge.set()

    def fragile_merge(updates: list[Update], *, is_plain: bool = False) -> Update:
        if not may_merge.is_set():
            raise RuntimeError("a bug")
        return merge(updates)

    monkeypatch.setattr("server.batch.merge", fragile_merge)
    running = start()
    async with running.peer("d") as writer, running.peer("d") as reader, running.peer("other") as stranger:
        await writer.append("stored ")
        await writer.acknowledge()
        may_merge.clear()
        await writer.append("not stored")
        asked = await writer.ask()
        assert await writer.closing() == (CloseCode.FAILURE, CloseCode.FAILURE.phrase)
        assert await reader.closing() == (CloseCode.FAILURE, CloseCode.FAILURE.phrase)
        assert asked not in writer.acknowledged
        may_merge.set()
        await writer.connect()
        await writer.acknowledge()
        await reader.connect()
        await reader.shows("stored not stored")
        await stranger.append("x")
        await stranger.acknowledge()
        await reader.append("!")
        await writer.shows("stored not stored!")


async def test_a_held_update_that_is_refused_takes_no_other_with_it() -> None:
    """Two wait for the same gap: one is taken, the other nests too deeply. The log must know the first."""
    store = MemoryStore()
    async with running_parts(store) as parts:
        attacker, wire = await parts.join("d")
        friend, _ = await parts.join("d")
        attacker.message_received(update_frame(update(section(5, 1, text("b", left=(5, 0))))))
        attacker.message_received(update_frame(chain(6, 1, 1_500)))
        # Makes both possible at once.
        friend.message_received(update_frame(update(section(6, 0, text("c")), section(5, 0, text("a")))))
        await asyncio.sleep(0)
        attacker.tick(asyncio.get_running_loop().time())
        await until(lambda: wire.refusals, "refused")
        assert wire.closing is None
        friend.message_received(update_frame(update(section(7, 0, text("later")))))
        friend.message_received(status(b"saved"))
        friend_wire = parts.wire_of(friend)
        await until(lambda: friend_wire.of(SyncStatus), "acknowledged")
        third, joined = await parts.join("d")
        third.message_received(step_1())
        live = joined.shown
    async with running_parts(store) as parts:
        again, loaded = await parts.join("d")
        again.message_received(step_1())
        assert loaded.shown == live


async def test_D2_nobody_waits_for_the_store_to_have_rested(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the question comes before or after the entry is handed over, or the room is unloaded."""
    monkeypatch.setattr("server.journal.STORE_REST_S", 3_600.0)
    store = MemoryStore()
    async with running_parts(store) as parts:
        writer, wire = await parts.join("d")
        other, _ = await parts.join("other")
        other.message_received(update_frame(update(section(4, 0, text("x")))))
        await until(lambda: not parts.journal.waiting_bytes, "the first is stored at once, and it rests")
        writer.message_received(update_frame(update(section(5, 0, text("a")))))
        writer.message_received(status(b"before"))
        await until(lambda: len(wire.of(SyncStatus)) == 1, "acknowledged")
        writer.message_received(update_frame(update(section(5, 1, text("b", left=(5, 0))))))
        await until(lambda: parts.journal.waiting_bytes, "handed over")
        writer.message_received(status(b"after"))
        await until(lambda: len(wire.of(SyncStatus)) == 2, "acknowledged")
        writer.message_received(update_frame(update(section(5, 2, text("c", left=(5, 1))))))
        parts.leave(writer)
        await until(lambda: parts.live() == ["other"], "unloaded")
    stored = await store.load("d")
    assert Peer.text_of([entry.update for entry in stored.entries]) == "abc"


async def test_a_large_update_whose_sender_leaves_at_once_is_taken_whole(server: RunningServer) -> None:
    """The close frame comes with the end of the update, which is taken in slices for a while longer."""
    content = "".join(f"{number} " for number in range(60_000))
    writer = server.peer("d")
    await writer.connect()
    await writer.synced()
    # Many structs, so that it takes a while.
    large = Update(update(section(9, 0, *[text(part) for part in content.split()])))
    await writer.ws.send(b"\x00\x02" + _var_bytes(large))
    await writer.close()
    async with server.peer("d") as reader:
        await until(lambda: len(reader.shown) == len(content.replace(" ", "")), "all of it")


def _var_bytes(content: bytes) -> bytes:
    from crdt.encoding import encode_var_bytes

    return encode_var_bytes(content)


async def test_a_slow_joiner_of_a_large_document_is_not_taken_for_a_flood() -> None:
    """The base and the tail were ours to send; only what the peer asks for on top of them counts."""
    async with running_parts() as parts:
        writer, _ = await parts.join("d")
        writer.message_received(update_frame(update_of("x" * 12_000_000)))
        await until(lambda: not writer.session.waits and not parts.journal.waiting_bytes, "taken")
        await until(lambda: parts.members[0][1].document.clocks, "taken")
        first, _ = await parts.join("d")
        first.message_received(step_1())
        for _ in range(20):
            writer.message_received(update_frame(update_of("y" * 60_000)))
        joiner, wire = await parts.join("d")
        wire.is_stuck = True
        joiner.message_received(step_1())
        assert wire.of(SyncStep2)
        joiner.message_received(status(b"1"))
        await until(lambda: wire.of(SyncStatus), "acknowledged")
        assert wire.closing is None


async def test_a_peer_that_is_behind_and_asks_for_ever_is_closed() -> None:
    async with running_parts() as parts:
        writer, _ = await parts.join("d")
        greedy, wire = await parts.join("d")
        wire.is_stuck = True
        writer.message_received(update_frame(update_of("x" * 100_000)))
        await until(lambda: wire.unsent_bytes, "behind")
        for number in range(20_000):
            greedy.message_received(status(b"p" * 60 + number.to_bytes(3, "big")))
            if wire.closing:
                break
            await asyncio.sleep(0)
        assert wire.closing == (CloseCode.OVERLOADED, CloseCode.OVERLOADED.phrase)
        assert wire.unsent_bytes < 2**21
