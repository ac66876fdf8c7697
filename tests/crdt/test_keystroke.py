"""The short cut for keystrokes decides as the walker does, and leaves it whatever it does not know."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycrdt import Doc, Text

from crdt.document import Document
from crdt.encoding import encode_var_uint
from crdt.errors import Malformed
from crdt.keystroke import KEYSTROKE_LIMIT_BYTES, read_keystroke
from tests.crdt.summary import summarise

CLIENTS = st.sampled_from([1, 127, 128, 3_123_456_789, 2**53 - 1])
CLOCKS = st.integers(0, 2**31 + 5)


def typed(client: int, clock: int, origins: list[tuple[int, int]], info: int, text: bytes) -> bytes:
    references = b"".join(encode_var_uint(c) + encode_var_uint(k) for c, k in origins)
    head = b"\x01\x01" + encode_var_uint(client) + encode_var_uint(clock) + bytes((info,))
    return head + references + encode_var_uint(len(text)) + text + b"\x00"


@given(
    client=CLIENTS,
    clock=CLOCKS,
    shape=st.sampled_from([(0x84, 1), (0x44, 1), (0xC4, 2)]),
    others=st.lists(st.tuples(CLIENTS, st.integers(0, 300)), min_size=2, max_size=2),
    text=st.text(st.characters(max_codepoint=0x7F), min_size=1, max_size=20),
)
def test_what_is_read_is_what_the_walker_reads(
    client: int, clock: int, shape: tuple[int, int], others: list[tuple[int, int]], text: str
) -> None:
    """A keystroke brings and needs exactly what the walker finds in the same bytes."""
    info, count = shape
    update = typed(client, clock, others[:count], info, text.encode())
    keystroke = read_keystroke(update)
    try:
        summary = summarise(update)
    except Malformed:
        refers_ahead = any(c == client and k >= clock for c, k in others[:count])
        assert keystroke is None or refers_ahead
        return
    assert keystroke is not None
    assert summary.brings == {client: [(keystroke.clock, keystroke.end)]}
    assert (keystroke.clock, keystroke.end) == (clock, clock + len(text))
    wanted = {client: clock} if clock else {}
    for origin in (keystroke.left, keystroke.right):
        if origin is not None:
            wanted[origin[0]] = max(wanted.get(origin[0], 0), origin[1] + 1)
    assert summary.needs == wanted
    assert [origin for origin in (keystroke.left, keystroke.right) if origin is not None] == others[:count]


@given(st.binary(max_size=KEYSTROKE_LIMIT_BYTES))
def test_noise_is_left_to_the_walker_or_well_formed(noise: bytes) -> None:
    """Whatever is recognised in random bytes, the walker accepts too, or refuses for a reference ahead."""
    for update in (noise, b"\x01\x01" + noise, b"\x00\x01" + noise):
        try:
            keystroke = read_keystroke(update)
        except Malformed:
            with pytest.raises(Malformed):
                summarise(update)
            continue
        if keystroke is None:
            continue
        try:
            summarise(update)
        except Malformed:
            origins = [keystroke.left, keystroke.right]
            assert any(o and o[0] == keystroke.client and o[1] >= keystroke.clock for o in origins)


def test_a_length_that_is_not_the_text_is_left_to_the_walker() -> None:
    """The length byte counts, not what the expression matched."""
    good = typed(5, 0, [(7, 0)], 0x84, b"abc")
    assert read_keystroke(good) is not None
    assert read_keystroke(good.replace(b"\x03abc", b"\x04abc")) is None
    assert read_keystroke(good + b"\x00") is None


def test_documents_agree_with_and_without_the_short_cut(seed: int) -> None:
    """A shuffled, doubled log ends in the same document, whichever way each update goes in."""
    rnd = random.Random(seed)
    updates: list[bytes] = []
    source: Doc[Text] = Doc(client_id=3_123_456_789)
    text = source.get("text", type=Text)
    subscription = source.observe(lambda event: updates.append(event.update))
    for _ in range(400):
        if len(text) and rnd.random() < 0.3:
            del text[rnd.randrange(len(text))]
        else:
            text.insert(rnd.randrange(len(text) + 1), "x" * rnd.randint(1, 3))
    source.unobserve(subscription)
    order = updates[:]
    for index in range(len(order) - 1):
        if rnd.random() < 0.2:
            order[index], order[index + 1] = order[index + 1], order[index]
    quick, walked = Document(), Document()
    for update in order + updates:
        if not quick.take_keystroke(update):
            quick.intake(update).run()
        walked.intake(update).run()
        assert quick.clocks == walked.clocks
    assert quick.encode() == walked.encode() == source.get_update()
