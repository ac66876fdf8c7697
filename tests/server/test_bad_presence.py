"""Presence that is of no use to anybody is dropped and logged once, and costs nobody anything."""

import logging

import pytest

from crdt.awareness_entries import encode_entries
from crdt.messages import AwarenessUpdate
from tests.server.servers import RunningServer
from tests.server.support import presence, until, warnings_of

SECRET = b"a secret of the document"
ANN, BEN = {"user": {"name": "Ann"}}, {"user": {"name": "Ben"}}

BAD = {
    "no JSON": (b"{" + SECRET, "state is not JSON"),
    "NaN": (b'{"' + SECRET + b'":NaN}', "state is not JSON"),
    "a list": (b'["' + SECRET + b'"]', "state is not an object"),
    "nested deeply": (b'{"x":' + b"[" * 8_000 + b"]" * 8_000 + b"}", "state nested too deeply"),
    "17 KB": (b'{"x":"' + SECRET * 700 + b'"}', "state too large"),
    "100 KB": (b'{"x":"' + SECRET * 4_200 + b'"}', "state too large"),
}


@pytest.mark.parametrize("name", BAD)
async def test_A4_a_flood_of_bad_states_is_dropped_and_logged_once_and_edits_go_on(
    shared: RunningServer, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    state, reason = BAD[name]
    async with (
        shared.peer(f"p/{name}", hello=presence((2, 1, BEN))) as ben,
        shared.peer(f"p/{name}", hello=presence((1, 1, ANN))) as ann,
    ):
        await until(lambda: ben.state_of(1) == ANN, "Ann")
        for clock in range(2, 12):
            await ann.send(AwarenessUpdate(encode_entries([(1, clock, state)])))
        await ann.append("still here")
        await ann.acknowledge()
        await ben.shows("still here")
        await until(lambda: ben.present[1] == (11, ANN), "Ann as she was")
        await ann.send(AwarenessUpdate(presence((1, 12, BEN))))
        await until(lambda: ben.present[1] == (12, BEN), "Ann as she is")
        assert all(seen in (ANN, BEN) for client, _, seen in ben.presence_log if client == 1)
    (line,) = warnings_of(caplog)
    assert line.getMessage() == f"dropped {len(state)} bytes: presence: {reason}"
    assert (line.levelno, vars(line)["document"]) == (logging.WARNING, f"p/{name}")
    assert isinstance(vars(line)["connection"], int)
