"""The story in five steps. Start here to learn what the product does.

What it is: the order of the steps, the space file, the end. What it is not: the checks (one module a step).
"""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from vaguemestre.demo import absence, crashes, first_letter, refusals, traces
from vaguemestre.demo.playbill import Playbill
from vaguemestre.demo.space import Space

STEPS = (
    ("1  A letter from the hospital to the general practitioner", first_letter.play),
    ("2  What is refused, and the same without its defect", refusals.play),
    ("3  Twenty kills while letters are under way", crashes.play),
    ("4  The city operator is away", absence.play),
    ("5  Traces, explanations, and a trail that cannot be bent", traces.play),
)


class _Leave(BaseException):
    """SIGINT or SIGTERM: end everything that was started."""


def perform(*, stay: bool = False, space_file: Path | None = None, folder: Path | None = None) -> int:
    """Play the story; the exit status. With `stay`, the space runs on until SIGINT or SIGTERM."""
    bill = Playbill()
    is_temporary = folder is None
    home = Path(tempfile.mkdtemp(prefix="vaguemestre-demo-")) if folder is None else folder.resolve()
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    space = Space(home)
    try:
        with _leaving_on_signals():
            return _perform(space, bill, stay=stay, space_file=space_file)
    except _Leave:
        return 0 if stay and not bill.broken else 130
    finally:
        space.stop()
        if is_temporary:
            shutil.rmtree(home, ignore_errors=True)


def _perform(space: Space, bill: Playbill, *, stay: bool, space_file: Path | None) -> int:
    bill.say("Vaguemestre: a trust space on this machine. Nobody here exists; nothing leaves the loopback.")
    with bill.step("0  The space, made afresh by the product's own commands"):
        space.build(lambda text: _say(bill, text))
        space.start()
        bill.check(
            True, f"two operators run: process {', '.join(str(o.pid) for o in space.operators.values())}"
        )
    if not bill.broken:
        for title, play in STEPS:
            with bill.step(title):
                play(space, bill)
    status = bill.curtain()
    if stay and space_file is not None:
        for operator in space.operators.values():
            operator.rehearse("", 1)
            operator.start()
        space.write_file(space_file)
        bill.say(f"The space runs on; {space_file} describes it. Ctrl-C ends it.")
        while True:
            signal.pause()
    return status


def _say(bill: Playbill, text: str) -> None:
    bill.check(True, text)


@contextmanager
def _leaving_on_signals() -> Iterator[None]:
    def leave(_number: int, _frame: FrameType | None) -> None:
        raise _Leave

    earlier = {number: signal.signal(number, leave) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
