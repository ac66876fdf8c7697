"""Content that yrs reads otherwise than Yjs comes back as it was written (U13–U16)."""

from dataclasses import replace

import pytest
from pycrdt import Doc, Text

from crdt.compaction import fold
from crdt.document import KEPT_BESIDE, Document
from crdt.encoding import encode_var_string, encode_var_uint
from crdt.errors import Malformed
from crdt.limits import Limits
from crdt.merging import merge
from crdt.update import DeleteRange, Update
from tests.crdt.build import item, section, text, update
from tests.crdt.summary import summarise


def json(value: str) -> bytes:
    return item(5, encode_var_string(value))


def mark(value: str) -> bytes:
    return item(6, encode_var_string("link") + encode_var_string(value))


def values(*encoded: bytes) -> bytes:
    return item(8, encode_var_uint(len(encoded)) + b"".join(encoded))


def old_array(*texts: str) -> bytes:
    return item(2, encode_var_uint(len(texts)) + b"".join(map(encode_var_string, texts)))


def subdocument(options: bytes) -> bytes:
    return item(9, encode_var_string("guid") + options)


def string(value: str) -> bytes:
    return b"\x77" + encode_var_string(value)


def deep(depth: int) -> str:
    return "[" * depth + "]" * depth


BIG = b"\x7a\x00\x00\x00\x00\x00\x00\x00\x05"
NEGATIVE_ZERO, FLOAT_NEGATIVE_ZERO = b"\x7d\x40", b"\x7c\x80\x00\x00\x00"
META = b"\x76\x01" + encode_var_string("meta") + b"\x76\x02\x01b\x7e\x01a\x7f"

REWRITTEN = {
    "old array of one": (old_array("1"), values(b"\x7d\x01")),
    "old array of all": (
        old_array("undefined", "null", "-7", "0.5", '"é\\ud83c!"', "[true,{}]", "100", "1e300", "-0"),
        values(
            *(b"\x7f", b"\x7e", b"\x7d\x47", b"\x7c\x3f\x00\x00\x00", string("é\ufffd!")),
            *(b"\x75\x02\x78\x76\x00", b"\x7d\xa4\x01", b"\x7b\x7e\x37\xe4\x3c\x88\x00\x75\x9c"),
            FLOAT_NEGATIVE_ZERO,
        ),
    ),
    "half an emoji in a mark": (mark('{"href":"Party \\ud83c"}'), mark('{"href":"Party �"}')),
    "halves the wrong way round": (json('"\\udf89\\ud83c"'), json('"��"')),
    "half in a key": (json('{"\\uD83C":1}'), json('{"�":1}')),
    "2**63": (json("9223372036854775808"), json("9.223372036854776e+18")),
    "20 digits": (json('{"id":12345678901234567890}'), json('{"id":1.2345678901234567e+19}')),
    "infinite": (json("[1e400,-1e400]"), json("[null,null]")),
    "negative zero": (values(NEGATIVE_ZERO), values(FLOAT_NEGATIVE_ZERO)),
    "negative zero inside": (
        values(b"\x7e", b"\x75\x02" + NEGATIVE_ZERO + b"\x78", b"\x7f"),
        values(b"\x7e", b"\x75\x02" + FLOAT_NEGATIVE_ZERO + b"\x78", b"\x7f"),
    ),
    "hook": (
        item(7, b"\x05" + encode_var_string("hook")),
        item(7, b"\x03" + encode_var_string("hook")),
    ),
}

KEPT = {
    "int64": values(BIG),
    "int64 between others": values(b"\x7e", BIG, string("z")),
    "int64 inside": values(b"\x76\x01" + encode_var_string("n") + b"\x75\x01" + BIG),
    "meta of a subdocument": subdocument(META),
    "json nested 130 deep": json(deep(130)),
    "json nested 500 deep in a mark": mark('{"a":' * 499 + "[1]" + "}" * 499),
    "float with many digits": json("0.0009365522017793401"),
    "exponent": mark('{"x":1e21}'),
    "json -0": json("-0"),
}

ALIKE = {
    "pair": json('"🎉 \\\\ud83c"'),
    "2**63 - 1": json("[9223372036854775807,-9223372036854775808]"),
    "values nested 500 deep": values(b"\x75\x01" * 500 + b"\x7e"),
    "json nested 127 deep": json(deep(127)),
    "short numbers": json("[0,1.5,-0.25,123456.789,100000000000000000]"),
    "float -0, NaN": values(FLOAT_NEGATIVE_ZERO, b"\x7b\x7f\xf8" + bytes(6)),
}


def of(*structs: bytes) -> Update:
    return update(section(1, 0, *structs))


def taken(struct: bytes) -> Document:
    document = Document()
    document.intake(of(struct)).run()
    return document


@pytest.mark.parametrize("name", REWRITTEN)
def test_U13_what_yrs_cannot_read_is_written_anew_for_everybody(name: str) -> None:
    written, expected = REWRITTEN[name]
    document = Document()
    assert document.intake(of(written)).run() == [of(expected)]
    assert document.encode() == of(expected)


@pytest.mark.parametrize("name", KEPT)
def test_U14_what_yrs_would_alter_comes_back_to_the_byte(name: str) -> None:
    document = Document()
    assert document.intake(of(KEPT[name])).run() == [of(KEPT[name])]
    assert document.encode() == of(KEPT[name])
    assert document.depth & KEPT_BESIDE


@pytest.mark.parametrize("name", ALIKE)
def test_U14_what_yrs_reads_alike_is_left_to_it(name: str) -> None:
    document = taken(ALIKE[name])
    assert document.encode() == of(ALIKE[name])
    assert not document.depth & KEPT_BESIDE


