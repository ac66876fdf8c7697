"""For how long a refused address is held, and what is remembered of it."""

from server.patience import Holding, Patience

HOLDING = Holding(first_s=1, longest_s=25, forget_s=120, addresses=3)


def test_L9_each_refusal_is_held_twice_as_long_up_to_a_limit() -> None:
    patience = Patience(HOLDING)
    assert [patience.hold_s("a", 25, now) for now in range(7)] == [1, 2, 4, 8, 16, 25, 25]
    assert patience.hold_s("b", 25, 7) == 1


def test_L9_the_limit_is_of_the_refusal() -> None:
    patience = Patience(HOLDING)
    assert [patience.hold_s("a", 5, now) for now in range(4)] == [1, 2, 4, 5]
    assert patience.hold_s("a", 25, 4) == 16


def test_L9_the_defaults_slow_an_old_client_and_outlast_none() -> None:
    """It comes back 0.1 s after a close, and gives up by itself 30 s after the last message."""
    patience, now, refusals = Patience(Holding()), 0.0, 0
    while now < 60:
        hold_s = patience.hold_s("a", Holding().longest_s, now)
        assert 1 <= hold_s < 30
        now += hold_s + 0.1
        refusals += 1
    assert refusals == 7


def test_L9_who_was_not_refused_for_a_while_begins_anew() -> None:
    patience = Patience(HOLDING)
    patience.hold_s("a", 25, 0)
    assert patience.hold_s("a", 25, 119.9) == 2
    assert patience.hold_s("a", 25, 239.9) == 1


def test_L9_a_million_refusals_are_held_no_longer() -> None:
    patience = Patience(HOLDING)
    for _ in range(5_000):
        assert patience.hold_s("a", 25, 0) <= 25


def test_L9_of_too_many_addresses_the_one_refused_longest_ago_is_forgotten() -> None:
    patience = Patience(HOLDING)
    for now, address in enumerate("abcad"):
        patience.hold_s(address, 25, now)
    assert len(patience) == 3
    assert [patience.hold_s(address, 25, 5) for address in "ab"] == [4, 1]


def test_L9_what_is_over_takes_no_memory() -> None:
    patience = Patience(HOLDING)
    for address in "abc":
        patience.hold_s(address, 25, 0)
    patience.hold_s("d", 25, 120)
    assert len(patience) == 1
