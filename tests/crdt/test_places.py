"""Several values under a key, and parents that are no shared types, never reach yrs (rules U17 and U18)."""

import pytest
from pycrdt import Doc, Text

from crdt.compaction import FoldRefused, fold
from crdt.content import ANY, BINARY, DELETED, DOC, EMBED, FORMAT, GC, JSON, STRING
from crdt.document import PLAIN, Document
from crdt.encoding import encode_var_string
from crdt.update import DeleteRange, StructReader, Update
from tests.crdt.build import MAP, TEXT, Id, gc, item, section, text, type_item, update

VALUE = item(ANY, b"\x01\x78", parent=(1, 0), key="k")
KNOWN = update(section(1, 0, type_item(MAP, parent="m"), VALUE, text("flat")))
"""A map at clock 0, its key at clock 1, and text in a root."""
MAP_GONE = update(deletes={1: [(0, 1)]})
MAP_AT, KEY_AT, TEXT_AT = (1, 0), (1, 1), (1, 2)
LARGE = "x" * 70_000


def known(*updates: Update, is_loaded: bool) -> Document:
    """A document that holds ``KNOWN`` and ``updates``."""
    document = Document()
    for each in (KNOWN, *updates):
        document.intake(each).run()
    return Document.from_snapshot(document.encode(), document.depth) if is_loaded else document


def string_of(written: Update) -> str:
    """What a reader of the root ``t`` sees."""
    doc = Doc[Text]()
    doc.apply_update(written)
    return str(doc.get("t", type=Text))


def live_under_keys(document: Document) -> list[tuple[int, int]]:
    """The structs of several clocks under a key, as yrs writes them: (client, clock)."""
    reader = StructReader(document.encode())
    found = []
    for _ in range(reader.read_count(3)):
        count, client = reader.read_section_header()
        for _ in range(count):
            clock = reader.clock
            reader.read_struct(client)
            if reader.has_key and reader.length > 1 and reader.kind not in (GC, DELETED):
                found.append((client, clock))
    return found


def several(left: Id | None = None, right: Id | None = None, key: str | None = None) -> bytes:
    return item(STRING, b"\x02ab", left=left, right=right, parent=MAP_AT, key=key)


one = text("x", left=KEY_AT)
WAYS: dict[str, tuple[list[Update], Id]] = {
    "named": ([update(section(2, 0, several(key="k")))], (2, 0)),
    "another key": ([update(section(2, 0, several(key="l")))], (2, 0)),
    "a root's key": ([update(section(2, 0, item(STRING, b"\x02ab", parent="m", key="k")))], (2, 0)),
    "left": ([update(section(2, 0, several(left=KEY_AT)))], (2, 0)),
    "right": ([update(section(2, 0, several(right=KEY_AT)))], (2, 0)),
    "left, right elsewhere": ([update(section(2, 0, several(left=KEY_AT, right=TEXT_AT)))], (2, 0)),
    "right, left elsewhere": ([update(section(2, 0, several(left=TEXT_AT, right=KEY_AT)))], (2, 0)),
    "values": ([update(section(2, 0, item(ANY, b"\x02\x78\x79", left=KEY_AT)))], (2, 0)),
    "old values": ([update(section(2, 0, item(JSON, b"\x02\x011\x012", left=KEY_AT)))], (2, 0)),
    "a chain in one update": ([update(section(2, 0, one, several(left=(2, 0))))], (2, 1)),
    "a chain of two updates": (
        [update(section(2, 0, one)), update(section(3, 0, several(left=(2, 0))))],
        (3, 0),
    ),
    "behind deleted ones": (
        [
            update(section(2, 0, item(DELETED, b"\x03", left=KEY_AT))),
            update(section(3, 0, several(left=(2, 1)))),
        ],
        (3, 0),
    ),
    "before what it stands beside": (
        [update(section(3, 0, several(left=(2, 0))), section(2, 0, one))],
        (3, 0),
    ),
    "clients ascend": ([update(section(2, 0, one), section(3, 0, several(left=(2, 0))))], (3, 0)),
    "large": ([update(section(2, 0, text(LARGE), several(left=KEY_AT), text(LARGE)))], (2, 70_000)),
    "held back": ([update(section(2, 1, several(left=KEY_AT))), update(section(2, 0, text("x")))], (2, 1)),
    "partly known": (
        [update(section(2, 0, one)), update(section(2, 0, item(STRING, b"\x03abc", left=KEY_AT)))],
        (2, 1),
    ),
}


