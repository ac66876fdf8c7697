"""An empty table of presence."""

import pytest

from crdt.awareness import Awareness, Heard
from tests.crdt.awareness.support import ANN, HERE, said


@pytest.fixture
def awareness() -> Awareness:
    """Ann is here as client 1, at clock 5."""
    table = Awareness()
    assert table.receive(said((1, 5, HERE)), ANN, 0.0) == Heard([1])
    return table
