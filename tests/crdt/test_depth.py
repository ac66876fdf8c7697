"""How deeply shared types may sit inside each other (rule U8)."""

import pytest

from crdt.document import PLAIN, Document
from crdt.errors import TooLarge
from crdt.places import MAX_DEPTH
from crdt.update import Update
from tests.crdt.build import ARRAY, chain, section, text, type_item, update


def grow(document: Document, levels: int, client: int = 1) -> None:
    """Nest one array a time, as many small updates do."""
    for _ in range(levels):
        clock = document.clocks.get(client, 0)
        document.intake(chain(client, clock, 1, (client, clock - 1) if clock else "a")).run()


def test_U8_types_nest_up_to_the_limit_in_one_update_and_no_deeper() -> None:
    Document().intake(chain(1, 0, MAX_DEPTH + 1, "a")).run()
    document = Document()
    with pytest.raises(TooLarge):
        document.intake(chain(1, 0, MAX_DEPTH + 2, "a")).run()
    assert document.encode() == b"\x00\x00"


def test_U8_types_nest_no_deeper_by_many_small_updates() -> None:
    document = Document()
    grow(document, MAX_DEPTH + 1)
    assert document.depth == MAX_DEPTH
    clock = document.clocks[1]
    before = document.encode()
    with pytest.raises(TooLarge):
        document.intake(chain(2, 0, 1, (1, clock - 1))).run()
    assert document.encode() == before


def test_U8_a_refused_update_leaves_room_for_a_good_one_at_the_same_clocks() -> None:
    document = Document()
    with pytest.raises(TooLarge):
        document.intake(chain(1, 0, MAX_DEPTH + 2, "a")).run()
    document.intake(update(section(1, 0, text("flat")))).run()
    grow(document, MAX_DEPTH, client=2)
    assert document.clocks == {1: 4, 2: MAX_DEPTH}


@pytest.mark.parametrize("side", ["left", "right"])
def test_U8_a_neighbour_is_as_deep_as_what_it_stands_beside(side: str) -> None:
    document = Document()
    grow(document, 11)
    beside = type_item(ARRAY, left=(1, 10)) if side == "left" else type_item(ARRAY, right=(1, 10))
    document.intake(update(section(2, 0, beside))).run()
    document.intake(chain(2, 1, 1, (2, 0))).run()
    assert document.depth == 11


def test_U8_text_in_a_root_is_flat_however_long() -> None:
    document = Document()
    for clock in range(200):
        document.intake(update(section(1, clock, text("a", left=(1, clock - 1) if clock else None)))).run()
    assert document.depth == PLAIN


def test_U8_a_repetition_cannot_make_known_structs_look_shallow() -> None:
    """Else nesting goes on from there, unnoticed, as deep as it takes to overflow the stack of yrs."""
    document = Document()
    grow(document, 900)
    flat = [type_item(ARRAY, parent="a") for _ in range(900)]
    forged = update(section(1, 0, *flat, type_item(ARRAY, parent=(1, 899))))
    assert document.intake(forged).run() == [forged]
    assert document.depth == 900
    grow(document, MAX_DEPTH - 900)
    with pytest.raises(TooLarge):
        grow(document, 1)


def test_U8_text_known_in_part_stays_where_its_known_part_is() -> None:
    document = Document()
    grow(document, 900)
    document.intake(update(section(1, 900, text("a", parent=(1, 899))))).run()
    document.intake(update(section(1, 900, text("ab", parent="elsewhere")))).run()
    document.intake(update(section(1, 902, type_item(ARRAY, left=(1, 901))))).run()
    document.intake(chain(1, 903, 1, (1, 902))).run()
    assert document.depth == 901


def test_U8_beside_a_collected_struct_the_other_neighbour_counts() -> None:
    """Yrs passes over a left origin that was collected and takes its place from the right one."""
    document = Document()
    document.intake(update(section(2, 0, b"\x00\x01"))).run()
    grow(document, 900)
    document.intake(update(section(3, 0, type_item(ARRAY, left=(2, 0), right=(1, 899))))).run()
    document.intake(chain(3, 1, 1, (3, 0))).run()
    assert document.depth == 900


def test_U8_what_was_loaded_counts_as_deep_as_the_deepest_of_it() -> None:
    document = Document()
    grow(document, 900)
    loaded = Document.from_snapshot(document.encode(), document.depth)
    grow(loaded, MAX_DEPTH - 899)
    with pytest.raises(TooLarge):
        grow(loaded, 1)
    fresh = Document.from_snapshot(document.encode(), document.depth)
    fresh.intake(chain(2, 0, MAX_DEPTH, "other root")).run()
    assert Update(fresh.encode()) != document.encode()
