"""What checking costs: ``python -m tests.bench.intake``.

First, the time from a frame to an accepted edit, beside yrs alone applying the same update: decode, walk,
gate and apply against a bare apply. Then the longest time for which a large update keeps everybody waiting.
All of it is CPU time, so that what else the machine does counts less.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from pycrdt import Doc, Text

from crdt.awareness import Awareness
from crdt.dialects.y_websocket import YWebsocket
from crdt.document import Document
from crdt.effects import Ingest
from crdt.encoding import encode_var_string
from crdt.limits import Limits
from crdt.messages import SyncUpdate
from crdt.session import Session
from crdt.update import Update
from tests.crdt.build import item, section, text, update

AUTHOR = 3_141_592_653
"""As many bits as the client ids of Yjs have."""

KEYSTROKES = 2_000
LARGE_BYTES = 4_000_000

Id = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Case:
    """A document and what is typed into it."""

    name: str
    base: Update
    keystrokes: list[Update]


def clients(count: int) -> Update:
    """A text by ``count`` people, a character each."""
    ids = sorted(Random(1).sample(range(2**31, 2**32), count), reverse=True)
    return update(*[section(client, 0, text("x")) for client in ids])


def typing(parent: Id | str, *, deletes: bool) -> Iterator[Update]:
    """Type one character behind the other; with ``deletes`` take back every fourth."""
    clock, left = 0, -1
    for number in range(KEYSTROKES):
        if deletes and number % 4 == 3:
            yield update(deletes={AUTHOR: [(clock - 1, 1)]})
            continue
        origin = (AUTHOR, left) if clock else None
        yield update(section(AUTHOR, clock, text("abcdefgh"[clock % 8], left=origin, parent=parent)))
        left = clock
        clock += 1


def page(paragraphs: int) -> Update:
    """An XML document: paragraphs with a text in each, by one author."""
    structs = []
    for number in range(paragraphs):
        left = (1, 2 * number - 2) if number else None
        structs.append(item(7, b"\x03" + encode_var_string("paragraph"), left=left, parent="prosemirror"))
        structs.append(item(7, b"\x06", parent=(1, 2 * number)))
    return update(section(1, 0, *structs))


def cases() -> list[Case]:
    """Every document that is measured."""
    return [
        Case(f"{kind}, {count} client ids", clients(count), list(typing("t", deletes=kind != "typed")))
        for count in (1, 5_000)
        for kind in ("typed", "typed and deleted")
    ] + [Case("typed into XML", page(500), list(typing((1, 501), deletes=False)))]


def taken(case: Case) -> float:
    """Seconds for each keystroke, from the frame on."""
    document, dialect = Document(), YWebsocket()
    document.intake(case.base).run()
    session = Session(1, document, Awareness(), Limits.of())
    frames = [dialect.encode(SyncUpdate(keystroke)) for keystroke in case.keystrokes]
    started = time.process_time()
    for frame in frames:
        for message in dialect.decode(frame):
            session.receive(message, 0.0)
    return (time.process_time() - started) / len(frames)


def applied(case: Case) -> float:
    """Seconds for each keystroke, with nothing but yrs."""
    doc: Doc[Text] = Doc()
    doc.apply_update(case.base)
    started = time.process_time()
    for keystroke in case.keystrokes:
        doc.apply_update(keystroke)
    return (time.process_time() - started) / len(case.keystrokes)


def compare(case: Case, rounds: int) -> None:
    """Measure both in turns and print the medians."""
    measures: Sequence[Callable[[Case], float]] = (taken, applied)
    times: dict[Callable[[Case], float], list[float]] = {measure: [] for measure in measures}
    for number in range(rounds):
        for measure in measures if number % 2 else reversed(measures):
            times[measure].append(measure(case) * 1e6)
    total, bare = (statistics.median(times[measure]) for measure in measures)
    print(
        f"{case.name:36} {total:8.1f} µs {bare:8.1f} µs {total / bare:8.2f} {(total - bare) / bare:8.2f}",
        flush=True,
    )


def structs(client: int, size_bytes: int) -> bytes:
    """Single characters of one author, about ``size_bytes`` of them."""
    count = size_bytes // 12
    return section(
        client, 0, *[text("abcdefgh"[c % 8], left=(client, c - 1) if c else None) for c in range(count)]
    )


def large() -> Iterator[tuple[str, Update, Update]]:
    """Name, what is there before, and the large update."""
    nothing = update()
    yield "characters of one author", nothing, update(structs(AUTHOR, LARGE_BYTES))
    authors = [structs(AUTHOR - number, LARGE_BYTES // 50) for number in range(50)]
    yield "characters of 50 authors", nothing, update(*authors)
    yield "one string", nothing, update(section(AUTHOR, 0, text("a" * LARGE_BYTES)))
    ranges = [(clock, 1) for clock in range(0, 800_000, 2)]
    known = update(section(AUTHOR, 0, text("ab" * 400_000)))
    yield "400,000 deletions", known, update(deletes={AUTHOR: ranges})


def ingest(name: str, base: Update, sent: Update) -> None:
    """Print the longest step of taking ``sent``, how long all of it took, and what encoding costs."""
    document = Document()
    document.intake(base).run()
    session = Session(1, document, Awareness(), Limits.of())
    started = latest = time.process_time()
    [effect] = session.receive(SyncUpdate(sent), 0.0)
    assert isinstance(effect, Ingest)
    longest = 0.0
    for _ in effect.steps:
        now = time.process_time()
        longest, latest = max(longest, now - latest), now
    whole = time.process_time() - started
    started = time.process_time()
    encoded = document.encode()
    encoding = time.process_time() - started
    print(
        f"{name:36} {len(sent) / 1e6:6.1f} MB {longest * 1e3:8.0f} ms {whole:8.1f} s"
        f" {encoding * 1e3:8.0f} ms {len(encoded) / 1e6:6.1f} MB",
        flush=True,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    print(f"{'an edit':36} {'taken':>11} {'bare':>11} {'ratio':>8} {'added':>8}")
    for case in cases():
        compare(case, rounds)
    print(f"\n{'a large update':36} {'':9} {'pause':>11} {'whole':>10} {'encode':>11}")
    for name, base, sent in large():
        ingest(name, base, sent)


if __name__ == "__main__":
    main()
