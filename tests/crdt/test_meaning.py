"""Whether two updates say the same, however they are encoded."""

from collections.abc import Iterator
from itertools import combinations, product

import pytest

from crdt.encoding import encode_var_string, encode_var_uint
from crdt.errors import Malformed
from crdt.meaning import means_same
from crdt.update import Update
from tests.crdt.build import ARRAY, MAP, gc, item, section, skip, text, type_item, update
from tests.crdt.contents import embed, entry, mark, subdocument


def at_once(*structs: bytes, client: int = 1, clock: int = 0) -> Update:
    return update(section(client, clock, *structs))


def same_both_ways(one: bytes, other: bytes) -> bool:
    result = means_same(one, other)
    assert means_same(other, one) == result
    return result


JOINED_AND_SPLIT = {
    "text": ([text("añb😀c")], [text("añ"), text("b😀", left=(1, 1)), text("c", left=(1, 4))]),
    "text with a right origin": (
        [text("ab", left=(9, 0), right=(9, 1))],
        [text("a", left=(9, 0), right=(9, 1)), text("b", left=(1, 0), right=(9, 1))],
    ),
    "values": (
        [entry({"a": 1, "b": 2}, 2, parent="a", key="k")],
        [entry({"b": 2, "a": 1}, parent="a", key="k"), entry(2.0, left=(1, 0))],
    ),
    "collected": ([gc(5)], [gc(2), gc(3)]),
    "deleted": ([item(1, b"\x05")], [item(1, b"\x02"), item(1, b"\x03", left=(1, 1))]),
    "gap": ([text("a"), skip(4)], [text("a"), skip(1), skip(3)]),
    "json": (
        [item(2, b"\x02" + encode_var_string("1.0") + encode_var_string("undefined"), parent="a")],
        [entry(1, parent="a"), item(8, b"\x01\x7f", left=(1, 0))],
    ),
}


@pytest.mark.parametrize("kind", JOINED_AND_SPLIT)
def test_neighbours_may_be_one_struct_or_several(kind: str) -> None:
    joined, split = JOINED_AND_SPLIT[kind]
    assert same_both_ways(at_once(*joined), at_once(*split))


def test_neighbours_that_were_not_written_behind_each_other_stay_apart() -> None:
    assert not same_both_ways(at_once(text("ab")), at_once(text("a"), text("b")))
    assert not same_both_ways(at_once(text("ab")), at_once(text("a"), text("b", left=(1, 0), right=(9, 0))))
    assert not same_both_ways(
        at_once(text("ab", left=(9, 0))), at_once(text("a", left=(9, 0)), text("b", left=(9, 0)))
    )


def test_deletions_are_the_same_in_any_order_and_cut_in_any_way() -> None:
    assert same_both_ways(
        update(deletes={1: [(0, 5), (9, 1)], 2: [(3, 3)]}),
        update(deletes={2: [(5, 1), (3, 2)], 1: [(9, 1), (2, 3), (0, 2)]}),
    )
    assert not same_both_ways(update(deletes={1: [(0, 5)]}), update(deletes={1: [(0, 4)]}))
    assert not same_both_ways(update(deletes={1: [(0, 5)]}), update(deletes={2: [(0, 5)]}))
    assert not same_both_ways(update(deletes={1: [(0, 5)]}), update())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"shouldLoad": False, "gc": True, "autoLoad": False, "encoding": 1}),
        ({"autoLoad": True}, {"shouldLoad": True, "autoLoad": True}),
        ({"meta": {"a": 1, "b": 2}}, {"gc": True, "meta": {"b": 2, "a": 1}}),
    ],
)
def test_options_of_a_subdocument_may_be_left_to_what_yjs_takes_then(
    one: dict[str, object], other: dict[str, object]
) -> None:
    assert same_both_ways(at_once(subdocument("g", one)), at_once(subdocument("g", other)))


def different() -> Iterator[bytes]:
    """Updates of which no two say the same: they differ in one thing each."""
    choices: list[dict[str, object]] = [
        {},
        {"gc": False},
        {"autoLoad": True},
        {"shouldLoad": True},
        {"meta": {"a": 1}},
        {"meta": {}},
    ]
    for options in choices:
        yield at_once(subdocument("g", options, parent="m", key="k"))
    yield at_once(subdocument("other", {}, parent="m", key="k"))
    yield at_once(subdocument("g", {}, parent="m", key="l"))
    for value in (
        {"a": 1, "b": 2},
        {"a": 2, "b": 1},
        {"a": 1},
        {"a": 1, "b": 3},
        {"a": 1, "b": 2, "c": None},
    ):
        yield at_once(entry(value, parent="m", key="k"))
        yield at_once(entry(value, parent="m", key="l"))
        yield at_once(entry(value, parent="n", key="k"))
        yield at_once(entry(value, parent=(9, 0), key="k"))
        yield at_once(entry(value, parent=(9, 1), key="k"))
        yield at_once(entry(value, parent="m"))
        yield at_once(entry(value, left=(9, 0)))
        yield at_once(entry(value, right=(9, 0)))
        yield at_once(entry(value, left=(9, 0), right=(9, 1)))
        yield at_once(entry(value, value, parent="m"))
        yield at_once(embed(value))
        yield at_once(mark("link", value))
        yield at_once(mark("other", value))
    for client, clock in product((1, 2), (0, 1)):
        yield update(section(client, clock, text("ab")))
    yield update()
    yield update(section(2, 0, text("ab")), section(1, 0, text("ab")))
    yield from (at_once(text(content)) for content in ("ba", "abc", "añ", "\ufffd\ufffd", "😀"))
    yield from (at_once(type_item(type_ref)) for type_ref in (ARRAY, MAP))
    yield from (at_once(item(7, encode_var_uint(3) + encode_var_string(name))) for name in ("p", "q"))
    yield from (at_once(item(3, b"\x02" + content)) for content in (b"ab", b"ac"))
    yield from (at_once(gc(2)), at_once(item(1, b"\x02")), at_once(skip(2)))
    yield update(section(1, 0, text("ab")), deletes={1: [(0, 1)]})


def test_what_differs_in_anything_is_not_the_same() -> None:
    for one, other in combinations(different(), 2):
        assert not same_both_ways(one, other), (one, other)


RUBBISH = [b"", b"\x01", at_once(text("a")) + b"\x00", b"\x01\x01\x01\x00\x0b\x00"]


@pytest.mark.parametrize("rubbish", RUBBISH)
def test_bytes_that_are_no_update_are_malformed(rubbish: bytes) -> None:
    with pytest.raises(Malformed):
        means_same(rubbish, at_once(text("a")))
    with pytest.raises(Malformed):
        means_same(at_once(text("a")), rubbish)
