"""Servers for tests: everything that a client sees runs on every kind of server."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack

import pytest

from server.refusals import Refusals
from server.storage import Store
from tests.server.servers import KINDS, RunningServer, running_server

Start = Callable[..., RunningServer]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Name the kind of server."""
    chosen: str = request.param
    return chosen


@pytest.fixture
async def start(kind: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Start]:
    """Start a server of this kind with a store and settings of the test's own; all end with the test."""
    servers: list[RunningServer] = []
    with ExitStack() as stack:

        def start(
            store: Store | None = None, refusals: Refusals | None = None, **settings: object
        ) -> RunningServer:
            run = running_server(kind, monkeypatch, store, settings, refusals)
            servers.append(stack.enter_context(run))
            return servers[-1]

        yield start
        for server in servers:
            await server.end_peers()


SHARED_LIMIT_BYTES = 2**17
"""The largest message that the shared server takes."""


@pytest.fixture(scope="module", params=KINDS)
def shared(request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    """Run one server for all tests of a module that keep to documents of their own."""
    settings = {"max_message_bytes": SHARED_LIMIT_BYTES}
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        running_server(request.param, monkeypatch, None, settings) as server,
    ):
        yield server


@pytest.fixture
def server(start: Start) -> RunningServer:
    """Run a server with a store in memory."""
    return start()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody wait for chance, nor long for another attempt."""
    monkeypatch.setattr("server.lost_stream.REPUBLISH_WITHIN_S", 0.0)
    monkeypatch.setattr("server.follower.RETRY_MIN_S", 0.01)
    monkeypatch.setattr("server.follower.RETRY_MAX_S", 0.01)
    monkeypatch.setattr("server.publisher.RETRY_S", 0.01)
