"""What yrs says that it knows is compared with what the walker says (G7)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt.clock_check import ClockCheck
from crdt.cut import Piece
from crdt.document import Document, DocumentBroken
from crdt.reading import Reading
from crdt.state_vector import encode_state_vector
from crdt.yrs import integrate
from tests.crdt.build import section, text, update


def test_G7_a_document_whose_engine_counts_otherwise_is_broken() -> None:
    document = Document()
    with pytest.raises(DocumentBroken):
        document.apply(Piece(update(section(1, 0, text("abc"))), {1: 4}), Reading.ALIKE)


def test_G7_a_client_that_only_the_engine_knows_is_found_at_the_next_join() -> None:
    document = Document()
    document.intake(update(section(1, 0, text("abc")))).run()
    integrate(document._live, update(section(2, 0, text("unseen"))))
    with pytest.raises(DocumentBroken):
        document.encode()


ids = st.integers(0, 2**53 - 1) | st.integers(0, 300)
clocks = st.dictionaries(ids, st.integers(1, 2**31 - 1), max_size=90)
moves = st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 1_000)), max_size=90)


@given(clocks, moves, st.booleans())
def test_G7_only_equal_clocks_agree(
    known: dict[int, int], moved: list[tuple[int, int]], is_right: bool
) -> None:
    check = ClockCheck()
    assert check.agrees(encode_state_vector(known), known)
    for index, step in moved if known else ():
        client = list(known)[index % len(known)]
        check.moved.setdefault(client, known[client])
        known[client] = min(known[client] + step, 2**31 - 1)
    said = dict(known)
    if not is_right and said:
        said[next(iter(said))] ^= 1
    assert check.agrees(encode_state_vector(said), known) is (said == known)
    assert check.agrees(encode_state_vector(known), known)
