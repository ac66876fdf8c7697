"""The runner of ``make test`` must not turn a failure into silence."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import lanes

TESTS = """
import pytest

@pytest.fixture
def broken():
    raise OSError

def test_passes(): pass
def test_fails(): assert False
def test_errs(broken): pass
def test_is_skipped(): pytest.skip("not here")
"""


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Put back the signal handler that ``main`` replaces."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, table: dict[str, tuple[str, list[str]]]) -> int:
    monkeypatch.setattr(lanes, "OUTPUT", folder / "output")
    monkeypatch.setattr(lanes, "LANES", table)
    return lanes.main()


def test_all_lanes_are_counted_in_the_last_line_and_an_error_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    (tmp_path / "test_sample.py").write_text(TESTS)
    command = [*lanes.PYTEST, str(tmp_path)]
    code = run(monkeypatch, tmp_path, {"one": (str(tmp_path), command), "two": (str(tmp_path), command)})
    lines = capfdbinary.readouterr().out.decode().splitlines()
    assert (code, lines[-1]) == (1, "2 passed, 4 failed, 2 skipped")
    assert sum("FAILED" in line and "test_fails" in line for line in lines) == 2


@pytest.mark.parametrize("option", ["-q", "--no-such-option"], ids=["no tests", "crash"])
def test_a_lane_that_runs_no_test_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], option: str
) -> None:
    code = run(monkeypatch, tmp_path, {"one": (str(tmp_path), [*lanes.PYTEST, str(tmp_path), option])})
    assert (code, capfdbinary.readouterr().out.splitlines()[-1]) == (1, b"0 passed, 1 failed, 0 skipped")


def test_a_lane_whose_folder_is_missing_is_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    code = run(monkeypatch, tmp_path, {"one": (str(tmp_path / "absent"), ["false"])})
    assert (code, capfdbinary.readouterr().out) == (0, b"\n0 passed, 0 failed, 0 skipped\n")
