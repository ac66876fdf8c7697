"""What a scenario is to whoever runs it. Knows no scenario."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench.systems.contract import Measured, System

__all__ = ["Scenario", "can_cross", "everybody", "is_durable"]


def everybody(system: System) -> bool:
    """Whether it speaks Yjs at all."""
    return system.name != "bare"


def is_durable(system: System) -> bool:
    """Whether documents survive its end."""
    return system.is_durable


def can_cross(system: System) -> bool:
    """Whether several of its nodes share documents."""
    return system.can_cross


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of work that systems are compared by."""

    name: str
    """What it is called on the command line and in the results."""
    title: str
    """What happens, in a line."""
    run: Callable[[System, Path], Awaitable[Measured]]
    """Start a system with its data in a folder, measure, stop it; raises what made it impossible."""
    main: str
    """The name of the figure that is compared."""
    unit: str
    """What that figure counts."""
    timeout_s: float = 60.0
    """How long one measurement may take."""
    plays: Callable[[System], bool] = everybody
    """Which systems it applies to."""
