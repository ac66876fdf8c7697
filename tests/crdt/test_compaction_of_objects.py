"""Documents with objects of several keys, which yrs encodes otherwise each time, are folded, and proved."""

from collections.abc import Mapping
from random import Random
from typing import Any

import pytest

from crdt.compaction import FoldRefused, fold
from crdt.document import Document
from crdt.meaning import means_same
from crdt.update import Update
from tests.crdt.build import ARRAY, MAP, gc, item, section, text, type_item, update
from tests.crdt.contents import ATTRIBUTES, LINK, ORDINARY, embed, entry, mark, subdocument

each_kind = pytest.mark.parametrize("log", ORDINARY.values(), ids=ORDINARY)


@each_kind
def test_D6_ordinary_objects_are_folded(log: list[Update]) -> None:
    folded = fold(None, 0, log)
    assert means_same(folded.update, Document.from_snapshot(folded.update, folded.depth).encode())


@each_kind
def test_D6_a_log_that_repeats_the_snapshot_gives_back_its_very_bytes(log: list[Update]) -> None:
    """Else each sweep would write a snapshot anew whose stream cannot be trimmed."""
    folded = fold(None, 0, log)
    for updates in ([], log, [folded.update], [Document.from_snapshot(folded.update, 9).encode()]):
        assert fold(folded.update, folded.depth, updates) == folded


@each_kind
def test_D6_a_fold_in_steps_says_the_same_as_one_at_once(log: list[Update]) -> None:
    folded = fold(None, 0, log[:1])
    for step in log[1:]:
        folded = fold(folded.update, folded.depth, [step])
    assert means_same(folded.update, fold(None, 0, log).update)


def one(*structs: bytes, deletes: Mapping[int, list[tuple[int, int]]] | None = None) -> Update:
    return update(section(1, 0, *structs), deletes=deletes)


def in_map(value: Any, key: str = "k") -> bytes:
    return entry(value, parent="m", key=key)


MISREAD = {
    "changed value": (in_map(ATTRIBUTES), in_map({**ATTRIBUTES, "indent": 3})),
    "changed value deep inside": (
        in_map(ATTRIBUTES),
        in_map({**ATTRIBUTES, "style": {"color": "red", "weight": 1.25}}),
    ),
    "dropped key": (in_map({**ATTRIBUTES, "lost": 1}), in_map(ATTRIBUTES)),
    "invented key": (in_map(ATTRIBUTES), in_map({**ATTRIBUTES, "new": 1})),
    "swapped values": (in_map({"a": 1, "b": 2, "c": 3}), in_map({"a": 2, "b": 1, "c": 3})),
    "null for undefined": (item(8, b"\x01\x7f", parent="a"), entry(None, parent="a")),
    "number for a BigInt": (item(8, b"\x01\x7a" + bytes(7) + b"\x05", parent="a"), entry(5, parent="a")),
    "zero for minus zero": (entry(-0.0, parent="a"), entry(0, parent="a")),
    "changed mark": (mark("link", LINK), mark("link", {**LINK, "href": "https://example.org/e"})),
    "renamed mark": (mark("link", LINK), mark("lank", LINK)),
    "changed embed": (embed({"a": 1, "b": 0.1, "c": 2}), embed({"a": 1, "b": 0.10000000000000002, "c": 2})),
    "embed for a mark": (mark("link", LINK), embed(LINK)),
    "lost subdocument": (subdocument("g", {}, parent="m", key="k"), in_map({})),
    "other subdocument": (
        subdocument("g", {}, parent="m", key="k"),
        subdocument("h", {}, parent="m", key="k"),
    ),
    "lost meta": (
        subdocument("g", {"meta": {"a": 1, "b": 2}}, parent="m"),
        subdocument("g", {}, parent="m"),
    ),
    "changed parentSub": (in_map(ATTRIBUTES, "k"), in_map(ATTRIBUTES, "l")),
    "lost parentSub": (in_map(ATTRIBUTES), entry(ATTRIBUTES, parent="m")),
    "changed parent": (entry(ATTRIBUTES, parent="a"), entry(ATTRIBUTES, parent="b")),
    "changed text": (text("one"), text("two")),
    "collected": (in_map(ATTRIBUTES), gc(1)),
    "emptied": (in_map(ATTRIBUTES), item(1, b"\x01", parent="m", key="k")),
}
"""What came in, and as what an engine took it."""


