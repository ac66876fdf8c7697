"""The update format: what is read, what is refused, what is written (rules U)."""

import json
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt.document import Document
from crdt.encoding import encode_var_string, encode_var_uint
from crdt.errors import Malformed, ProtocolError, TooLarge
from crdt.update import CLIENTS_LIMIT, DeleteRange, Run, encode_update
from tests.crdt.build import gc, item, section, skip, text, update
from tests.crdt.mutations import corpus
from tests.crdt.summary import summarise

VECTORS = {
    vector["name"]: bytes.fromhex(vector["hex"])
    for vector in json.loads((Path(__file__).parent / "vectors.json").read_text())["vectors"]
}


@pytest.mark.parametrize(
    ("name", "brings", "deletes"),
    [
        ("update_v1_empty", {}, []),
        ("update_v1_hello", {1: [(0, 5)]}, []),
        ("merge_with_gap", {3: [(0, 1), (2, 3)]}, []),
        ("merge_complete", {3: [(0, 3)]}, []),
        ("diff_update_sv2", {3: [(2, 3)]}, []),
    ],
)
def test_U1_updates_of_yjs_are_read(
    name: str, brings: dict[int, list[tuple[int, int]]], deletes: list[DeleteRange]
) -> None:
    summary = summarise(VECTORS[name])
    assert (summary.brings, summary.deletes) == (brings, deletes)


def test_U1_a_deletion_of_yjs_is_read() -> None:
    summary = summarise(VECTORS["sync_update_delete"][3:])
    assert (summary.brings, summary.deletes) == ({}, [DeleteRange(1, 0, 1)])


@pytest.mark.parametrize("size", range(15))
def test_U1_an_update_that_ends_too_early_is_refused(size: int) -> None:
    with pytest.raises(Malformed):
        summarise(VECTORS["update_v1_hello"][:size])


def test_U1_every_truncation_of_every_kind_of_content_is_refused() -> None:
    """Cut anywhere, also between two structs: the counts give it away."""
    for whole in corpus():
        summarise(whole)
        for size in range(len(whole)):
            with pytest.raises(Malformed):
                summarise(whole[:size])


@given(st.binary())
def test_U1_random_bytes_raise_nothing_but_a_protocol_error(data: bytes) -> None:
    try:
        summarise(data)
    except ProtocolError:
        return


def test_U2_two_sections_of_one_client_are_refused() -> None:
    """Yrs joins them, Yjs takes the last: they would diverge."""
    twice = update(section(1, 0, text("a")), section(1, 1, text("b", left=(1, 0))))
    with pytest.raises(Malformed, match="twice"):
        summarise(twice)


def test_U2_two_delete_lists_of_one_client_are_refused() -> None:
    one = b"\x01\x01\x00\x01"
    with pytest.raises(Malformed, match="twice"):
        summarise(b"\x00\x02" + one[1:] + one[1:])


HUGE = 2**24, 2**27, 2**31, 2**53 - 1
COUNTED: dict[str, Callable[[bytes], bytes]] = {
    "sections": lambda count: count + b"\x00" * 8,
    "structs": lambda count: b"\x01" + count + b"\x01\x00" + b"\x00" * 8,
    "clients of the delete set": lambda count: b"\x00" + count + b"\x00" * 8,
    "delete ranges": lambda count: b"\x00\x01\x01" + count + b"\x00" * 8,
    "any values": lambda count: update(section(1, 0, item(8, count + b"\x7e" * 8))),
    "json values": lambda count: update(section(1, 0, item(2, count + b"\x00" * 8))),
    "array elements": lambda count: update(section(1, 0, item(8, b"\x01\x75" + count + b"\x7e" * 8))),
    "object pairs": lambda count: update(section(1, 0, item(8, b"\x01\x76" + count + b"\x00\x7e" * 8))),
    "text": lambda count: update(section(1, 0, item(4, count + b"a" * 8))),
    "bytes": lambda count: update(section(1, 0, item(3, count + b"a" * 8))),
}


@pytest.mark.parametrize("where", COUNTED)
def test_U3_a_count_of_more_than_the_bytes_left_is_refused_without_using_memory(where: str) -> None:
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for count in HUGE:
        with pytest.raises(Malformed):
            summarise(COUNTED[where](encode_var_uint(count)))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 4_096


@pytest.mark.parametrize("where", ["structs", "deletes"])
def test_U3_too_many_clients_are_refused_by_their_number(where: str) -> None:
    many = encode_var_uint(CLIENTS_LIMIT + 1) + bytes(3 * CLIENTS_LIMIT + 3)
    with pytest.raises(TooLarge):
        Document().intake(many if where == "structs" else b"\x00" + many).run()


def test_U3_a_section_without_structs_is_refused() -> None:
    with pytest.raises(Malformed):
        summarise(b"\x01\x00\x01\x00\x00\x00")


@pytest.mark.parametrize("kind", range(11, 32))
def test_U4_unknown_kinds_of_struct_are_refused(kind: int) -> None:
    with pytest.raises(Malformed):
        summarise(update(section(1, 0, item(kind, b"\x01\x01\x01"))))


