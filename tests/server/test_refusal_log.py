"""What a refusal says to the operator: once, and with what to do."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from websockets.typing import Origin

from crdt.errors import CloseCode
from crdt.messages import SyncUpdate
from server.patience import Holding
from server.refusals import Refusals
from server.tally import Tally
from tests.crdt.build import item, section, update
from tests.server.servers import RunningServer
from tests.server.support import Peer, until, warnings_of
from tests.support.server_process import ServerProcess

Start = Callable[..., RunningServer]

FOREIGN_PAGE = {"origin": Origin("https://page.example")}


async def test_L11_a_hundred_refusals_are_one_line_that_says_what_to_do(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    server = start(refusals=Refusals(Holding(first_s=0), Tally()))
    for _ in range(100):
        peer = server.peer("d", options=FOREIGN_PAGE)
        await peer.connect()
        await peer.closing()
    (line,) = warnings_of(caplog)
    assert line.getMessage() == (
        "refused: foreign origin https://page.example; "
        "to let its pages in: --allow-origin https://page.example"
    )
    assert (line.levelno, vars(line)["code"], vars(line)["address"]) == (logging.WARNING, 4403, "127.0.0.1")
    assert server.node.refusals.counts == {CloseCode.FORBIDDEN: 100}
    allowed = start(allow_origin=("https://page.example",))
    async with Peer(allowed.url("d"), FOREIGN_PAGE) as welcome:
        assert welcome.is_synced


async def test_L11_what_connected_peers_provoke_is_one_line_too(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    server = start(refusals=Refusals(Holding(), Tally()))
    for _ in range(20):
        peer = server.peer("d")
        await peer.connect()
        await peer.synced()
        await peer.ws.send(b"\x07 no such message")
        await peer.closing()
    (line,) = warnings_of(caplog)
    assert (vars(line)["document"], vars(line)["code"]) == ("d", CloseCode.MALFORMED)
    assert server.node.refusals.counts[CloseCode.MALFORMED] == 20


async def test_L11_edits_that_cannot_be_taken_are_one_line_too(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    server = start(refusals=Refusals(Holding(first_s=0)))
    deep = b"\x01" + b"\x75\x01" * 600 + b"\x7e"
    async with server.peer("d") as peer:
        for clock in range(30):
            left = (1, clock - 1) if clock else None
            await peer.send(SyncUpdate(update(section(1, clock, item(8, deep, left=left)))))
        await peer.acknowledge()
    assert len(warnings_of(caplog)) == 1


async def test_L11_an_origin_cannot_write_into_the_log(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    server = start()
    for origin in ("null", "no origin at all", "x" * 5_000):
        peer = server.peer("d", options={"origin": Origin(origin)})
        await peer.connect()
        await peer.closing()
    lines = warnings_of(caplog)
    assert len(lines) == 3
    for line in lines:
        assert line.getMessage().isprintable()
        assert len(line.getMessage()) < 250
        assert "'*'" in line.getMessage()


async def test_L10_of_a_server_as_it_runs_nobody_is_a_proxy(tmp_path: Path) -> None:
    """The library below would believe whoever connects from the same machine."""
    forged = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}
    with ServerProcess(tmp_path / "data") as process:
        own = {"origin": Origin(process.http_url), "additional_headers": forged}
        async with Peer(process.ws_url("d"), own) as welcome:
            assert welcome.is_synced
        peer = Peer(process.ws_url("d"), {**FOREIGN_PAGE, "additional_headers": forged})
        await peer.connect()
        await until(lambda: peer.frames, "told")
        # Held, and told to go with its own code: it need not come back to the next server.
        assert await asyncio.to_thread(process.stop) == 0
        assert (await peer.closing())[0] == CloseCode.FORBIDDEN
        (line,) = [line for line in process.log.read_text().splitlines() if "refused" in line]
        assert line.endswith("code=4403 path='/ws/d' address='127.0.0.1'")
