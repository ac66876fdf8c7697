"""Which process serves a document: the one that has it, as long as that is fair to the others."""

from server.workers.placement import SLACK_CONNECTIONS, STALE_S, Placement


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def placement(*connections: int, clock: Clock | None = None) -> Placement:
    """Return the table of processes that have so many connections."""
    table = Placement(len(connections), clock or Clock())
    for worker, count in enumerate(connections):
        table.report(worker, count)
    return table


def test_a_document_stays_where_it_was_placed() -> None:
    table = placement(5, 3, 4)
    assert table.place(b"a", here=0) == 1
    table.report(1, 30)
    assert [table.place(b"a", here=here) for here in range(3)] == [1, 1, 1]


def test_a_document_that_is_new_goes_to_the_emptiest_and_of_equals_stays_here() -> None:
    table = placement(2, 2, 2)
    assert table.place(b"a", here=2) == 2
    table.add(2)
    assert table.place(b"b", here=1) == 1
    table.add(1)
    assert table.place(b"c", here=2) == 0


def test_documents_leave_a_process_that_is_much_fuller_than_another() -> None:
    table = placement(0, 0)
    assert table.place(b"a", here=0) == 0
    table.report(0, SLACK_CONNECTIONS)
    assert table.place(b"a", here=0) == 0
    table.report(0, SLACK_CONNECTIONS + 1)
    assert table.place(b"a", here=0) == 1
    table.report(0, 0)
    assert table.place(b"a", here=0) == 1


def test_a_process_that_is_silent_or_retired_gets_nothing() -> None:
    clock = Clock()
    table = placement(0, 5, 9, clock=clock)
    assert table.place(b"a", here=1) == 0
    clock.now += STALE_S
    table.report(1, 5)
    table.report(2, 9)
    assert table.place(b"a", here=2) == 1
    table.retire(1)
    assert table.place(b"a", here=2) == 2
    assert [table.silence_s(worker) for worker in range(3)] == [STALE_S, 0.0, 0.0]


def test_who_asks_takes_what_nobody_else_can() -> None:
    table = Placement(2)
    assert not table.takes_any
    assert table.place(b"a", here=1) == 1