@pytest.mark.parametrize(("kind", "flag"), [(kind, flag) for kind in (0, 10) for flag in (0x20, 0x40, 0x80)])
def test_U4_flags_on_structs_that_have_none_are_refused(kind: int, flag: int) -> None:
    with pytest.raises(Malformed):
        summarise(update(section(1, 0, bytes((kind | flag, 1)))))


def test_U4_a_parent_is_a_root_or_an_item() -> None:
    with pytest.raises(Malformed):
        summarise(update(section(1, 0, b"\x04\x02\x01t\x01a")))


def test_U4_shared_types_that_yjs_does_not_know_are_refused() -> None:
    """Yrs takes 9 and 15, and gives out what Yjs throws at."""
    for type_ref in range(7):
        name = encode_var_string("p") if type_ref in (3, 5) else b""
        summarise(update(section(1, 0, item(7, encode_var_uint(type_ref) + name))))
    for type_ref in (7, 9, 15, 300):
        with pytest.raises(Malformed):
            summarise(update(section(1, 0, item(7, encode_var_uint(type_ref) + b"\x00"))))


@pytest.mark.parametrize("clock", [5, 6, 2**31, 2**53 - 1])
@pytest.mark.parametrize("place", ["left", "right", "parent"])
def test_U4_a_struct_that_refers_to_itself_or_what_comes_after_is_refused(place: str, clock: int) -> None:
    build = {
        "left": text("a", left=(1, clock)),
        "right": text("a", right=(1, clock)),
        "parent": text("a", parent=(1, clock)),
    }
    with pytest.raises(Malformed):
        summarise(update(section(1, 5, build[place])))


@pytest.mark.parametrize(
    "struct",
    [gc(0), skip(0), item(1, b"\x00"), item(2, b"\x00"), item(4, b"\x00"), item(8, b"\x00")],
    ids=["GC", "Skip", "deleted", "json", "text", "any"],
)
def test_U4_structs_of_length_zero_are_refused(struct: bytes) -> None:
    """Yrs divides by their length."""
    with pytest.raises(Malformed):
        summarise(update(section(1, 0, struct)))


def test_U5_clocks_end_below_two_to_the_31() -> None:
    last = 2**31 - 2
    assert summarise(update(section(1, last, text("a")))).brings == {1: [(last, last + 1)]}
    for clock in (last + 1, 2**31, 2**32, 2**53 - 1):
        with pytest.raises(Malformed):
            summarise(update(section(1, clock, text("a"))))


@pytest.mark.parametrize("length", [2**28 + 1, 2**31, 2**32 - 1, 2**32, 2**53 - 1])
@pytest.mark.parametrize("kind", [0, 1, 10], ids=["GC", "deleted", "Skip"])
def test_U6_one_struct_cannot_claim_all_clocks_of_a_client(kind: int, length: int) -> None:
    content = encode_var_uint(length)
    with pytest.raises(Malformed):
        summarise(update(section(1, 0, item(1, content) if kind == 1 else bytes((kind,)) + content)))


def test_U6_two_to_the_24_is_allowed() -> None:
    assert summarise(update(section(1, 0, gc(2**28)))).brings == {1: [(0, 2**28)]}


@pytest.mark.parametrize("tail", [b"\x00", b"\x01", b"\x00\x00"])
def test_U9_bytes_behind_the_delete_set_are_refused(tail: bytes) -> None:
    for whole in (VECTORS["update_v1_empty"], VECTORS["update_v1_hello"]):
        with pytest.raises(Malformed):
            summarise(whole + tail)


V2 = {
    "text": "000001010000010409067468656c6c6f01050101000001010000",
    "deletion": "0000000000000100000000000101010101",
    "marks, with keys": (
        "00020002024101020002000506008400860f0a74626f6c6478626f6c640104010401010000010300787e00"
    ),
}
"""Updates in version 2, by Yjs; the last one's second byte is not 0."""


@pytest.mark.parametrize("name", V2)
def test_U9_updates_of_version_2_are_refused(name: str) -> None:
    """They begin as an update without sections, and nearly all libraries drop them silently."""
    with pytest.raises(Malformed):
        summarise(bytes.fromhex(V2[name]))


@pytest.mark.parametrize(("clock", "length"), [(0, 0), (2**31, 1), (2**31 - 2, 2), (2**53 - 1, 2**53 - 1)])
def test_U9_deleted_ranges_are_neither_empty_nor_endless(clock: int, length: int) -> None:
    with pytest.raises(Malformed):
        summarise(update(deletes={1: [(clock, length)]}))


def test_U10_an_update_is_written_with_descending_clients() -> None:
    runs = [Run(1, 0, 1, text("a")), Run(300, 4, 1, text("b"))]
    deletes = [DeleteRange(2, 0, 3), DeleteRange(9, 5, 6), DeleteRange(2, 7, 8)]
    expected = update(
        section(300, 4, text("b")), section(1, 0, text("a")), deletes={9: [(5, 1)], 2: [(0, 3), (7, 1)]}
    )
    assert encode_update(runs, deletes) == expected
