"""The recorded edits under ``tests/traces`` (README.md there)."""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

from tests.support.clients import Patch

__all__ = ["AUTOMERGE_PAPER", "FRIENDSFOREVER", "Recording", "load_sequential", "text_at_end"]

FOLDER = Path(__file__).parents[1] / "traces"
AUTOMERGE_PAPER = FOLDER / "automerge-paper.json.gz"
FRIENDSFOREVER = FOLDER / "friendsforever.json.gz"


@dataclass(frozen=True, slots=True)
class Recording:
    """One author's edits, and what they make of an empty text."""

    patches: list[Patch]
    end: str


def load_sequential(path: Path) -> Recording:
    """Read a recording by one author, who started with an empty text."""
    with gzip.open(path) as file:
        recording = json.load(file)
    assert recording["startContent"] == ""
    patches = [
        (position, deleted, inserted)
        for transaction in recording["txns"]
        for position, deleted, inserted in transaction["patches"]
    ]
    return Recording(patches, recording["endContent"])


def text_at_end(path: Path) -> str:
    """Read only what a recording ends with."""
    with gzip.open(path) as file:
        end: str = json.load(file)["endContent"]
        return end