def take(document: Document, updates: list[Update]) -> tuple[list[Update], list[DeleteRange]]:
    """Take updates as a session does: with the shortcut, and again what was held back."""
    parts: list[Update] = []
    removed: list[DeleteRange] = []
    waiting: list[Update] = []
    for each in updates:
        if document.take_keystroke(each):
            parts.append(each)
            continue
        for sent in (each, *waiting):
            intake = document.intake(sent)
            parts += intake.run()
            removed += [each.range for each in intake.removed]
            waiting += [] if intake.rest is None else [intake.rest]
    return parts, removed


@pytest.mark.parametrize("is_loaded", [False, True], ids=["recorded", "learnt"])
@pytest.mark.parametrize("way", WAYS)
def test_U17_several_values_under_a_key_are_taken_as_deleted(way: str, *, is_loaded: bool) -> None:
    updates, (client, clock) = WAYS[way]
    document = known(is_loaded=is_loaded)
    parts, removed = take(document, updates)
    assert removed == [DeleteRange(client, clock, clock + 2)]
    assert live_under_keys(document) == []
    assert document.clocks[client] >= clock + 2, "what its author writes behind it is taken"
    # Everybody who hears the parts has the same, and is told of the deletion.
    other = known(is_loaded=False)
    for part in parts:
        other.intake(part).run()
    assert (other.clocks, other.marks()) == (document.clocks, document.marks())


@pytest.mark.usefixtures("unguarded")
@pytest.mark.parametrize("way", sorted(WAYS.keys() - {"right", "right, left elsewhere", "partly known"}))
def test_U17_yrs_would_take_them_and_flags_whatever_is_under_a_key(way: str) -> None:
    """But before another value they are replaced at once."""
    updates, place = WAYS[way]
    document = known(is_loaded=False)
    take(document, [Update(each) for each in updates])
    assert live_under_keys(document) == [place]


@pytest.mark.parametrize("is_loaded", [False, True], ids=["recorded", "learnt"])
def test_U17_whoever_splits_and_deletes_it_ends_nothing(*, is_loaded: bool) -> None:
    document = known(update(section(2, 0, several(key="k"))), is_loaded=is_loaded)
    for edit in (
        update(section(3, 0, text("x", left=(2, 0)))),
        update(deletes={2: [(1, 1)]}),
        update(deletes={1: [(0, 1)]}),
        update(section(4, 0, text("on"))),
    ):
        document.intake(edit).run()
    assert string_of(document.encode()) == "flaton"


@pytest.mark.parametrize("is_loaded", [False, True], ids=["recorded", "learnt"])
@pytest.mark.parametrize(
    "struct",
    [
        text("ab", left=TEXT_AT),
        text("ab", left=(1, 5), right=None),
        text("ab"),
        item(ANY, b"\x01\x78", left=KEY_AT),
        item(DELETED, b"\x03", left=KEY_AT),
        item(STRING, b"\x02ab", left=TEXT_AT, key="a flag that says nothing"),
    ],
)
def test_U17_all_else_enters_as_it_came(struct: bytes, *, is_loaded: bool) -> None:
    sent = update(section(2, 0, struct))
    document = known(is_loaded=is_loaded)
    parts, removed = take(document, [sent])
    assert (parts, removed) == ([sent], [])


NO_TYPES = {
    "text": (STRING, b"\x01x"),
    "an embed": (EMBED, encode_var_string("{}")),
    "a mark": (FORMAT, b"\x01b" + encode_var_string("true")),
    "bytes": (BINARY, b"\x01\x00"),
    "values": (ANY, b"\x01\x78"),
    "old values": (JSON, b"\x01\x011"),
    "a subdocument": (DOC, b"\x01g\x76\x00"),
}


@pytest.mark.parametrize("is_loaded", [False, True], ids=["recorded", "learnt"])
@pytest.mark.parametrize(
    "child", [text("inside", parent=(5, 0)), item(ANY, b"\x01\x78", parent=(5, 0), key="k")]
)
@pytest.mark.parametrize("name", NO_TYPES)
def test_U18_what_is_in_no_shared_type_is_collected(name: str, child: bytes, *, is_loaded: bool) -> None:
    document = known(update(section(5, 0, item(*NO_TYPES[name], parent="a"))), is_loaded=is_loaded)
    length = 6 if child[0] == STRING else 1
    parts, removed = take(document, [update(section(6, 0, child, text("after", left=(1, 5))))])
    assert parts == [update(section(6, 0, gc(length), text("after", left=(1, 5))))]
    assert (removed, document.clocks[6]) == ([], length + 5)
    assert document.intake(update(section(7, 0, text("!", left=(6, length + 4))))).run()
    assert string_of(document.encode()) == "flatafter!"


