"""The work that systems are measured by."""

from tests.bench.scenarios import (
    cross,
    growth,
    joins,
    mixed,
    one_document,
    presence,
    reconnect,
    replay,
    resting,
    rooms,
    truth,
)
from tests.bench.scenarios.scenario import Scenario

__all__ = ["SCENARIOS", "Scenario"]

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        *one_document.SCENARIOS,
        *rooms.SCENARIOS,
        *joins.SCENARIOS,
        *presence.SCENARIOS,
        *resting.SCENARIOS,
        *replay.SCENARIOS,
        joins.COLD,
        reconnect.RECONNECT,
        cross.CROSS,
        mixed.MIXED,
        growth.GROWTH,
        resting.START,
        resting.SLEEP,
        truth.TRUTH,
    )
}
"""By name, in the order of the results."""
