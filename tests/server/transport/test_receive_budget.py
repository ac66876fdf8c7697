"""Memory for large messages under way has one budget: who waits, who is read, and who is given up (T10)."""

import random
from dataclasses import dataclass

import pytest

from server.transport import receive_budget
from server.transport.receive_budget import ReceiveBudget
from tests.server.transport.recording import on_uvloop, until


@dataclass(eq=False)
class Sender:
    """One message on its way, without a socket: what the budget makes of it."""

    budget: ReceiveBudget
    size: int
    is_known: bool = True
    """Whether how large it is; else as much is expected as has come."""
    received: int = 0
    is_held: bool = False
    is_given_up: bool = False

    def hold(self) -> None:
        assert not self.is_held
        self.is_held = True

    def read_on(self) -> None:
        assert self.is_held
        self.is_held = False

    def give_up(self) -> None:
        self.is_given_up = True
        self.budget.forget(self)

    def receive(self, size: int) -> None:
        assert not self.is_held and not self.is_given_up
        self.received = min(self.received + size, self.size)
        missing = self.size - self.received
        if self.is_known or not missing:
            self.budget.count(self, self.received, missing)
        else:
            most = 1_000 - self.received
            self.budget.count(self, self.received, min(self.received, most), most)

    def is_taken(self) -> None:
        self.budget.forget(self)


@on_uvloop
async def test_T10_who_is_nearest_to_the_end_is_read_first() -> None:
    budget = ReceiveBudget(1_000)
    large, middle, small = (Sender(budget, size) for size in (900, 500, 300))
    large.receive(100)
    assert not large.is_held
    middle.receive(100)
    # 800 and 400 are missing where 800 are free.
    assert (large.is_held, middle.is_held) == (True, False)
    small.receive(100)
    assert (large.is_held, middle.is_held, small.is_held) == (True, False, False)
    small.receive(200)
    small.is_taken()
    middle.receive(400)
    assert large.is_held, "what is being taken counts"
    middle.is_taken()
    assert not large.is_held
    large.receive(800)
    large.is_taken()
    assert budget.received_bytes == 0


@on_uvloop
async def test_T10_what_is_announced_and_does_not_come_holds_nobody_up() -> None:
    budget = ReceiveBudget(1_000)
    liars = [Sender(budget, 1_000) for _ in range(20)]
    for liar in liars:
        liar.receive(10)
    honest = Sender(budget, 700)
    honest.receive(350)
    honest.receive(350)
    assert not honest.is_held


@on_uvloop
async def test_T10_nobody_is_read_beyond_the_budget_while_something_is_being_taken() -> None:
    """Else each would be whole in turn, and all of them in memory."""
    budget = ReceiveBudget(1_000)
    taken = Sender(budget, 950)
    taken.receive(950)
    others = [Sender(budget, 900) for _ in range(3)]
    for other in others:
        other.receive(10)
    assert all(other.is_held for other in others)
    taken.is_taken()
    assert [other.is_held for other in others] == [False, True, True]


@on_uvloop
async def test_T10_messages_of_any_sizes_all_arrive_within_the_budget(seed: int) -> None:
    rng = random.Random(seed)
    budget = ReceiveBudget(1_000)
    waiting = [Sender(budget, rng.randint(1, 1_000), is_known=rng.random() < 0.5) for _ in range(200)]
    coming: list[Sender] = []
    taken: list[Sender] = []
    while waiting or coming or taken:
        if waiting and (not coming or rng.random() < 0.3):
            coming.append(waiting.pop())
            coming[-1].receive(1)
        if taken and rng.random() < 0.5:
            taken.pop(rng.randrange(len(taken))).is_taken()
        readable = [each for each in coming if not each.is_held]
        assert readable or taken or not coming, "somebody is always read, or something is being taken"
        if readable:
            sender = rng.choice(readable)
            sender.receive(rng.randint(1, 100))
            if sender.received == sender.size:
                coming.remove(sender)
                taken.append(sender)
        # Each newcomer brings a byte before it can be held, and one message always goes on.
        assert budget.received_bytes <= 1_000 + len(coming) + 1_000
    assert budget.received_bytes == 0


@on_uvloop
async def test_T10_what_comes_of_very_many_at_once_is_given_up_at_twice_the_budget() -> None:
    budget = ReceiveBudget(1_000)
    senders = [Sender(budget, 1_000) for _ in range(1_000)]
    for sender in senders:
        sender.receive(50)
        assert budget.received_bytes <= 2_000
    assert sum(sender.is_given_up for sender in senders) == 1_000 - 2_000 // 50


@on_uvloop
async def test_T10_who_is_read_and_sends_nothing_is_given_up_before_who_is_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Held messages are the largest and the oldest, for nobody lets them go on."""
    monkeypatch.setattr(receive_budget, "PATIENCE_S", 0.05)
    budget = ReceiveBudget(1_000)
    honest = Sender(budget, 800)
    honest.receive(400)
    stalled = [Sender(budget, 110) for _ in range(6)]
    for sender in stalled:
        sender.receive(100)
    assert honest.is_held
    await until(lambda: not honest.is_held)
    assert not honest.is_given_up
    assert any(sender.is_given_up for sender in stalled)
