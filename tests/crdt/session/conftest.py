"""A document to open sessions on."""

import pytest

from tests.crdt.session.support import Room


@pytest.fixture
def room() -> Room:
    return Room()
