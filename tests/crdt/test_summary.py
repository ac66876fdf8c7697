"""What an update brings and needs, in numbers."""

from crdt.update import DeleteRange
from tests.crdt.build import section, skip, text, update
from tests.crdt.summary import summarise


def test_a_summary_says_what_an_update_brings_and_needs() -> None:
    summary = summarise(
        update(
            section(9, 4, text("ab", left=(1, 7)), skip(3), text("c", right=(2, 0))),
            section(3, 0, text("d", parent=(5, 2))),
            deletes={1: [(0, 4), (6, 9)], 9: [(4, 1)]},
        )
    )
    assert summary.brings == {9: [(4, 6), (9, 10)], 3: [(0, 1)]}
    assert summary.needs == {9: 5, 1: 15, 2: 1, 5: 3}
    assert summary.deletes == [DeleteRange(1, 0, 4), DeleteRange(1, 6, 15), DeleteRange(9, 4, 5)]
