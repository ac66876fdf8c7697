"""Why a target is missed: what limits it and what was tried. Printed with the results, while it is missed."""

__all__ = ["MISSED"]

MISSED: dict[tuple[str, str], str] = {}
"""By scenario and figure."""
