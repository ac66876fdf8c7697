"""Who comes to a room just opened announces itself anew, and others hear of it once (A7)."""

import pytest

from crdt.awareness_entries import encode_entries
from crdt.messages import AwarenessUpdate
from server.bus.memory import MemoryBus, MemoryStreams
from tests.server.parts import awareness, running_parts
from tests.server.servers import RunningServer
from tests.server.support import presence, until
from tests.support.bus_ear import Ear

ANN = {"user": {"name": "Ann"}}
BEN = {"user": {"name": "Ben"}}


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for an answer as good as for ever."""
    monkeypatch.setattr("server.presence.ANSWER_S", 60.0)


async def test_A7_who_comes_to_a_room_just_opened_is_told_so_and_the_others_hear_of_it_once(
    server: RunningServer, patient: None
) -> None:
    """As after a restart: those who were here before remember its clock, and do not show it."""
    async with server.peer("d") as ben, server.peer("d", hello=presence((1, 3, ANN))) as ann:
        await until(lambda: ann.presence_log == [(1, 3, None)], "told")
        await ann.send(AwarenessUpdate(presence((1, 4, ANN))))
        await until(lambda: ben.presence_log == [(1, 4, ANN)], "Ann, with her new clock")
        await until(lambda: ann.presence_log == [(1, 3, None), (1, 4, ANN)], "told once")


async def test_A7_who_does_not_announce_itself_anew_is_shown_all_the_same(server: RunningServer) -> None:
    async with server.peer("d") as ben, server.peer("d", hello=presence((1, 3, ANN))) as ann:
        await until(lambda: (1, 3, None) in ann.presence_log, "told")
        await until(lambda: ben.presence_log == [(1, 3, ANN)], "Ann, with her old clock")


async def test_A7_whoever_joins_meanwhile_sees_who_was_told(server: RunningServer, patient: None) -> None:
    async with server.peer("d", hello=presence((1, 3, ANN))) as ann:
        await until(lambda: (1, 3, None) in ann.presence_log, "told")
        async with server.peer("d") as ben:
            await until(lambda: ben.presence_log == [(1, 3, ANN)], "Ann")


async def test_A7_whoever_leaves_without_an_answer_is_not_shown(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.presence.ANSWER_S", 0.05)
    async with server.peer("d") as ben:
        async with server.peer("d", hello=presence((1, 3, ANN))) as ann:
            await ann.send(AwarenessUpdate(presence((1, 4, None))))
            await until(lambda: ben.presence_log == [(1, 4, None)], "gone")
        async with server.peer("d", hello=presence((2, 3, BEN))):
            await until(lambda: ben.state_of(2) == BEN, "somebody else, whose moment began later")
        assert [seen for seen in ben.presence_log if seen[0] == 1] == [(1, 4, None)]


async def test_B12_other_nodes_hear_at_once_of_who_was_told(patient: None) -> None:
    """Else the one it came from would show it as gone after the grace."""
    streams, ear = MemoryStreams(), Ear()
    here = encode_entries([(1, 3, b'{"name":"Ann"}')])
    async with running_parts(bus=MemoryBus(streams, node="one")) as parts:
        await MemoryBus(streams, node="two").listen("d", ear)
        connection, wire = await parts.join("d")
        connection.message_received(awareness(here))
        await ear.hears(here)
        assert wire.of(AwarenessUpdate) == [AwarenessUpdate(encode_entries([(1, 3, None)]))]
