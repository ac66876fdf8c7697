"""Stock clients of a page that may not connect: they print why, and their coming back is slowed down."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from server.admission import FOREIGN
from server.patience import Holding
from server.refusals import Refusals
from tests.server.servers import RunningServer, running_server
from tests.support.clients import VERSIONS, NodeClients, StockClient
from tests.support.polling import poll

OLD = VERSIONS[1:]
"""They come back after every close, 0.1 s later."""
PAGE = "https://page.example"
LONG_S = 3_600.0

Start = Callable[[Holding], RunningServer]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start a server that holds as the test says."""
    with ExitStack() as stack:
        yield lambda holding: stack.enter_context(
            running_server("uvicorn", monkeypatch, refusals=Refusals(holding))
        )


async def open_page(node: NodeClients, server: RunningServer, version: str) -> StockClient:
    """Open a stock client in a page of a foreign origin."""
    url = f"ws://127.0.0.1:{server.port}/ws"
    return await node.open("page", url, "d", version=version, origin=PAGE)


async def refused(server: RunningServer, times: int) -> None:
    """Wait until the server has refused so often."""

    async def is_reached() -> bool:
        return await server.call(lambda: server.node.refusals.counts.total()) >= times

    await poll(is_reached, 30, f"{times} refusals")


@pytest.mark.parametrize("version", VERSIONS)
async def test_L3_a_refused_client_prints_why_and_is_held(
    start: Start, node: NodeClients, version: str
) -> None:
    """Nothing that is typed meanwhile is taken, and nothing makes the client believe that it is synced."""
    server = start(Holding(first_s=LONG_S, longest_s=LONG_S))
    page = await open_page(node, server, version)

    async def is_told() -> bool:
        return any(FOREIGN in warning for warning in await page.warnings())

    await poll(is_told, 15, "the client prints why")
    await page.insert(0, "never saved")
    refusals = server.node.refusals
    assert await server.call(lambda: (refusals.held, refusals.counts.total())) == (1, 1)
    assert (await page.history("sync"), await page.history("close")) == ([], [])
    assert not await server.documents()


@pytest.mark.parametrize("version", OLD)
async def test_L9_an_old_client_comes_back_no_oftener_than_it_is_held(
    start: Start, node: NodeClients, version: str
) -> None:
    server = start(Holding(first_s=0.2, longest_s=0.8))
    began = time.monotonic()
    await open_page(node, server, version)
    await refused(server, 6)
    # A busy machine only makes it longer. Without holding it would be half a second.
    assert time.monotonic() - began >= 0.2 + 0.4 + 3 * 0.8


async def test_L9_a_new_client_stops_at_the_first_refusal(start: Start, node: NodeClients) -> None:
    server = start(Holding(first_s=0.05))
    page = await open_page(node, server, VERSIONS[0])

    async def has_stopped() -> bool:
        return await page.history("closed") == [4403]

    await poll(has_stopped, 15, "the client gives up")
    assert server.node.refusals.counts == {4403: 1}
