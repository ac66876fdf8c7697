"""What peers provoke does not fill the log."""

import logging

import pytest

from server.logs import Seldom
from server.tally import KINDS_LIMIT, OTHERS, Tally

logger = logging.getLogger("cowrite.test")


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_L11_the_first_of_a_kind_is_logged_and_the_others_are_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tally = Tally(interval_s=60)
    for now in range(60):
        tally.note("a", now, logger, "refused: a", {"code": 1})
        tally.note("b", now, logger, f"refused: {now}", {"code": 2}, logging.ERROR)
    assert lines(caplog) == ["refused: a", "refused: 0"]
    tally.look(59)
    assert len(lines(caplog)) == 2
    tally.look(60)
    assert lines(caplog)[2:] == ["refused: a (59 more in 60 s)", "refused: 0 (59 more in 60 s)"]
    assert [vars(record)["code"] for record in caplog.records] == [1, 2, 1, 2]
    assert [record.levelno for record in caplog.records[2:]] == [logging.WARNING, logging.ERROR]


def test_L11_a_storm_is_one_line_an_interval_and_a_quiet_spell_is_none(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tally = Tally(interval_s=60)
    for tenth in range(1_800):
        tally.note("a", tenth / 10, logger, "refused", {})
    assert lines(caplog) == ["refused", "refused (599 more in 60 s)", "refused (600 more in 60 s)"]
    caplog.clear()
    tally.look(180)
    tally.look(240)
    tally.look(600)
    assert lines(caplog) == ["refused (600 more in 60 s)"]
    tally.note("a", 601, logger, "refused", {})
    assert lines(caplog)[1:] == ["refused"]


def test_L11_kinds_without_end_are_one_kind(caplog: pytest.LogCaptureFixture) -> None:
    tally = Tally(interval_s=60)
    for number in range(10_000):
        tally.note(number, 0, logger, f"refused {number}", {})
    assert len(lines(caplog)) == KINDS_LIMIT + 1
    tally.close(1)
    tally.close(2)
    assert lines(caplog)[KINDS_LIMIT + 1 :] == [f"{OTHERS} (9743 more in 1 s)"]


def test_L11_a_flood_of_refusals_hides_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    tally = Tally(interval_s=60)
    for number in range(10_000):
        tally.note(number, 0, logger, f"refused {number}", {})
    tally.note("failure", 0, logger, "cannot load", {}, logging.ERROR)
    assert caplog.records[-1].levelno == logging.ERROR


def test_L11_without_an_interval_every_event_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    tally = Tally(interval_s=0)
    for _ in range(3):
        tally.note("a", 1.0, logger, "refused", {})
    assert lines(caplog) == ["refused"] * 3


def test_L11_a_warning_of_uvicorn_is_let_through_once_a_minute() -> None:
    seldom = Seldom()
    shown = []
    for second in range(180):
        record = logging.LogRecord("uvicorn.error", logging.WARNING, "", 0, "Invalid %s", ("request",), None)
        record.created = 1_000.0 + second
        if seldom.filter(record):
            shown.append(record.getMessage())
    assert shown == ["Invalid request", *["Invalid request (59 more before)"] * 2]
    other = logging.LogRecord("uvicorn.error", logging.ERROR, "", 0, "Invalid %s", ("request",), None)
    assert seldom.filter(other)
