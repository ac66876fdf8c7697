"""What is large, and what is many, with stock clients: whatever the server gives out it takes back (L7)."""

import asyncio
from pathlib import Path

import pytest

from crdt.update import Update
from tests.crdt.build import section, text, update
from tests.interop.peers import Room
from tests.support.clients import VERSIONS, NodeClients, StockClient
from tests.support.raw_client import RawClient
from tests.support.server_process import ServerProcess

CLIENTS = 45_000
"""Their state vector is 270 KB."""
CONNECTIONS = 3
FIRST_ID = 4_000_000_000

PASTED, IMAGE = 15_000_000, 10_000_000
PATIENCE_S = 90.0


def letters(first: int, count: int) -> Update:
    """One letter by each of ``count`` clients, each behind the one before; the first has the highest id."""
    ids = range(FIRST_ID - first, FIRST_ID - first - count, -1)
    return update(
        *(
            section(client, 0, text("x", left=(client + 1, 0) if client < FIRST_ID else None, parent="text"))
            for client in ids
        )
    )


async def write_by_many(server: ServerProcess, document: str) -> None:
    each = CLIENTS // CONNECTIONS
    for number in range(CONNECTIONS):
        async with RawClient.open(server.ws_url(document)) as client:
            await client.send(letters(number * each, each))
            await client.acknowledge()


async def were_refused(*clients: StockClient) -> bool:
    """Whether any of them was closed for good."""
    return any([await client.history("closed") for client in clients])


@pytest.mark.parametrize("version", [VERSIONS[0], VERSIONS[-1]])
async def test_L7_a_document_of_45_000_client_ids_is_read_and_edited(
    tmp_path: Path, node: NodeClients, version: str
) -> None:
    with ServerProcess(tmp_path / "data") as server:
        await write_by_many(server, "crowded")
        room = Room(server, node, "crowded")
        reader = await room.enter_stock(version, "reader")
        await reader.wait_text("x" * CLIENTS)
        await reader.disconnect()
        await reader.connect()
        await reader.wait_returned(1)
        await reader.insert(0, "typed ")
        await reader.acknowledge()

        await asyncio.to_thread(server.restart)

        await reader.wait_returned(2)
        await reader.insert(6, "again ")
        await reader.acknowledge()
        late = await room.enter_stock(version, "late")
        await late.wait_text("typed again " + "x" * CLIENTS)
        assert not await were_refused(reader, late)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("version", [VERSIONS[0], VERSIONS[-1]])
async def test_L4_a_paste_of_25_MB_is_taken_and_typing_goes_on(
    tmp_path: Path, node: NodeClients, version: str
) -> None:
    with ServerProcess(tmp_path / "data") as server, ServerProcess(tmp_path / "blank") as blank:
        room = Room(server, node, "large")
        author = await room.enter_stock(version, "author")
        partner = await room.enter_stock(version, "partner")
        await author.paste(0, PASTED)
        await author.paste_image("photo", IMAGE)
        await author.acknowledge(PATIENCE_S)
        await author.insert(PASTED, " typed behind it")
        await author.acknowledge(PATIENCE_S)
        sizes = PASTED + 16, IMAGE
        await partner.wait_sizes(*sizes, timeout_s=PATIENCE_S)

        await asyncio.to_thread(server.restart)
        late = await room.enter_stock(version, "late")
        await late.wait_sizes(*sizes, timeout_s=PATIENCE_S)

        # Whoever has it brings it to a server that has lost everything, in one message.
        await author.disconnect()
        await author.move(blank.ws_root)
        await author.connect()
        await author.acknowledge(PATIENCE_S)
        other = await Room(blank, node, "large").enter_stock(version, "other")
        await other.wait_sizes(*sizes, timeout_s=PATIENCE_S)
        assert not await were_refused(author, partner, late, other)


@pytest.mark.parametrize("version", [VERSIONS[0], VERSIONS[-1]])
async def test_U16_an_image_that_has_no_place_is_left_out_and_its_author_goes_on(
    server: ServerProcess, node: NodeClients, document: str, version: str
) -> None:
    room = Room(server, node, document)
    author = await room.enter_stock(version, "author")
    partner = await room.enter_stock(version, "partner")
    await author.paste_image("photo", 20_000_000)
    await author.acknowledge(PATIENCE_S)
    await partner.wait_sizes(0, 20_000_000, timeout_s=PATIENCE_S)
    await author.paste_image("another", 40_000_000)
    await author.insert(0, "typed behind it")
    await author.acknowledge(PATIENCE_S)
    # At its author's, too: everybody has the same.
    for client in (author, partner):
        await client.wait_sizes(15, 20_000_000, timeout_s=PATIENCE_S)
    assert not await were_refused(author, partner)
