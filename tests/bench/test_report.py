"""How a run is told: medians, ratios, targets, and what failed."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.bench.report import compared, shown
from tests.bench.results import Figure, Outcome, Results, append, read
from tests.bench.targets import Rule, Target, best_peer, judge

CPU = "cpu_us_per_delivery"


@dataclass(frozen=True)
class Scenario:
    """What the report says about a scenario."""

    title: str = "one writes, many read"
    main: str = CPU
    unit: str = "µs"


def outcomes(system: str, *values: float, scenario: str = "fan", figure: str = CPU) -> list[Outcome]:
    """One outcome with one figure for each of ``values``."""
    return [
        Outcome(scenario, system, repeat, 1.0, {figure: value})
        for repeat, value in enumerate(values, start=1)
    ]


def failed(system: str, reason: str) -> Outcome:
    """A repeat that found nothing."""
    return Outcome("fan", system, 1, 1.0, failure=reason)


def test_a_figure_is_the_median_of_all_repeats() -> None:
    results = Results(outcomes("cowrite", 9.0, 1.0, 2.0))

    assert results.figure("fan", "cowrite", CPU) == Figure(median=2.0, least=1.0, most=9.0)


def test_a_failed_repeat_is_told_and_does_not_count_as_zero() -> None:
    results = Results([*outcomes("cowrite", 4.0), failed("cowrite", "mismatch")])

    assert results.figure("fan", "cowrite", CPU) == Figure(4.0, 4.0, 4.0)
    assert results.notes("fan", "cowrite") == ["failed: mismatch (1 of 2)"]


def test_the_best_peer_has_least_cost_and_is_never_the_bare_broadcast() -> None:
    results = Results([*outcomes("bare", 1.0), *outcomes("hocuspocus", 6.0), *outcomes("y-websocket", 5.0)])

    assert best_peer(results, "fan", CPU) == ("y-websocket", 5.0)


def test_the_best_peer_has_the_highest_rate() -> None:
    results = Results(
        [
            *outcomes("hocuspocus", 6.0, figure="updates_per_s"),
            *outcomes("y-websocket", 5.0, figure="updates_per_s"),
        ]
    )

    assert best_peer(results, "fan", "updates_per_s") == ("hocuspocus", 6.0)


@pytest.mark.parametrize(("ours", "is_met"), [(2.0, True), (2.1, False)])
def test_a_ratio_is_met_up_to_its_limit(ours: float, is_met: bool) -> None:
    results = Results([*outcomes("cowrite", ours), *outcomes("hocuspocus", 4.0), *outcomes("bare", 0.1)])

    verdict = judge(results, Target("fan", CPU, 0.5))

    assert verdict.value == ours / 4.0
    assert verdict.is_met is is_met


@pytest.mark.parametrize(("ours", "is_met"), [(15.0, True), (14.0, False)])
def test_a_rate_is_met_from_its_limit_on(ours: float, is_met: bool) -> None:
    results = Results(
        [
            *outcomes("cowrite", ours, figure="updates_per_s"),
            *outcomes("hocuspocus", 10.0, figure="updates_per_s"),
        ]
    )

    assert judge(results, Target("fan", "updates_per_s", 1.5)).is_met is is_met


@pytest.mark.parametrize(("ours", "is_met"), [(12.0, True), (12.5, False)])
def test_a_latency_may_exceed_the_best_by_the_flush_interval(ours: float, is_met: bool) -> None:
    results = Results(
        [*outcomes("cowrite", ours, figure="p99_ms"), *outcomes("hocuspocus", 2.0, figure="p99_ms")]
    )

    assert judge(results, Target("fan", "p99_ms", 10.0, Rule.EXCESS)).is_met is is_met


def test_a_figure_is_compared_with_an_own_one() -> None:
    grown = Outcome("growth", "cowrite", 1, 1.0, {"cost_10": 4.0, "cost_1000": 2.0})

    verdict = judge(
        Results([grown]), Target("growth", "cost_1000", 1.1, Rule.OWN_RATIO, other_figure="cost_10")
    )

    assert verdict.value == 0.5
    assert verdict.is_met


def test_what_was_not_measured_meets_nothing() -> None:
    without_peer = Results(outcomes("cowrite", 1.0))
    without_us = Results(outcomes("hocuspocus", 1.0))

    for results in (without_peer, without_us):
        assert not judge(results, Target("fan", CPU, 0.5)).is_met


def test_the_table_has_everybody_with_ratio_target_and_failure() -> None:
    results = Results(
        [*outcomes("cowrite", 2.0), *outcomes("hocuspocus", 4.0), failed("y-websocket", "closed 1011")]
    )

    *_, row = compared(results, {"fan": Scenario()}, ["cowrite", "hocuspocus", "y-websocket"])

    assert [cell.strip() for cell in row.strip("|").split("|")] == [
        *("`fan`", "µs", "2.00", "4.00", "failed", "0.500 (hocuspocus)"),
        *("≤ 0.55 × best peer; ≤ 1.25 × bare", "yes; not measured"),
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.1234, "0.123"), (9.876, "9.88"), (12.34, "12.3"), (73_214.6, "73,215")],
)
def test_a_figure_is_shown_with_the_digits_that_count(value: float, text: str) -> None:
    assert shown(value) == text


def test_outcomes_are_read_as_they_were_written(tmp_path: Path) -> None:
    written = [Outcome("fan", "cowrite", 1, 2.5, {CPU: 1.0}, [0.5], ["a note"]), failed("bare", "why")]

    for outcome in written:
        append(tmp_path / "outcomes.jsonl", outcome)

    assert read(tmp_path / "outcomes.jsonl") == written
