"""A running server and a Node process for each test of this folder that asks for them."""

import re
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.interop.peers import Room
from tests.support.clients import NodeClients
from tests.support.server_process import ServerProcess


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of the test module's own; its tests use different documents."""
    with ServerProcess(tmp_path_factory.mktemp("server") / "data") as running:
        yield running


@pytest.fixture
def document(request: pytest.FixtureRequest) -> str:
    """The name of a document that no other test uses."""
    return re.sub(r"[^a-z0-9]+", "-", request.node.name)


@pytest.fixture
async def node() -> AsyncIterator[NodeClients]:
    """A Node process for stock clients."""
    async with NodeClients() as running:
        yield running


@pytest.fixture
async def room(server: ServerProcess, node: NodeClients, document: str) -> AsyncIterator[Room]:
    """A document to enter with stock clients."""
    entered = Room(server, node, document)
    yield entered
    await entered.leave()
    await entered.check_nobody_helped_itself()
