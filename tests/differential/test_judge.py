"""The judge must tell apart what is different, and nothing else."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from crdt.content import ANY, EMBED, FORMAT, JSON, STRING
from crdt.encoding import encode_var_string
from tests.crdt.build import ARRAY, MAP, TEXT, gc, item, section, text, type_item, update
from tests.differential.generator import Case
from tests.differential.judge import Judge, Question, judge
from tests.differential.traits import FORGOTTEN_BY_YJS, LONE_SURROGATE, SPLIT_PAIR

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def yjs() -> AsyncIterator[Judge]:
    async with judge() as running:
        yield running


def value(data: bytes) -> bytes:
    return update(section(1, 0, item(ANY, b"\x01" + data)))


def mark(key: str, json: str) -> bytes:
    return update(section(1, 0, item(FORMAT, encode_var_string(key) + encode_var_string(json))))


VALUES = {
    "0": b"\x7d\x00",
    "-0": b"\x7d\x40",
    "0n": b"\x7a" + bytes(8),
    "1": b"\x7d\x01",
    "true": b"\x78",
    "false": b"\x79",
    "null": b"\x7e",
    "undefined": b"\x7f",
    "NaN": b"\x7b\x7f\xf8" + bytes(6),
    "no text": b"\x77\x00",
    "no bytes": b"\x74\x00",
    "a zero byte": b"\x74\x01\x00",
    "text that says null": b"\x77\x04null",
    "no members": b"\x76\x00",
    "no elements": b"\x75\x00",
    "an undefined member": b"\x76\x01\x01k\x7f",
    "an element": b"\x75\x01\x7e",
}
DIFFERENT = {
    **{name: value(data) for name, data in VALUES.items()},
    "text": update(section(1, 0, text("a"))),
    "an embed": update(section(1, 0, item(EMBED, encode_var_string("1")))),
    "a mark": mark("b", "true"),
    "another mark": mark("i", "true"),
    "the mark of something else": mark("b", "null"),
    "another client": update(section(2, 0, text("a"))),
    "another root": update(section(1, 0, text("a", parent="u"))),
    "a key": update(section(1, 0, item(STRING, b"\x01a", key="k"))),
    "another key": update(section(1, 0, item(STRING, b"\x01a", key="n"))),
    "an array": update(section(1, 0, type_item(ARRAY))),
    "a map": update(section(1, 0, type_item(MAP))),
    "a text": update(section(1, 0, type_item(TEXT))),
    "deleted": update(section(1, 0, text("a")), deletes={1: [(0, 1)]}),
    "two": update(section(1, 0, text("ab"))),
    "two in another order": update(section(1, 0, text("ba"))),
    "two, of which one is deleted": update(section(1, 0, text("ab")), deletes={1: [(0, 1)]}),
}


async def differs(yjs: Judge, case: Case, *readings: bytes) -> bool:
    [verdict] = await yjs.ask([Question(case, {"other": readings})])
    assert verdict.error is None
    return bool(verdict.wrong)


@pytest.mark.parametrize("name", DIFFERENT)
async def test_one_state_is_told_from_every_other(yjs: Judge, name: str) -> None:
    case = Case(name, (DIFFERENT[name],))
    same = {other for other, data in DIFFERENT.items() if not await differs(yjs, case, data)}
    assert same == {name}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(
            [update(section(1, 0, text("a"), text("b", left=(1, 0))))], [DIFFERENT["two"]], id="cut text"
        ),
        pytest.param([update(section(1, 0, item(JSON, b"\x01\x0212")))], [value(b"\x7d\x0c")], id="JSON"),
        pytest.param(
            [value(b"\x76\x02\x01a\x7e\x01b\x78")], [value(b"\x76\x02\x01b\x78\x01a\x7e")], id="order of keys"
        ),
        pytest.param(
            [update(section(1, 0, gc(2)))], [update(section(1, 0, gc(1), gc(1)))], id="what was collected"
        ),
    ],
)
async def test_the_same_in_other_bytes_is_the_same(yjs: Judge, one: list[bytes], other: list[bytes]) -> None:
    assert not await differs(yjs, Case("", tuple(one)), *other)


async def test_a_diff_is_read_by_a_peer_that_has_the_rest(yjs: Judge) -> None:
    case = Case("", (update(section(1, 0, text("abcd"))),), known=((1, 2),))
    right, wrong = (update(section(1, 2, text(end, left=(1, 1)))) for end in ("cd", "cx"))
    verdicts = await yjs.ask([Question(case, {}, right), Question(case, {}, wrong)])
    assert [bool(verdict.wrong) for verdict in verdicts] == [False, True]


@pytest.mark.parametrize(
    ("trait", "one", "other"),
    [
        (LONE_SURROGATE, mark("b", '"\\ud83c"'), mark("b", '"\ufffd"')),
        (FORGOTTEN_BY_YJS, mark("b", "-0"), mark("b", "0")),
        (SPLIT_PAIR, DIFFERENT["two"], DIFFERENT["two in another order"]),
    ],
)
async def test_only_a_named_difference_is_let_pass(yjs: Judge, trait: str, one: bytes, other: bytes) -> None:
    assert await differs(yjs, Case("", (one,)), other)
    assert not await differs(yjs, Case("", (one,), frozenset((trait,))), other)
    assert await differs(yjs, Case("", (one,), frozenset((trait,))), DIFFERENT["another client"])


async def test_what_Yjs_cannot_read_is_an_error(yjs: Judge) -> None:
    broken = mark("b", "{")
    case = Case("", (DIFFERENT["text"],))
    refused, poisoned = await yjs.ask([Question(Case("", (broken,))), Question(case, {"other": [broken]})])
    assert refused.error is not None and "JSON" in refused.error
    assert poisoned.error is None and len(poisoned.wrong) == 1
