"""Changes real updates by a few bytes and takes them in: ``python -m tests.crdt.mutations SEED SECONDS``.

A program of its own, so that a crash of the process is a failed test and not the end of the run. Prints
how many updates were refused, accepted or broke yrs, and every update that broke it otherwise than
by an invalid parent.
"""

import sys
import time
from collections import Counter
from random import Random
from typing import Any

import pycrdt
from pycrdt import Doc

from crdt.document import Document, DocumentBroken
from crdt.errors import ProtocolError
from crdt.state_vector import decode_state_vector
from tests.crdt.summary import summarise

__all__ = ["corpus", "main"]

ALLOWED = {"Malformed", "TooLarge", "accepted", "held", "nothing", "RuntimeError", "PanicException"}
"""The last two break the document, which is then loaded anew; a panic is worth a named case."""


def corpus() -> list[bytes]:
    """Write one document of every kind of content and return its log and its whole state."""
    doc: Doc[Any] = Doc(client_id=7)
    log: list[bytes] = []
    subscription = doc.observe(lambda event: log.append(event.update))
    text = doc.get("t", type=pycrdt.Text)
    array: pycrdt.Array[Any] = doc.get("a", type=pycrdt.Array)
    items: pycrdt.Map[Any] = doc.get("m", type=pycrdt.Map)
    xml = doc.get("x", type=pycrdt.XmlFragment)
    text += "hello"
    text.insert(5, " wörld 😀", {"bold": True})
    text.insert_embed(3, {"image": "x"})
    text.format(1, 6, {"italic": True})
    array.extend([1, -2.5, "three", None, True, b"\x01\x02", {"k": [1, {"deep": "é"}]}])
    array.append(pycrdt.Text("in"))
    array.append(pycrdt.Map({"a": pycrdt.Array([1, 2])}))
    items["key"] = {"x": 1}
    items["key"] = pycrdt.Text("later")
    paragraph = xml.children.append(pycrdt.XmlElement("p", {"id": "1"}))
    paragraph.children.append(pycrdt.XmlText("words"))
    del text[2:5]
    del array[1:3]
    del array[-1]
    text += "!"
    doc.unobserve(subscription)
    return [*log, doc.get_update()]


def mutate(update: bytes, random: Random) -> bytes:
    """Change, drop or add one to three bytes, more often near the start, where the structure is."""
    changed = bytearray(update)
    for _ in range(random.randint(1, 3)):
        position = random.randrange(len(changed))
        match random.randrange(6):
            case 0:
                changed[position] ^= 1 << random.randrange(8)
            case 1:
                changed[position] = random.randrange(256)
            case 2:
                changed[position] = random.choice((0, 1, 2, 4, 7, 10, 0x7F, 0x80, 0xFF))
            case 3:
                changed.insert(position, random.randrange(256))
            case 4:
                changed[position] = changed[random.randrange(len(changed))]
            case 5 if len(changed) > 4:
                del changed[position]
    return bytes(changed)


def take(log: list[bytes], update: bytes) -> str:
    """Take ``update`` into a document that holds ``log`` and say what came of it."""
    document = Document()
    for known in log:
        document.intake(known).run()
    try:
        parts = document.intake(update).run()
    except ProtocolError as error:
        return type(error).__name__
    except DocumentBroken as error:
        return type(error.__cause__).__name__
    encoded = document.encode()
    summarise(encoded)
    assert decode_state_vector(pycrdt.get_state(encoded)) == document.clocks, (
        "clocks differ from what yrs says"
    )
    again: Doc[Any] = Doc()
    for part in (*log, *parts):
        again.apply_update(part)
    assert decode_state_vector(again.get_state()) == document.clocks, "the log says something else"
    return "accepted" if parts else "held" if document.clocks else "nothing"


def main(seed: int, seconds: float) -> int:
    """Mutate until the time is up; 1 when anything went wrong otherwise than it may."""
    random = Random(seed)
    log = corpus()
    outcomes: Counter[str] = Counter()
    failures = 0
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        index = random.randrange(len(log))
        changed = mutate(log[index], random)
        base = log[:index] if random.random() < 0.7 and index < len(log) - 1 else []
        try:
            outcome = take(base, changed)
        except BaseException as error:
            outcome = f"{type(error).__name__}: {error}"
        outcomes[outcome] += 1
        failures += outcome not in ALLOWED
        if outcome not in ALLOWED or outcome == "PanicException":
            print(f"{outcome}: {len(base)} known, {changed.hex()}")
    print(dict(outcomes))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), float(sys.argv[2])))