@pytest.mark.parametrize("name", KEPT)
def test_U14_it_comes_back_from_a_snapshot(name: str) -> None:
    document = taken(KEPT[name])
    loaded = Document.from_snapshot(document.encode(), document.depth)
    assert (loaded.encode(), loaded.depth, loaded.clocks) == (of(KEPT[name]), document.depth, document.clocks)


@pytest.mark.parametrize("name", KEPT)
def test_U14_it_comes_through_a_merge(name: str) -> None:
    first, second = of(KEPT[name]), update(section(2, 0, text("a")))
    document = Document()
    document.intake(merge([first, second])).run()
    assert document.encode() == update(section(2, 0, text("a")), section(1, 0, KEPT[name]))


def test_U14_only_the_difference_is_told_and_it_is_whole() -> None:
    document = taken(values(b"\x7e", BIG, BIG))
    difference = update(section(1, 1, item(8, b"\x02" + BIG + BIG, left=(1, 0))))
    assert document.diff(b"\x01\x01\x01") == difference


def test_U14_equal_content_is_kept_once_and_what_is_deleted_is_forgotten() -> None:
    document = Document()
    for clock in range(3_000):
        number = b"\x7a" + (clock + 2**40).to_bytes(8)
        left = (1, clock - 1) if clock else None
        document.intake(update(section(1, clock, item(8, b"\x01" + number, left=left)))).run()
        if clock:
            document.intake(update(deletes={1: [(clock - 1, 1)]})).run()
    assert document.encode() == update(
        section(1, 0, item(1, encode_var_uint(2_999)), item(8, b"\x01" + number, left=(1, 2_998))),
        deletes={1: [(0, 2_999)]},
    )
    assert len(document._stand_ins._contents) < 1_100


def test_U14_text_that_looks_like_a_stand_in_is_text() -> None:
    document = taken(values(BIG, string("0" * 48)))
    assert document.encode() == of(values(BIG, string("0" * 48)))


LIMITS = replace(Limits.of(), content_bytes=1_024)

TOO_LARGE = {
    "json": json('"' + "x" * 1_100 + '"'),
    "values": values(string("x" * 1_100)),
    "binary": item(3, encode_var_uint(1_100) + bytes(1_100)),
    "text": text("x" * 1_100),
    "value nested 501 deep": values(b"\x75\x01" * 501 + b"\x7e"),
    "json nested 501 deep": json(deep(501)),
    "old array nested 501 deep": old_array("1", deep(501)),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_U16_content_beyond_a_limit_is_taken_as_deleted_and_what_is_beside_it_is_taken(name: str) -> None:
    length = summarise(of(TOO_LARGE[name])).brings[1][0][1]
    sent = update(section(2, 0, text("ok")), section(1, 0, TOO_LARGE[name], text("!", left=(1, length - 1))))
    document = Document()
    intake = document.intake(sent, limits=LIMITS)
    part, deletion = intake.run()
    assert [removed.range for removed in intake.removed] == [DeleteRange(1, 0, length)]
    assert deletion == update(deletes={1: [(0, length)]})
    assert document.clocks == {1: length + 1, 2: 2}
    reader: Doc[Text] = Doc()
    reader.apply_update(part)
    assert str(reader.get("t", type=Text)) in ("!ok", "ok!")


def test_U16_what_the_log_holds_already_is_taken_whatever_its_size() -> None:
    assert taken(TOO_LARGE["text"]).encode() == of(TOO_LARGE["text"])


def test_U16_text_that_is_longer_than_any_struct_of_a_client_may_be_leaves_its_author_where_it_is() -> None:
    limits = replace(Limits.of(), content_bytes=2**24)
    intake = Document().intake(of(text("x" * (2**24 + 1))), limits=limits)
    part, deletion = intake.run()
    assert part == of(item(1, encode_var_uint(2**24 + 1)))
    assert deletion == update(deletes={1: [(0, 2**24 + 1)]})


def test_U16_its_author_is_told_of_the_deletion_also_where_it_had_to_wait() -> None:
    document = Document()
    waits = document.intake(
        update(section(7, 0, item(8, b"\x01" + b"\x75\x01" * 501 + b"\x7e", left=(8, 0)))), limits=Limits.of()
    )
    assert waits.run() == []
    document.intake(update(section(8, 0, text("a")))).run()
    assert waits.rest is not None
    part, deletion = document.intake(waits.rest, limits=Limits.of(), untold=waits.untold).run()
    assert deletion == update(deletes={7: [(0, 1)]})


def test_U13_a_text_without_an_end_costs_no_more_than_its_length() -> None:
    """Looked for as a string of JSON, 60 KB of it took 7 s: each start was read to the end."""
    content = b"[" * 128 + b'"' + b'\\"' * 2**19
    with pytest.raises(Malformed):
        Document().intake(of(item(5, encode_var_uint(len(content)) + content))).run()


@pytest.mark.parametrize(
    "options", [b"\x03foo\x78", b"\x0ashouldLoad\x78", b"\x08encoding\x7d\x02", b"\x08autoLoad\x7d\x00"]
)
def test_U13_options_that_yjs_drops_are_dropped_and_the_document_folds(options: bytes) -> None:
    written = of(subdocument(b"\x76\x01" + options))
    [part] = Document().intake(written).run()
    assert fold(None, 0, [part]).update


LARGE = [("x", 70_000, None), ("y", 60_000, (1, 69_999)), ("z", 60_000, (1, 129_999))]


def test_U16_its_author_is_told_of_the_deletion_also_where_the_update_is_large() -> None:
    texts = [text(letter * size, left=left) for letter, size, left in LARGE]
    limits = replace(Limits.of(), content_bytes=65_536)
    parts = Document().intake(update(section(1, 0, *texts)), limits=limits).run()
    assert parts[-1] == update(deletes={1: [(0, 70_000)]})
