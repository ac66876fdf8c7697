"""Documents of some size, made once and kept in ``build/bench``."""

from collections.abc import Callable
from pathlib import Path
from random import Random

from pycrdt import Doc, Text, TransactionEvent, XmlElement, XmlFragment, XmlText

from tests.bench.load.wire import EMPTY_UPDATE, TEXT_NAME
from tests.support.clients import Patch
from tests.support.traces import AUTOMERGE_PAPER, load_sequential

__all__ = ["AUTHOR", "large_document", "paper", "paper_keystrokes"]

FOLDER = Path(__file__).parents[3] / "build" / "bench"

AUTHOR = 3_141_592_653
"""Who wrote the paper."""

LARGE_BYTES = 4_000_000
LARGE_AUTHORS = 8
PARAGRAPHS_AT_ONCE = 25
SENTENCES = 12
WORDS = (
    "document",
    "every",
    "reader",
    "and",
    "holds",
    "many",
    "words",
    "that",
    "people",
    "have",
    "moved",
    "about",
)
FORMATS = ({"bold": True}, {"italic": True}, {"code": True}, {"comment": {"id": 17}})


def paper() -> bytes:
    """Return the document that all of the recorded paper makes."""
    return _kept("paper.update", _write_paper)


def large_document() -> bytes:
    """Return a document of 4 MB: formatted paragraphs that several people have edited."""
    return _kept("large.update", _write_large)


def paper_keystrokes(count: int) -> tuple[list[bytes], Doc[Text]]:
    """Return the first ``count`` updates of the paper, one for each edit, and the document that they make."""
    doc: Doc[Text] = Doc(client_id=AUTHOR)
    text = doc.get(TEXT_NAME, type=Text)
    updates: list[bytes] = []

    def note(event: TransactionEvent) -> None:
        updates.append(event.update)

    subscription = doc.observe(note)
    for patch in load_sequential(AUTOMERGE_PAPER).patches[:count]:
        with doc.transaction():
            _type(text, patch)
    doc.unobserve(subscription)
    return updates, doc


def _kept(name: str, write: Callable[[], bytes]) -> bytes:
    path = FOLDER / name
    if not path.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        # Another measurement must not read half of it.
        unfinished = path.with_suffix(".part")
        unfinished.write_bytes(write())
        unfinished.replace(path)
    return path.read_bytes()


def _type(text: Text, patch: Patch) -> None:
    position, deleted, inserted = patch
    if deleted:
        del text[position : position + deleted]
    if inserted:
        text.insert(position, inserted)


def _write_paper() -> bytes:
    doc: Doc[Text] = Doc(client_id=AUTHOR)
    text = doc.get(TEXT_NAME, type=Text)
    for patch in load_sequential(AUTOMERGE_PAPER).patches:
        with doc.transaction():
            _type(text, patch)
    return doc.get_update()


def _write_large() -> bytes:
    chance = Random(4)
    update = EMPTY_UPDATE
    author = 0
    while len(update) < LARGE_BYTES:
        doc: Doc[XmlFragment] = Doc(client_id=AUTHOR + author)
        doc.apply_update(update)
        page = doc.get("prosemirror", type=XmlFragment)
        with doc.transaction():
            for _ in range(PARAGRAPHS_AT_ONCE):
                _write_paragraph(page, chance)
                _edit_paragraph(page, chance)
        update = doc.get_update()
        author = (author + 1) % LARGE_AUTHORS
    return update


def _write_paragraph(page: XmlFragment, chance: Random) -> None:
    paragraph = page.children.append(XmlElement("paragraph"))
    text = paragraph.children.append(XmlText(""))
    for _ in range(SENTENCES):
        _write_sentence(text, chance)


def _edit_paragraph(page: XmlFragment, chance: Random) -> None:
    paragraph = page.children[chance.randrange(len(page.children))]
    assert isinstance(paragraph, XmlElement)
    text = paragraph.children[0]
    assert isinstance(text, XmlText)
    _write_sentence(text, chance)
    place = chance.randrange(len(text) - 8)
    del text[place : place + 8]


def _write_sentence(text: XmlText, chance: Random) -> None:
    """Put a few words somewhere and format some of what is there."""
    words = " ".join(chance.choices(WORDS, k=chance.randrange(3, 12))) + ". "
    text.insert(chance.randrange(len(text) + 1), words)
    start = chance.randrange(len(text))
    text.format(start, min(len(text), start + 12), chance.choice(FORMATS))
