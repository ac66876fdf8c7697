"""What Cowrite is held to: ratios within one run, and a few absolute figures. All of them in one table."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from server.pace import FLUSH_INTERVAL_S, PRESENCE_INTERVAL_S
from tests.bench.results import Results

__all__ = ["OURS", "PEERS", "TARGETS", "Rule", "Target", "Verdict", "best_peer", "is_more_better", "judge"]

OURS = "cowrite"
PEERS = ("y-websocket", "hocuspocus", "pycrdt-websocket")
"""Those that the best is taken of; the bare broadcast serves no documents."""

FLUSH_INTERVAL_MS, PRESENCE_INTERVAL_MS = 1_000 * FLUSH_INTERVAL_S, 1_000 * PRESENCE_INTERVAL_S
"""How long an edit, or a cursor, may wait, so that it is sent together with others."""
LEVEL = 1.1
"""Up to here, a figure that should not grow is called level: figures of two runs differ as much."""
ASLEEP_US_PER_S = 10.0
"""What a connection may cost on which nothing happens: 100,000 of them fill a core."""


class Rule(Enum):
    """How a figure of Cowrite becomes the value that the limit is for."""

    RATIO = "times"
    """Divided by the same figure of others, the best of them."""
    EXCESS = "more than"
    """The same figure of others, the best of them, taken away from it."""
    ALONE = ""
    """As it is."""
    OWN_RATIO = "times own"
    """Divided by another figure of Cowrite in the same scenario."""
    OWN_EXCESS = "more than own"
    """Another figure of Cowrite in the same scenario, taken away from it."""


@dataclass(frozen=True, slots=True)
class Target:
    """One limit."""

    scenario: str
    figure: str
    limit: float
    rule: Rule = Rule.RATIO
    others: tuple[str, ...] = PEERS
    """Who it is compared with."""
    other_figure: str = ""
    """The other figure of Cowrite that it is compared with."""
    is_extrapolated: bool = False
    """Whether the figure was computed for more cores than were used, which the report then says."""

    @property
    def is_floor(self) -> bool:
        """Whether the value must be at least the limit, not at most."""
        return is_more_better(self.figure)

    def __str__(self) -> str:
        sign = "≥" if self.is_floor else "≤"
        match self.rule:
            case Rule.ALONE:
                return f"{sign} {self.limit:g}"
            case Rule.OWN_RATIO:
                extrapolated = " (extrapolated)" if self.is_extrapolated else ""
                return f"{sign} {self.limit:g} × own {self.other_figure}{extrapolated}"
            case Rule.OWN_EXCESS:
                return f"{sign} own {self.other_figure} + {self.limit:g} {self._unit}"
            case Rule.RATIO:
                return f"{sign} {self.limit:g} × {self._compared}"
            case Rule.EXCESS:
                return f"{sign} {self._compared} + {self.limit:g} {self._unit}"

    @property
    def _unit(self) -> str:
        return self.figure.rpartition("_")[2]

    @property
    def _compared(self) -> str:
        return "best peer" if self.others == PEERS else " or ".join(self.others)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How Cowrite did on one target."""

    target: Target
    value: float | None
    """What the limit is for; None where a figure is missing."""
    failures: int = 0
    """How many of Cowrite's repeats failed."""

    @property
    def is_met(self) -> bool:
        """Whether the limit is kept: by no missing figure, and not where one repeat of several failed."""
        if self.value is None or self.failures:
            return False
        return self.value >= self.target.limit if self.target.is_floor else self.value <= self.target.limit


def _unsaturated_latency() -> list[Target]:
    # Where a peer is saturated another one is the best; where all are, theirs is what they offer.
    waits_ms = dict.fromkeys(("fan", "fan500", "busy", "busy100", "rooms", "mixed"), FLUSH_INTERVAL_MS)
    waits_ms |= dict.fromkeys(("presence", "presence300"), PRESENCE_INTERVAL_MS)
    return [
        Target(scenario, figure, wait_ms, Rule.EXCESS)
        for scenario, wait_ms in waits_ms.items()
        for figure in ("p50_ms", "p99_ms")
    ]