@pytest.mark.parametrize("kind", MISREAD)
def test_D6_an_engine_that_misreads_is_found_out(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads the same each time: only the inputs can tell."""
    right, wrong = MISREAD[kind]
    monkeypatch.setattr(Document, "encode", lambda _: one(wrong))
    fold(None, 0, [one(wrong)])
    with pytest.raises(FoldRefused):
        fold(None, 0, [one(right)])


@pytest.mark.parametrize("kind", MISREAD)
def test_D6_what_changes_when_the_snapshot_is_loaded_is_found_out(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, wrong = MISREAD[kind]
    encoded = iter([one(right), one(right), one(wrong)])
    monkeypatch.setattr(Document, "encode", lambda _: next(encoded))
    with pytest.raises(FoldRefused):
        fold(None, 0, [one(right)])
    assert next(encoded, None) is None, "it was refused for another reason"


def test_D6_a_misplaced_struct_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in (text("!", right=(1, 0)), text("!", left=(1, 0)), text("!", left=(1, 1), right=(1, 2))):
        monkeypatch.setattr(Document, "encode", lambda _, wrong=wrong: one(text("abc"), wrong))
        with pytest.raises(FoldRefused):
            fold(None, 0, [one(text("abc"), text("!", left=(1, 1)))])


def test_D6_what_nobody_wrote_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    invented = update(section(2, 0, in_map(1, "z")), section(1, 0, in_map(ATTRIBUTES)))
    monkeypatch.setattr(Document, "encode", lambda _: invented)
    with pytest.raises(FoldRefused):
        fold(None, 0, [one(in_map(ATTRIBUTES))])


def test_D6_a_deletion_that_is_lost_beside_objects_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    structs = in_map(ATTRIBUTES), text("abc")
    monkeypatch.setattr(Document, "encode", lambda _: one(*structs))
    with pytest.raises(FoldRefused, match="deletion"):
        fold(None, 0, [one(*structs), update(deletes={1: [(1, 1)]})])


def nested(*structs: bytes, deletes: Mapping[int, list[tuple[int, int]]] | None = None) -> Update:
    """What is in a map inside of a map."""
    return one(type_item(MAP, parent="m"), *structs, deletes=deletes)


IN_MAP = entry(ATTRIBUTES, parent=(1, 0), key="k")
TWO_AT_ONCE = [nested(IN_MAP), update(section(2, 0, entry(2, parent=(1, 0), key="k")))]
ONE_BEHIND_THE_OTHER = [nested(IN_MAP), update(section(2, 0, entry(2, left=(1, 1))))]
INTO_WHAT_IS_DELETED = [nested(), update(deletes={1: [(0, 1)]}), update(section(2, 0, IN_MAP))]
BEHIND_WHAT_IS_COLLECTED = [
    one(type_item(ARRAY), text("a", parent=(1, 0))),
    update(deletes={1: [(0, 1)]}),
    update(section(2, 0, entry({"a": 1, "b": 2}, left=(1, 1)))),
]


@pytest.mark.parametrize(
    "log", [TWO_AT_ONCE, ONE_BEHIND_THE_OTHER, INTO_WHAT_IS_DELETED, BEHIND_WHAT_IS_COLLECTED]
)
def test_D6_what_a_document_deletes_by_itself_keeps_nothing_from_being_folded(log: list[Update]) -> None:
    """Nobody tells of these deletions: they follow from what is told."""
    folded = fold(None, 0, log)
    assert fold(folded.update, folded.depth, log) == folded


VANISHED = {
    "text": (one(text("abc")), one(text("abc"), deletes={1: [(1, 1)]})),
    "value": (one(entry(ATTRIBUTES, parent="a")), one(item(1, b"\x01", parent="a"), deletes={1: [(0, 1)]})),
    "entry of a map": (nested(IN_MAP), nested(IN_MAP, deletes={1: [(1, 1)]})),
    "inside of something": (
        one(type_item(ARRAY), text("abc", parent=(1, 0))),
        one(type_item(ARRAY), text("abc", parent=(1, 0)), deletes={1: [(2, 1)]}),
    ),
    "behind something": (
        one(type_item(ARRAY), text("a", parent=(1, 0)), text("b", left=(1, 1))),
        one(type_item(ARRAY), text("a", parent=(1, 0)), gc(1)),
    ),
    "subdocument": (
        one(subdocument("g", {}, parent="m", key="k")),
        one(subdocument("g", {}, parent="m", key="k"), deletes={1: [(0, 1)]}),
    ),
}
"""What came in, and as what an engine took it that deletes what nobody has deleted."""


@pytest.mark.parametrize("kind", VANISHED)
def test_D6_an_engine_that_deletes_is_found_out(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right, wrong = VANISHED[kind]
    monkeypatch.setattr(Document, "encode", lambda _: wrong)
    with pytest.raises(FoldRefused, match="deletes what nobody has deleted"):
        fold(None, 0, [right])


def test_D6_what_yrs_cannot_hold_is_kept_or_refused() -> None:
    """-0, small BigInts and a subdocument's meta: a fold never changes them without a word."""
    kept = [MISREAD[kind][0] for kind in ("number for a BigInt", "zero for minus zero", "lost meta")]
    for struct in kept:
        try:
            folded = fold(None, 0, [one(struct)])
        except FoldRefused:
            continue
        assert means_same(folded.update, one(struct))


def test_D6_a_client_that_writes_two_things_at_one_clock_keeps_nothing_from_being_folded() -> None:
    """Two tabs with one client id: the first counts, for whoever loads the log, too."""
    log = [one(in_map({"a": 1, "b": 2}), text("one")), one(in_map({"a": 2, "b": 1}), text("other"))]
    folded = fold(None, 0, log)
    assert means_same(folded.update, one(in_map({"b": 2, "a": 1}), text("one"), text("er", left=(1, 3))))


def test_D6_values_deep_inside_each_other_are_folded() -> None:
    value: Any = {"a": 1, "b": 2, "c": 3}
    for _ in range(30):
        value = {"x": [value], "y": 1, "z": 2}
    log = [one(entry(value, parent="a")), update(section(2, 0, embed([value] * 3)))]
    assert fold(None, 0, log).depth & 0xFFFF == 0


def test_D6_many_authors_at_one_place_are_folded_in_any_order_of_their_log() -> None:
    random = Random(1)
    authors = [
        [
            update(section(client, 0, entry({"a": client, "b": [1, 2], "c": None}, parent="a"))),
            update(section(client, 1, entry({"d": 1, "e": client}, 2, left=(client, 0)))),
            update(deletes={client: [(0, 1)]}),
        ]
        for client in range(1, 30)
    ]
    log = [change for changes in authors for change in changes]
    first = fold(None, 0, log)
    random.shuffle(log)
    assert means_same(fold(None, 0, log).update, first.update)
