"""Two people type one document at the same time while their connections come and go."""

from tests.interop.peers import Room
from tests.support.clients import VERSIONS
from tests.support.node import run_program
from tests.support.server_process import ServerProcess
from tests.support.traces import FRIENDSFOREVER, text_at_end


async def test_concurrent_recording_ends_as_recorded(
    server: ServerProcess, room: Room, document: str, seed: int
) -> None:
    """26,000 concurrent edits over some hundred lost connections make exactly the recorded text, for all."""
    expected = text_at_end(FRIENDSFOREVER)

    program = run_program("friends.mjs", server.ws_root, document, str(FRIENDSFOREVER), str(seed))
    *_, result = [line async for line in program]

    assert all(losses > 0 for losses in result["losses"]), "the connections were never lost"
    assert result["texts"] == [expected, expected]
    late = await room.enter(VERSIONS[0], "late")
    await late.wait_text(expected)