TARGETS: Sequence[Target] = (
    Target("fan", "cpu_us_per_delivery", 0.55),
    Target("fan", "cpu_us_per_delivery", 1.25, others=("bare",)),
    Target("fan500", "cpu_us_per_delivery", 0.7),
    Target("fan500", "cpu_us_per_delivery", 1.25, others=("bare",)),
    Target("busy", "cpu_us_per_delivery", 0.3),
    Target("busy100", "cpu_us_per_delivery", 0.25),
    Target("busy100", "p99_ms", 20.0, Rule.ALONE),
    Target("rooms", "cpu_us_per_update", 0.8),
    Target("join_paper", "synced_s", 0.2),
    Target("join4", "synced_s", 0.3, others=("pycrdt-websocket",)),
    Target("join4", "synced_s", 0.1, others=("hocuspocus",)),
    Target("join4", "peak_mb", 0.5),
    Target("presence", "cpu_us_per_delivery", 0.4),
    Target("presence300", "cpu_us_per_delivery", 0.25),
    Target("idle", "kb_per_connection", 0.5),
    Target("replay", "updates_per_s", 1.5),
    Target("reconnect", "synced_s", 0.3),
    Target("start", "start_s", 1.0, Rule.ALONE),
    Target("start", "rss_mb", 70.0, Rule.ALONE),
    Target("sleep", "cpu_us_per_connection_s", ASLEEP_US_PER_S, Rule.ALONE),
    *(
        Target(
            "growth",
            f"cpu_us_per_delivery_{more}",
            LEVEL,
            Rule.OWN_RATIO,
            other_figure=f"cpu_us_per_delivery_{fewer}",
        )
        for fewer, more in ((10, 30), (30, 100), (100, 300), (300, 1_000))
    ),
    *(
        Target(
            "cross", f"{party}_apart_p50_ms", 3.0, Rule.OWN_EXCESS, other_figure=f"{party}_together_p50_ms"
        )
        for party in ("fan", "busy100")
    ),
    Target(
        "cross",
        "idle_10000_redis_cpu_us_per_update",
        1.2,
        Rule.OWN_RATIO,
        other_figure="idle_100_redis_cpu_us_per_update",
    ),
    # Both with Redis, and not a load that was carried: what the CPU used would come to on two full cores.
    Target(
        "mixed",
        "load_two_workers",
        1.7,
        Rule.OWN_RATIO,
        other_figure="load_one_worker",
        is_extrapolated=True,
    ),
    *_unsaturated_latency(),
)


def is_more_better(figure: str) -> bool:
    """Tell whether a figure counts what is achieved, so that more of it is better."""
    return figure.startswith(("updates_per_s", "deliveries_per_s", "load"))


def best_peer(
    results: Results, scenario: str, figure: str, others: Sequence[str] = PEERS
) -> tuple[str, float] | None:
    """Return who of ``others`` is best at a figure, and the median; None where nobody has it."""
    medians = [(found.median, name) for name in others if (found := results.figure(scenario, name, figure))]
    if not medians:
        return None
    median, name = max(medians) if is_more_better(figure) else min(medians)
    return name, median


def judge(results: Results, target: Target) -> Verdict:
    """Compare the medians of one run with a target."""
    return Verdict(target, _value(results, target), results.failures(target.scenario, OURS))


def _value(results: Results, target: Target) -> float | None:
    ours = results.figure(target.scenario, OURS, target.figure)
    if ours is None:
        return None
    if target.rule is Rule.ALONE:
        return ours.median
    other = _other(results, target)
    if target.rule in (Rule.EXCESS, Rule.OWN_EXCESS):
        return None if other is None else ours.median - other
    return ours.median / other if other else None


def _other(results: Results, target: Target) -> float | None:
    """Return what the figure is compared with."""
    if target.rule in (Rule.OWN_RATIO, Rule.OWN_EXCESS):
        own = results.figure(target.scenario, OURS, target.other_figure)
        return None if own is None else own.median
    best = best_peer(results, target.scenario, target.figure, target.others)
    return None if best is None else best[1]
