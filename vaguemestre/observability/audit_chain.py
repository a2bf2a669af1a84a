"""The arithmetic of the audit trail: leaves, links, checkpoints, and the search for what was changed. Pure.

What it is: the form in which an event is committed to (`leaf`), tied to the one before it (`link`) and vouched for
from outside (`Checkpoint`), and `ChainVerifier`, which says exactly where a trail does not fit any more. What it is
not: storage or keys (`vaguemestre.observability.audit_log`). Start at `link`, then `ChainVerifier.feed`.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

FORMAT = 1
MAX_COMPARED = 64  # ours: misplaced events that are compared with each other, so that the search stays quick

Verify = Callable[[bytes, bytes], bool]
"""(signature, octets) → whether the node's key made it."""


def canonical(form: Mapping[str, Any]) -> bytes:
    """The one way to write a value: keys sorted, no blanks, ASCII (as RFC 8785 does, for strings and lists)."""
    return json.dumps(form, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def genesis(writer: str) -> bytes:
    """What the first event of a writer is tied to."""
    return hashlib.sha256(b"vaguemestre audit chain 1\0" + writer.encode("utf-8")).digest()


def leaf(chain_key: bytes, body: bytes) -> bytes:
    """A commitment to an event that tells nothing to who has not the chain's key."""
    return hmac.digest(chain_key, body, "sha256")


def link(previous: bytes, sequence: int, commitment: bytes) -> bytes:
    """Ties an event to its number and to everything before it."""
    return hashlib.sha256(previous + sequence.to_bytes(8, "big") + commitment).digest()


def month_of(year: int, month: int) -> int:
    """The partition an event lies in: 202603."""
    return year * 100 + month


# --- checkpoints --------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a node vouches for at a time: the last event of each of its writers. `previous` ties them."""

    number: int
    at: float
    heads: Mapping[str, tuple[int, bytes]]
    """Writer → (sequence, link)."""
    previous: bytes
    key_id: str

    def signed_octets(self) -> bytes:
        """What the signature covers."""
        return canonical(
            {
                "v": FORMAT,
                "number": self.number,
                "at": self.at,
                "heads": {writer: [sequence, tied.hex()] for writer, (sequence, tied) in self.heads.items()},
                "previous": self.previous.hex(),
                "key": self.key_id,
            }
        )

    def line(self, signature: bytes) -> bytes:
        """The line of the file, without its end."""
        form = json.loads(self.signed_octets())
        return canonical({**form, "signature": signature.hex()})


class CheckpointDamaged(ValueError):
    """This line is not a checkpoint that was signed here."""


def read_checkpoint(line: bytes, verify: Verify) -> Checkpoint:
    """The checkpoint of a line. Raises `CheckpointDamaged`."""
    try:
        form = json.loads(line)
        signature = bytes.fromhex(form.pop("signature"))
        checkpoint = Checkpoint(
            number=form["number"],
            at=form["at"],
            heads={
                writer: (sequence, bytes.fromhex(tied)) for writer, (sequence, tied) in form["heads"].items()
            },
            previous=bytes.fromhex(form["previous"]),
            key_id=form["key"],
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointDamaged("not a checkpoint") from error
    if canonical(form) != checkpoint.signed_octets() or not verify(signature, checkpoint.signed_octets()):
        raise CheckpointDamaged("the signature does not hold")
    return checkpoint


def line_digest(line: bytes) -> bytes:
    """What the next checkpoint names as the one before it."""
    return hashlib.sha256(line).digest()


# --- verification -------------------------------------------------------------------------------------------
class Damage(enum.Enum):
    """What kind of thing was found."""

    ALTERED = "altered"
    MISSING = "missing"
    MISPLACED = "misplaced"
    TAIL_CUT = "tail-cut"
    REWRITTEN = "rewritten"
    CHECKPOINT_DAMAGED = "checkpoint-damaged"
    CHECKPOINTS_CUT = "checkpoints-cut"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not fit, with its place in a sentence."""

    damage: Damage
    writer: str
    sequence: int
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """The result of a verification."""

    events: int
    writers: int
    checkpoints: int
    findings: tuple[Finding, ...]

    @property
    def is_whole(self) -> bool:
        """Nothing was found."""
        return not self.findings


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainRow:
    """An event as it lies in the table."""

    writer: str
    sequence: int
    month: int
    spool_id: str
    message: str
    body: bytes
    link: bytes


@dataclass(slots=True)
class _Misfit:
    row: ChainRow
    commitment: bytes
    before: bytes
    """The stored link of the event that stands before it now."""


@dataclass(slots=True)
class _Chain:
    """What is known of one writer while its rows go by, in order."""

    writer: str
    sequence: int = 0
    link: bytes = b""
    computed: bytes = b""
    """What the last link should be; differs from `link` when that alone was altered."""
    misfits: list[_Misfit] = field(default_factory=list)


class ChainVerifier:
    """Feed it the rows of all writers, each writer's in order of sequence; then ask for the report."""

    def __init__(
        self, chain_key: bytes, checkpoints: Sequence[Checkpoint], month_at: Callable[[float], int]
    ) -> None:
        self._chain_key = chain_key
        self._month_at = month_at
        self._marks: dict[str, dict[int, list[Checkpoint]]] = {}
        self._checkpoints = len(checkpoints)
        for checkpoint in checkpoints:
            for writer, (sequence, _) in checkpoint.heads.items():
                self._marks.setdefault(writer, {}).setdefault(sequence, []).append(checkpoint)
        self._chains: dict[str, _Chain] = {}
        self._vouched: dict[str, int] = {}
        self._findings: list[Finding] = []
        self._rewritten: set[str] = set()
        self._events = 0

    def feed(self, row: ChainRow) -> None:
        """The next row."""
        self._events += 1
        chain = self._chains.get(row.writer)
        if chain is None:
            start = genesis(row.writer)
            chain = self._chains[row.writer] = _Chain(row.writer, 0, start, start)
        if row.sequence != chain.sequence + 1:
            self._missing(chain, row.sequence)
        commitment = leaf(self._chain_key, row.body)
        computed = link(chain.link, row.sequence, commitment)
        fits = row.link in (computed, link(chain.computed, row.sequence, commitment))
        if not fits and not self._is_after_gap(chain, row):
            chain.misfits.append(_Misfit(row, commitment, chain.link))
        elif not self._columns_agree(row):
            self._find(Damage.ALTERED, row, "its index columns do not say what the event says")
        self._compare_with_checkpoints(row)
        chain.sequence, chain.link, chain.computed = row.sequence, row.link, computed

    def _is_after_gap(self, chain: _Chain, row: ChainRow) -> bool:
        # The event behind a gap cannot be tied to what is not there; the gap itself is the finding.
        return row.sequence != chain.sequence + 1

    def _missing(self, chain: _Chain, sequence: int) -> None:
        first, last = chain.sequence + 1, sequence - 1
        what = f"event {first} is" if first == last else f"events {first} to {last} are"
        sentence = f"{what} missing from the chain of {chain.writer}"
        self._findings.append(Finding(Damage.MISSING, chain.writer, first, sentence))

    def _columns_agree(self, row: ChainRow) -> bool:
        form = json.loads(row.body)
        return (
            form["spool"] == row.spool_id
            and form["message"] == row.message
            and self._month_at(form["at"]) == row.month
        )

    def _compare_with_checkpoints(self, row: ChainRow) -> None:
        for checkpoint in self._marks.get(row.writer, {}).pop(row.sequence, ()):
            if checkpoint.heads[row.writer][1] == row.link:
                self._vouched[row.writer] = row.sequence
            elif row.writer not in self._rewritten:
                self._rewritten.add(row.writer)
                first = self._vouched.get(row.writer, 0) + 1
                sentence = (
                    f"event {row.sequence} of {row.writer} is not the one that checkpoint {checkpoint.number} "
                    f"vouches for: the chain was rewritten somewhere between events {first} and {row.sequence}"
                )
                self._findings.append(Finding(Damage.REWRITTEN, row.writer, row.sequence, sentence))

    def _find(self, damage: Damage, row: ChainRow, why: str) -> None:
        sentence = f"event {row.sequence} of {row.writer} was {damage.value}: {why}"
        self._findings.append(Finding(damage, row.writer, row.sequence, sentence))

    def finish(self, heads: Mapping[str, int]) -> VerifyReport:
        """`heads` are the last numbers that the table of heads names."""
        for chain in self._chains.values():
            self._judge_misfits(chain)
        self._find_cut_tails(heads)
        return VerifyReport(
            events=self._events,
            writers=len(self._chains),
            checkpoints=self._checkpoints,
            findings=tuple(self._findings),
        )

    def _judge_misfits(self, chain: _Chain) -> None:
        some = chain.misfits[:MAX_COMPARED]
        for misfit in chain.misfits:
            row = misfit.row
            original = _original_place(misfit, some)
            if original is None:
                self._find(Damage.ALTERED, row, "it is not what was committed to when it was written")
            elif original != row.sequence:
                self._find(Damage.MISPLACED, row, f"it was written as event {original}")

    def _find_cut_tails(self, heads: Mapping[str, int]) -> None:
        for writer in sorted({*self._marks, *heads}):
            last = self._chains[writer].sequence if writer in self._chains else 0
            signed = {number: marks for number, marks in self._marks.get(writer, {}).items() if number > last}
            end = max([*signed, heads.get(writer, 0)])
            if end <= last:
                continue
            witness = f"checkpoint {signed[end][-1].number}" if end in signed else "the table of heads"
            sentence = (
                f"events {last + 1} to {end} of {writer} were cut off the end: {witness} names event {end}"
            )
            self._findings.append(Finding(Damage.TAIL_CUT, writer, last + 1, sentence))


def _original_place(misfit: _Misfit, misfits: Iterable[_Misfit]) -> int | None:
    """The number under which this event was written, if it still fits somewhere; its own when only its
    neighbour was moved."""
    for other in misfits:
        for before in (other.before, other.row.link):
            for number in (other.row.sequence, other.row.sequence + 1):
                if link(before, number, misfit.commitment) == misfit.row.link:
                    return number
    return None


@dataclass(slots=True)
class CheckpointReader:
    """Reads a file of checkpoints, line by line, and finds what does not fit in it."""

    verify: Verify
    checkpoints: list[Checkpoint] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    last_line: bytes = b""
    lines: dict[int, bytes] = field(default_factory=dict)

    def feed(self, number: int, line: bytes) -> None:
        """The next line; `number` counts from 1 in the file."""
        self.last_line, before = line, self.last_line
        try:
            checkpoint = read_checkpoint(line, self.verify)
        except CheckpointDamaged as error:
            self._find(number, f"line {number} of the checkpoint file is damaged: {error}")
            return
        self.lines[checkpoint.number] = line
        self.checkpoints.append(checkpoint)
        if checkpoint.previous != (line_digest(before) if before else bytes(32)):
            self._find(number, f"line {number} of the checkpoint file does not follow the line before it")

    def compare_with(self, number: int, line: bytes) -> None:
        """The last checkpoint, as the database keeps it: the file must hold it."""
        if number not in self.lines:
            sentence = (
                f"the checkpoint file lacks checkpoint {number}, which the database holds: its end was cut"
            )
            self.findings.append(Finding(Damage.CHECKPOINTS_CUT, "", number, sentence))
        elif self.lines[number] != line:
            self._find(number, f"checkpoint {number} is not the same in the file and in the database")

    def _find(self, number: int, sentence: str) -> None:
        self.findings.append(Finding(Damage.CHECKPOINT_DAMAGED, "", number, sentence))
