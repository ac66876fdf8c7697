"""Presence of many, and as lists: what one node tells another, and what the API shows."""

import asyncio
import urllib.request
from collections.abc import Callable, Sequence

import pytest

from crdt.awareness import Awareness
from crdt.awareness_entries import NODE_LIMIT_BYTES, encode_entries
from crdt.errors import Malformed
from server.bus.memory import MemoryBus, MemoryStreams
from server.cluster import Cluster
from server.presence import Presence
from server.storage.memory import MemoryStore
from tests.server.servers import RunningServer
from tests.server.support import presence, until

Start = Callable[..., RunningServer]

LARGE = b'{"a":"' + b"x" * 16_000 + b'"}'


class Hall:
    """The presence of a room of which other nodes are to be told."""

    def __init__(self) -> None:
        self.asked = 0
        self.presence = Presence(lambda: None, self._ask)

    def _ask(self) -> None:
        self.asked += 1

    def enter(self, peer: int, clients: Sequence[int], state: bytes) -> None:
        """Connect one who announces its own client, and then others."""
        for some in (clients[:1], clients[1:]):
            update = encode_entries([(client, 1, state) for client in some])
            self.presence.changed(self.presence.awareness.receive(update, peer, 0.0).changed)

    def tell(self) -> list[tuple[bytes, bytes | None]]:
        """Take all that other nodes are to be told, in as many updates as that makes."""
        told = []
        while self.asked:
            self.asked = 0
            _, news, everybody = self.presence.take_for_nodes(0.0)
            told.append((news, everybody))
        return told


async def test_A3_a_large_room_is_told_whole() -> None:
    hall, elsewhere = Hall(), Awareness()
    for number in range(100):
        hall.enter(number + 1, [1 + 60 * number + index for index in range(60)], b'{"user":"somebody"}')
    [(news, everybody)] = hall.tell()
    assert len(elsewhere.receive_relayed(news, -1, 0.0).changed) == 6_000
    assert everybody is not None
    assert len(Awareness().receive_kept({-1: everybody}, 0.0, 0.0).changed) == 6_000


async def test_A3_more_than_nodes_take_at_once_is_told_in_parts_and_the_largest_states_are_not_kept() -> None:
    """They are those of somebody who means harm: the states of stock clients are small."""
    hall, elsewhere = Hall(), Awareness()
    hostile = range(10_000, 11_120)
    for number in range(20):
        hall.enter(number + 1, hostile[56 * number : 56 * number + 56], LARGE)
    people = range(1, 61)
    hall.enter(21, people, b'{"user":"Ann"}')
    (first, everybody), (second, unchanged) = hall.tell()
    assert everybody is not None and unchanged is None
    assert max(map(len, (first, second, everybody))) <= NODE_LIMIT_BYTES
    for news in (first, second):
        elsewhere.receive_relayed(news, -1, 0.0)
    kept = Awareness()
    kept.receive_kept({-1: everybody}, 0.0, 0.0)
    assert set(people) < set(kept.present)
    assert set(elsewhere.present) == {*people, *hostile}


async def test_B13_what_a_node_keeps_and_nobody_can_read_hides_no_other_node(
    caplog: pytest.LogCaptureFixture,
) -> None:
    streams = MemoryStreams()
    one, two, three = (MemoryBus(streams, node=node) for node in ("one", "two", "three"))
    await two.publish_presence("d", b"\x00", encode_entries([(2, 5, b"no JSON")]))
    await three.publish_presence("d", b"\x00", encode_entries([(3, 1, b"{}")]))
    async with asyncio.TaskGroup() as tasks:
        assert await Cluster(one, MemoryStore(), tasks).presence_of("d") == [(3, 1, b"{}")]
    assert "bad presence from node two" in caplog.text


async def test_A12_a_joiner_sees_everybody_of_the_other_nodes_when_nobody_can_read_what_one_keeps() -> None:
    presence = Hall().presence
    kept = {"two": b"?", "three": encode_entries([(3, 1, b"{}")]), "four": encode_entries([(4, 1, b"5")])}
    with pytest.raises(Malformed) as raised:
        presence.hear_all(kept, kept, 1.0, 1.0)
    assert sorted(str(raised.value).split("; ")) == [
        "node four: state is not an object, 1 bytes",
        "node two: count exceeds the bytes left, 1 bytes",
    ]
    assert presence.awareness.present == [3]


async def test_A4_a_state_of_a_node_that_does_not_count_is_reported_once_and_the_others_are_taken() -> None:
    presence = Hall().presence
    with pytest.raises(Malformed, match="^state is not an object, 1 bytes$"):
        presence.hear_node("two", encode_entries([(2, 1, b"5"), (3, 1, b"{}")]), 1.0)
    presence.hear_node("two", encode_entries([(2, 2, b"5"), (3, 2, b"{}")]), 2.0)
    assert list(presence.awareness.entries()) == [(3, 2, b"{}")]


@pytest.mark.parametrize("kind", ["uvicorn"])
@pytest.mark.parametrize("state", [rb'{"a":1e999}', rb'{"a":"\ud800"}', rb'{ "a" : 1E0 }'])
async def test_B13_the_list_shows_every_state_that_clients_can_parse(
    server: RunningServer, state: bytes
) -> None:
    hello = encode_entries([(1, 3, state)])
    async with server.peer("d", hello=hello), server.peer("d", hello=presence((2, 1, {}))) as ben:
        await until(lambda: set(ben.present) >= {1, 2}, "both")
        url = f"http://127.0.0.1:{server.port}/api/v1/documents/d/presence"
        answer = await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=5).read())
        one = b'{"client":1,"clock":3,"state":' + state + b"}"
        two = b'{"client":2,"clock":1,"state":{}}'
        assert answer == b'{"document":"d","clients":[' + one + b"," + two + b"]}"
