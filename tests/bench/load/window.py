"""What a server used while traffic ran: CPU, what arrived, and how late."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.load.crowd import Crowd
from tests.bench.load.meter import BUSY_SHARE, Meter
from tests.bench.load.pace import Pace
from tests.bench.load.probe import Probe
from tests.bench.load.source import Source
from tests.bench.systems.contract import Costs, Server

__all__ = ["WINDOW_S", "Window", "costs_of", "frames_needed", "measure_window"]

WARM_S = 1.0
WINDOW_S = 3.0
DRAIN_LIMIT_S = 6.0


@dataclass(frozen=True, slots=True)
class Window:
    """What happened while it was open, until all had arrived."""

    by_process_s: list[dict[int, float]]
    """What the processes of every server used, in the order given."""
    seconds: float
    """How long edits were sent."""
    updates: float
    """How many frames arrived: all that were sent in it, unless the server fell behind."""
    latencies_ms: list[float]
    is_drained: bool
    """Whether all arrived in the end."""
    generator_share: float
    """Which part of its core the generator used."""
    notes: list[str]

    @property
    def cpu_each_s(self) -> list[float]:
        """What every server used, in the order given."""
        return [sum(used.values()) for used in self.by_process_s]

    @property
    def cpu_s(self) -> float:
        """What all servers used together."""
        return sum(self.cpu_each_s)

    @property
    def figures(self) -> dict[str, float]:
        """What every window has: the latencies, and how busy the generator was."""
        return _latency_figures(self.latencies_ms) | {"generator_share": self.generator_share}


def frames_needed(each_per_second: float) -> int:
    """Return how many frames a source must have ready for a window."""
    return int((WARM_S + WINDOW_S + 3) * each_per_second) + 2


def costs_of(servers: Sequence[Server]) -> list[Costs]:
    """Return all that ``servers`` run on, each once, the Redis that they share too."""
    everything = [*servers, *(server.redis for server in servers if server.redis is not None)]
    return list({id(costs): costs for costs in everything}.values())


def _latency_figures(latencies_ms: Sequence[float]) -> dict[str, float]:
    if len(latencies_ms) < 2:
        return {}
    cuts = statistics.quantiles(latencies_ms, n=100, method="inclusive")
    return {"p50_ms": cuts[49], "p99_ms": cuts[98]}


async def measure_window(
    servers: Sequence[Costs],
    crowd: Crowd,
    sources: Sequence[Source],
    probes: Sequence[Probe],
    *paces: Pace,
    window_s: float = WINDOW_S,
) -> Window:
    """Send for a while, then wait until the probes have everything; raises ``Lost``.

    Only the frames of ``sources`` are counted; ``paces`` may send others too.
    """
    for probe in probes:
        probe.watch(sources)
    for pace in paces:
        pace.start()
    await asyncio.sleep(WARM_S)
    before = _served(sources, probes)
    meter = Meter(servers)
    for probe in probes:
        probe.since = time.perf_counter()
    await asyncio.sleep(window_s)
    for pace in paces:
        pace.stop()
    seconds, share = meter.seconds, meter.generator_share
    is_drained = await crowd.until(
        lambda: all(probe.arrived == probe.expected for probe in probes), DRAIN_LIMIT_S
    )
    crowd.check()
    by_process_s = meter.by_process_s()
    notes = [] if share < BUSY_SHARE else ["The generator was busy: it may be what was measured."]
    overdue = [late for probe in probes for late in probe.overdue_ms()]
    if not is_drained:
        notes.append(f"{len(overdue)} edits had not arrived after {DRAIN_LIMIT_S:g} s more.")
    latencies = [latency for probe in probes for latency in probe.latencies_ms] + overdue
    updates = _served(sources, probes) - before
    return Window(by_process_s, seconds, updates, latencies, is_drained, share, notes)


def _served(sources: Sequence[Source], probes: Sequence[Probe]) -> float:
    """Return how many of all frames have arrived, judged by the share that has at the probes."""
    share = sum(probe.arrived for probe in probes) / max(1, sum(probe.expected for probe in probes))
    return share * sum(source.sent for source in sources)
