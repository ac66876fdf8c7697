"""What all tests share: one seed for everything random, printed so that a failure can be repeated."""

import os
import secrets

import pytest

from crdt.places import Places

SEED = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    """Choose the seed once per run: from ``COWRITE_TEST_SEED``, else at random."""
    chosen = os.environ.get("COWRITE_TEST_SEED")
    config.stash[SEED] = int(chosen) if chosen else secrets.randbelow(2**32)


def pytest_report_header(config: pytest.Config) -> str:
    """Say how to repeat this run."""
    return f"seed: COWRITE_TEST_SEED={config.stash[SEED]}"


@pytest.fixture
def seed(pytestconfig: pytest.Config) -> int:
    """Give the seed of this run; it stands in the output of every failed test that used it."""
    chosen = pytestconfig.stash[SEED]
    print(f"COWRITE_TEST_SEED={chosen}")
    return chosen


@pytest.fixture
def unguarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a parent that is no shared type reach yrs (U18): at nothing else it is known to fail half-way."""
    monkeypatch.setattr(Places, "record", lambda self, client, clock, known, reader: reader.kind)
