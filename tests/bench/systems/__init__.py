"""The systems that are measured, and what all of them offer."""

from tests.bench.systems.contract import Costs, Dialect, Measured, Server, System
from tests.bench.systems.cowrite import Cowrite
from tests.bench.systems.peers import BARE, HOCUSPOCUS, PYCRDT_WEBSOCKET, Y_WEBSOCKET

__all__ = ["SYSTEMS", "Costs", "Dialect", "Measured", "Server", "System"]

_ALL: tuple[System, ...] = (Cowrite(), Y_WEBSOCKET, HOCUSPOCUS, PYCRDT_WEBSOCKET, BARE)

SYSTEMS: dict[str, System] = {system.name: system for system in _ALL}
"""By name, Cowrite first."""