def test_U18_in_one_update_in_any_order_and_a_large_one() -> None:
    bait, child = section(5, 0, text("bait")), section(6, 0, text("x", parent=(5, 1)), text(LARGE))
    for sent in (update(child, bait), update(bait, child)):
        document = known(is_loaded=True)
        parts, _ = take(document, [sent])
        assert document.clocks == {1: 6, 5: 4, 6: 70_001}
        assert [len(part) > 70_000 for part in parts].count(True) == 1


def test_U18_what_is_in_what_was_collected_is_collected() -> None:
    inner = update(
        section(2, 0, type_item(TEXT, parent=TEXT_AT), text("x", parent=(2, 0)), text("y", left=(2, 1)))
    )
    document = known(is_loaded=False)
    parts, _ = take(document, [inner])
    assert parts == [update(section(2, 0, gc(1), gc(1), text("y", left=(2, 1))))]
    assert string_of(document.encode()) == "flat"


def test_U18_a_shared_type_is_a_parent_wherever_it_came_from() -> None:
    nested = update(section(2, 0, type_item(TEXT, parent="a"), text("in", parent=(2, 0))))
    behind = update(section(3, 0, text("side", left=(2, 2))), deletes={2: [(1, 1)]})
    more = update(section(4, 0, text("more", parent=(2, 0)), item(ANY, b"\x01\x78", parent=MAP_AT, key="l")))
    for is_loaded in (False, True):
        document = known(nested, behind, is_loaded=is_loaded)
        assert take(document, [more]) == ([more], [])


def test_what_others_write_while_a_document_is_learnt_is_not_missed() -> None:
    structs = [item(ANY, b"\x01\x78", parent="m", key=f"k{number}") for number in range(2_500)]
    document = known(update(section(2, 0, *structs)), is_loaded=True)
    steps = document.intake(update(section(3, 0, several(left=(8, 0))), section(8, 0, text("z")))).steps()
    assert next(steps) is None
    typed = update(section(4, 0, item(ANY, b"\x01\x78", parent="m", key="meanwhile")))
    assert document.intake(typed).run() == [typed]
    list(steps)
    intake = document.intake(update(section(9, 0, several(left=(4, 0)))))
    intake.run()
    assert [removed.range for removed in intake.removed] == [DeleteRange(9, 0, 2)]


def test_two_who_learn_at_once_agree() -> None:
    structs = [type_item(MAP, parent="m") for _ in range(2_500)]
    document = known(update(section(2, 0, *structs)), is_loaded=True)
    inside = [update(section(client, 0, text("in", parent=(2, 2_499)))) for client in (3, 4)]
    first, second = (document.intake(each).steps() for each in inside)
    assert (next(first), next(second)) == (None, None)
    assert [*filter(None, first), *filter(None, second)] == inside
    assert live_under_keys(document) == []


def test_a_document_of_text_in_roots_is_known_as_plain_when_it_is_loaded() -> None:
    document = Document()
    document.intake(update(section(1, 0, text("plain")))).run()
    loaded = Document.from_snapshot(document.encode(), document.depth)
    assert (document.depth, loaded.depth, loaded.places.is_plain) == (PLAIN, PLAIN, True)
    assert not known(is_loaded=False).depth & PLAIN


@pytest.mark.parametrize("way", sorted(WAYS.keys() - {"right, left elsewhere"}))
def test_U17_what_was_logged_of_them_folds(way: str) -> None:
    document = known(is_loaded=False)
    parts, _ = take(document, WAYS[way][0])
    folded = fold(None, 0, [KNOWN, *parts])
    assert Document.from_snapshot(folded.update, folded.depth).marks() == document.marks()


def test_U18_what_was_logged_of_it_folds() -> None:
    sent = update(
        section(2, 0, text("in", parent=TEXT_AT)), section(3, 0, text("on", left=(2, 1)), text("after"))
    )
    document = known(is_loaded=False)
    parts, _ = take(document, [sent])
    folded = fold(None, 0, [KNOWN, *parts])
    assert string_of(folded.update) == string_of(document.encode())


@pytest.mark.parametrize("way", sorted(WAYS.keys() - {"old values"}))
def test_U17_an_old_log_that_holds_them_folds_without_them_or_stays_as_it_is(way: str) -> None:
    updates, (client, clock) = WAYS[way]
    split = update(section(9, 0, text("x", left=(client, clock))))
    logs = [KNOWN, *updates], [KNOWN, *updates, split], [KNOWN, *updates, split, MAP_GONE]
    for log in logs:
        try:
            folded = fold(None, 0, log)
        except FoldRefused:
            continue
        assert live_under_keys(Document.from_snapshot(folded.update, folded.depth)) == []
