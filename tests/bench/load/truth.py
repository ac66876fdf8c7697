"""Checks that a server has what the generator sent, by a fresh client."""

from collections.abc import Mapping, Sequence

from tests.bench.load.client import Client
from tests.bench.load.crowd import Crowd
from tests.bench.load.probe import Probe
from tests.bench.load.source import Source, typed_text
from tests.bench.systems.contract import Server

__all__ = ["Mismatch", "check_probes", "check_received", "check_typed"]

RECEIVED_LIMIT_S = 5.0
PRACTICALLY_ALL = 0.95
"""A server may have told the one, who joined last, something more."""


class Mismatch(Exception):
    """Somebody has another document than what was sent."""


async def check_typed(crowd: Crowd, server: Server, sources: Sequence[Source]) -> None:
    """Let a fresh client sync the document of ``sources``, who were alone in it; raises ``Mismatch``."""
    fresh = await crowd.join(Probe(server, sources[0].document))
    check_probes([fresh], sources)
    crowd.dismiss(fresh)


async def check_received(
    crowd: Crowd, readers: Sequence[Client], probe: Probe, before: Mapping[Client, int]
) -> None:
    """Wait until every one of ``readers`` has got about as many bytes as ``probe``; raises ``Mismatch``."""
    due = PRACTICALLY_ALL * (probe.received_bytes - before[probe])

    def have_all() -> bool:
        return all(reader.received_bytes - before[reader] >= due for reader in readers)

    if not await crowd.until(have_all, RECEIVED_LIMIT_S):
        raise Mismatch("a reader got less than the probe")


def check_probes(probes: Sequence[Probe], sources: Sequence[Source]) -> None:
    """Compare clocks and text of ``probes`` with what ``sources`` typed; raises ``Mismatch``."""
    clocks = {source.client_id: source.sent for source in sources if source.sent}
    # Those who start at the same place stand in the order of their ids.
    typed = "".join(typed_text(client, clocks[client]) for client in sorted(clocks))
    for probe in probes:
        if probe.clocks() != clocks:
            raise Mismatch(f"{probe.document}: the clocks are not those that were sent")
        if probe.text != typed:
            raise Mismatch(f"{probe.document}: the text is not what was typed")
