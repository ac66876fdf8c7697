"""The gap guard: what has to be known before a struct or a deletion may enter (rules G1, G2)."""

import pycrdt
import pytest

from crdt.document import Document
from crdt.errors import Malformed
from crdt.state_vector import decode_state_vector
from crdt.update import Update
from tests.crdt.build import ARRAY, gc, section, skip, text, type_item, update

HELLO = update(section(1, 0, text("hello")))


def taken(document: Document, sent: Update) -> tuple[list[Update], Update | None, set[tuple[int, int]]]:
    intake = document.intake(sent)
    return intake.run(), intake.rest, set(intake.gaps)


def holding_hello() -> Document:
    document = Document()
    document.intake(HELLO).run()
    return document


WAITING = {
    "its own clock": (section(1, 6, text("b", left=(1, 2))), (1, 5)),
    "its own first clock": (section(2, 1, text("b")), (2, 0)),
    "its left origin": (section(2, 0, text("b", left=(1, 5))), (1, 5)),
    "its right origin": (section(2, 0, text("b", right=(3, 0))), (3, 0)),
    "its parent": (section(2, 0, text("b", parent=(3, 7))), (3, 0)),
    "one far beyond": (section(2, 0, text("b", left=(1, 2**31 + 5))), (1, 5)),
}


@pytest.mark.parametrize("what", WAITING)
def test_G1_a_struct_waits_until_all_it_refers_to_is_known(what: str) -> None:
    document = holding_hello()
    structs, gap = WAITING[what]
    before = document.encode()
    assert taken(document, update(structs)) == ([], update(structs), {gap})
    assert document.encode() == before
    assert document.clocks == {1: 5}


def test_G1_what_comes_in_the_same_update_counts_as_known_in_any_order_of_sections() -> None:
    """Yjs writes clients in descending order, whatever depends on what."""
    low, high = section(1, 5, text("x", left=(9, 0))), section(9, 0, text("y", left=(1, 4)))
    for sections in ((low, high), (high, low)):
        document = holding_hello()
        parts, rest, _ = taken(document, update(*sections))
        assert (rest, document.clocks) == (None, {1: 6, 9: 1})
        again = pycrdt.Doc[pycrdt.Text]()
        for part in (HELLO, *parts):
            again.apply_update(part)
        assert str(again.get("t", type=pycrdt.Text)) == "helloyx"


def test_G1_sections_that_wait_for_each_other_take_turns() -> None:
    one = section(1, 5, text("a", left=(9, 0)), text("c", left=(9, 1)))
    nine = section(9, 0, text("z", left=(1, 4)), text("b", left=(1, 5)))
    document = holding_hello()
    _, rest, _ = taken(document, update(nine, one))
    assert (rest, document.clocks) == (None, {1: 7, 9: 2})


def test_G1_structs_that_wait_for_each_other_for_ever_are_held_not_taken() -> None:
    circle = update(section(9, 0, text("a", left=(1, 5))), section(1, 5, text("b", left=(9, 0))))
    document = holding_hello()
    parts, rest, gaps = taken(document, circle)
    assert (parts, rest, gaps) == ([], circle, {(1, 5), (9, 0)})


def test_G2_a_deletion_waits_until_all_that_it_deletes_is_known() -> None:
    document = holding_hello()
    sent = update(deletes={1: [(3, 4)], 2: [(0, 1)]})
    parts, rest, gaps = taken(document, sent)
    assert parts == [update(deletes={1: [(3, 2)]})]
    assert rest == update(deletes={2: [(0, 1)], 1: [(5, 2)]})
    assert gaps == {(1, 5), (2, 0)}


def test_G2_a_deletion_of_what_comes_in_the_same_update_is_taken_with_it() -> None:
    document = holding_hello()
    sent = update(section(1, 5, text("!")), deletes={1: [(4, 2)]})
    assert taken(document, sent) == ([sent], None, set())


def test_G3_a_gap_holds_back_what_is_behind_it_and_nothing_else() -> None:
    document = holding_hello()
    sent = update(section(1, 5, text("a", left=(1, 4)), skip(3), text("b", left=(1, 5))))
    parts, rest, gaps = taken(document, sent)
    assert parts == [update(section(1, 5, text("a", left=(1, 4))))]
    assert rest == update(section(1, 9, text("b", left=(1, 5))))
    assert gaps == {(1, 6)}


def test_G3_a_gap_that_is_known_here_is_none() -> None:
    document = holding_hello()
    sent = update(section(1, 0, skip(5), text("a", left=(1, 4))))
    assert taken(document, sent) == ([update(section(1, 5, text("a", left=(1, 4))))], None, set())


def test_G3_a_malformed_end_keeps_the_good_beginning_out() -> None:
    document = holding_hello()
    broken = update(section(1, 5, text("a", left=(1, 4)), skip(3), text("b", left=(1, 5)))) + b"\x00"
    with pytest.raises(Malformed):
        document.intake(broken).run()
    assert document.clocks == {1: 5}


def test_G5_the_clock_table_says_what_yrs_says_after_every_kind_of_struct() -> None:
    document = holding_hello()
    sent = update(section(7, 0, gc(3), type_item(ARRAY), text("x", parent=(7, 3)), text("😀", left=(1, 2))))
    assert taken(document, sent) == ([sent], None, set())
    assert decode_state_vector(pycrdt.get_state(document.encode())) == document.clocks == {1: 5, 7: 7}
