"""Takes cases into Cowrite's own documents, as a session does, and says what is wrong with the outcome."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from crdt.document import Document
from crdt.encoding import Decoder
from crdt.errors import ProtocolError
from crdt.merging import merge
from crdt.replay import take_all
from crdt.state_vector import encode_state_vector
from crdt.update import DeleteRange, Update, read_delete_ranges
from tests.crdt.summary import summarise
from tests.differential.generator import Case
from tests.differential.judge import Judge, Question, Verdict
from tests.differential.traits import REFUSALS, SEVERAL_UNDER_A_KEY, TOO_DEEP

__all__ = ["Failure", "Outcome", "examine", "take"]


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that must not be, by its kind, and the case that shows it."""

    kind: str
    case: Case
    detail: str = ""

    def __str__(self) -> str:
        updates = " ".join(update.hex() for update in self.case.updates)
        return f"{self.case.name} {sorted(self.case.traits)} {updates[:2_000]}\n{self.detail[:2_000]}"


@dataclass(slots=True)
class Outcome:
    """What became of a case in Cowrite."""

    question: Question
    """Its case, and all that peers may be sent of it."""
    clocks: dict[int, int] = field(default_factory=dict)
    is_waiting: bool = False
    refusal: str | None = None
    """Why it was refused."""
    failures: list[Failure] = field(default_factory=list)

    def fail(self, kind: str, detail: object = "") -> None:
        """Note what is wrong already without Yjs."""
        self.failures.append(Failure(kind, self.question.case, str(detail)))


async def examine(
    cases: Iterable[Case], yjs: Judge, begin: Callable[[Case], object] = lambda case: None
) -> list[Failure]:
    """Take every case into a document of its own and compare it with what Yjs reads."""
    outcomes = []
    for case in cases:
        begin(case)
        outcomes.append(take(case))
    verdicts = await yjs.ask([outcome.question for outcome in outcomes])
    return [
        failure
        for outcome, verdict in zip(outcomes, verdicts, strict=True)
        for failure in outcome.failures or _compare(outcome, verdict)
    ]


def take(case: Case) -> Outcome:
    """Take the updates of a case into a document, and read back what it gives out."""
    outcome = Outcome(Question(case))
    document = Document()
    parts: list[Update] = []
    try:
        try:
            waiting = take_all(document, map(Update, case.updates), parts.append)
        except ProtocolError as error:
            outcome.refusal = f"{type(error).__name__}: {error}"
            _check_refused(document, parts, outcome)
        else:
            outcome.clocks, outcome.is_waiting = document.clocks, bool(waiting)
            _read_back(document, parts, outcome)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        # A panic of yrs is no Exception.
        cause = error.__cause__ or error
        outcome.fail(f"broke: {type(error).__name__} from {type(cause).__name__}", cause)
    return outcome


def _check_refused(document: Document, parts: list[Update], outcome: Outcome) -> None:
    accepted = Document()
    take_all(accepted, parts)
    if _read_marks(document) != _read_marks(accepted):
        outcome.fail("refused, yet something of it was kept")


def _read_back(document: Document, parts: list[Update], outcome: Outcome) -> None:
    case = outcome.question.case
    encoded = document.encode()
    reloaded = Document.from_snapshot(encoded, document.depth)
    given = {
        "parts": tuple(parts),
        "log": (merge(list(parts)),),
        "encode": (encoded,),
        "reloaded": (reloaded.encode(),),
    }
    # Most of them are the same bytes: Yjs reads those once, and not at all where they are those of the case.
    names = {updates: name for name, updates in given.items() if updates != case.updates}
    diff = document.diff(encode_state_vector(dict(case.known)))
    outcome.question = Question(case, {name: updates for updates, name in names.items()}, diff)
    clocks = {
        "yrs": _read_marks(document)[1],
        "a document loaded again": reloaded.clocks,
        "the walker, of what is given out,": _walk([encoded]),
    }
    if not outcome.is_waiting:
        clocks["the walker"] = _walk(case.updates)
    for who, said in clocks.items():
        if said != document.clocks:
            outcome.fail(f"clocks of {who} differ", f"{said} instead of {document.clocks}")


def _read_marks(document: Document) -> tuple[set[DeleteRange], dict[int, int]]:
    """What yrs itself says that it has."""
    decoder = Decoder(document.marks())
    deletions = set(read_delete_ranges(decoder))
    return deletions, {decoder.read_var_uint(): decoder.read_var_uint() for _ in range(decoder.read_count(2))}


def _walk(updates: Sequence[bytes]) -> dict[int, int]:
    ends: dict[int, int] = {}
    for update in updates:
        for client, ranges in summarise(update).brings.items():
            ends[client] = max(ends.get(client, 0), *(end for _, end in ranges), 0)
    return {client: end for client, end in ends.items() if end}


def _compare(outcome: Outcome, verdict: Verdict) -> Iterator[Failure]:
    case = outcome.question.case
    if outcome.refusal is not None:
        if verdict.error is None and not case.traits & REFUSALS.keys():
            yield Failure(f"refused, but Yjs reads it: {outcome.refusal}", case)
        return
    if verdict.error is not None:
        if not case.traits & {SEVERAL_UNDER_A_KEY, TOO_DEEP}:
            yield Failure("accepted, but Yjs refuses it", case, verdict.error)
        return
    if verdict.clocks != outcome.clocks:
        yield Failure("clocks of Yjs differ", case, f"{verdict.clocks} instead of {outcome.clocks}")
    if outcome.is_waiting and not verdict.is_pending:
        # The other way round nothing is lacking: Yjs waits to be told again what it has already.
        yield Failure("waits, and Yjs does not", case)
    for name, expected, found in verdict.wrong:
        yield Failure(
            f"Yjs reads something else from {name}", case, f"should be {expected}\nand is    {found}"
        )
