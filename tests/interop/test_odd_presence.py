"""Whatever an application sets as its presence, a stock client goes on writing, and nobody else notices."""

import pytest

from tests.interop.peers import Room
from tests.support.clients import OLD_VERSION, VERSIONS, StockClient
from tests.support.polling import poll

SEEN_LIMIT_S = 15.0
ODD_STATES = (
    "text",
    "half a surrogate pair",
    "byte order mark",
    "number",
    "true",
    "list",
    "date",
    "own idea of JSON",
    "20 KB",
    "3 MB",
    "3 MB of surrogates",
    "nested",
)
ODD_COMPANY = ("crowd", "the same one twice", "clock out of range")

each_version = pytest.mark.parametrize("version", (*VERSIONS, OLD_VERSION))


async def wait_clock(observer: StockClient, of: StockClient) -> None:
    """Wait until ``observer`` has heard the latest that another client said of its presence."""
    client_id = await of.client_id()
    clock = await of.awareness_clock(client_id)

    async def has_heard() -> bool:
        return await observer.awareness_clock(client_id) == clock

    await poll(has_heard, SEEN_LIMIT_S, f"{observer.name} has heard of {of.name} at clock {clock}")


async def write_on(client: StockClient, observer: StockClient, text: str) -> None:
    """Insert at the beginning: it is acknowledged and arrives."""
    before = await observer.text()
    await client.insert(0, text)
    await client.acknowledge()
    await observer.wait_text(text + before)


@each_version
async def test_A4_a_client_with_an_odd_state_writes_on_and_is_seen_as_it_was(
    room: Room, version: str
) -> None:
    odd = await room.enter_stock(version, "odd")
    observer = await room.enter_stock(VERSIONS[0], "observer")
    other = await room.enter_stock(version, "other")
    odd_id, other_id = await odd.client_id(), await other.client_id()
    await other.set_awareness({"user": "other"})
    await odd.set_awareness({"user": "odd"})
    for client in (odd, other):
        await wait_clock(observer, client)
    seen_before = len(await observer.history("present"))

    shown: dict[str, object] = {"user": "odd"}
    for number, kind in enumerate(ODD_STATES):
        await odd.set_odd_awareness(kind)
        await write_on(odd, observer, f"{kind}\n")
        await wait_clock(observer, odd)
        assert (await observer.awareness())[odd_id] == shown, kind
        if number % 2:
            shown = {"user": "odd", "after": kind}
            await odd.set_awareness(shown)
            await wait_clock(observer, odd)
            assert (await observer.awareness())[odd_id] == shown, kind

    assert (await observer.awareness())[other_id] == {"user": "other"}
    for seen in (await observer.history("present"))[seen_before:]:
        assert isinstance(seen, list) and {odd_id, other_id} <= set(seen)
    for client in (odd, observer, other):
        assert await client.history("status") == ["connecting", "connected"], client.name


@each_version
async def test_A3_a_client_that_tells_odd_things_of_others_writes_on(room: Room, version: str) -> None:
    odd = await room.enter_stock(version, "odd")
    observer = await room.enter_stock(VERSIONS[0], "observer")
    for kind in ODD_COMPANY:
        await odd.bring_odd_company(kind)
        await write_on(odd, observer, f"{kind}\n")
        await odd.set_awareness({"user": kind})
        await wait_clock(observer, odd)
        assert (await observer.awareness())[await odd.client_id()] == {"user": kind}
    for client in (odd, observer):
        assert await client.history("status") == ["connecting", "connected"], client.name


async def test_A4_whoever_comes_with_an_odd_state_is_seen_with_the_next_one(room: Room) -> None:
    observer = await room.enter_stock(VERSIONS[0], "observer")
    odd = await room.open_stock(VERSIONS[0], "odd")
    await odd.set_odd_awareness("list")
    await odd.connect()
    await odd.wait_synced()
    await write_on(odd, observer, "here")
    assert await odd.client_id() not in await observer.awareness()

    await odd.set_awareness({"user": "odd"})

    await wait_clock(observer, odd)
    assert (await observer.awareness())[await odd.client_id()] == {"user": "odd"}
