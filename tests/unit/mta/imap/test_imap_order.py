"""What SORT and THREAD compare, and the threads: the examples of RFC 5256, any letters, and hostile ones."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.message import raw_fields
from mta.imap.envelope import envelope_text
from mta.imap.ordering import Compared, base_subject, compared
from mta.imap.threads import Threaded, message_ids, thread_text, threads


# --- what is compared ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("Résultats", ("resultats", False)),
        ("Re: Résultats", ("resultats", True)),
        ("RE : re: Fwd: FW: Résultats (fwd) (fwd)", ("resultats", True)),
        ("[liste] Re: [liste] Résultats", ("resultats", True)),
        ("[liste] Résultats", ("resultats", False)),
        ("[liste]", ("[liste]", False)),
        ("[Fwd: Re: Résultats]", ("resultats", True)),
        ("Re[2]: Résultats", ("resultats", True)),
        ("Recette", ("recette", False)),
        ("Re:", ("", True)),
        ("", ("", False)),
        ("a \t\r\n  b", ("a b", False)),
    ],
)
def test_base_subjects(subject: str, expected: tuple[str, bool]) -> None:
    assert base_subject(subject) == expected


@given(st.text(max_size=200))
def test_a_base_subject_has_no_other_base(subject: str) -> None:
    base, _ = base_subject(subject)
    assert base_subject("Re: " + subject)[0] == base or not base
    assert base_subject(base)[0] == base


@pytest.mark.parametrize("piece", ["re:", "[a]", "(fwd)", "[fwd:", "re [a]", " [", "fw"])
def test_the_work_on_a_subject_is_bounded(piece: str) -> None:
    began = time.process_time()
    base_subject(piece * 5000)
    assert time.process_time() - began < 0.2


def test_values_are_read_from_the_envelope_that_was_stored() -> None:
    letter = (
        b'Subject: =?utf-8?q?Re:_r=C3=A9sultat?=\r\nFrom: "A \\"B\\" (c)" <Anne@ch-rivage.mssante.example>\r\n'
        b"To: paul@cabinet.mssante.example, x@cabinet.mssante.example\r\nMessage-ID: <one@x.example>\r\n"
        b"In-Reply-To: <zero@x.example>\r\nCc: \xff <cc@cabinet.mssante.example>\r\n\r\n"
    )
    assert compared(envelope_text(raw_fields(letter, 0, len(letter)))) == Compared(
        subject="resultat",
        is_reply=True,
        sender="anne",
        to="paul",
        cc="cc",
        message_id=b"<one@x.example>",
        in_reply_to=b"<zero@x.example>",
    )


@given(st.dictionaries(st.sampled_from([b"subject", b"from", b"to", b"message-id"]), st.binary(max_size=80)))
def test_any_envelope_is_read(fields: dict[bytes, bytes]) -> None:
    one = compared(envelope_text(fields))
    expected = fields.get(b"message-id", b"").replace(b"\0", b"")
    assert one.message_id == expected


@given(st.binary(max_size=120))
def test_what_is_no_envelope_has_no_values(octets: bytes) -> None:
    assert isinstance(compared(octets), Compared)


# --- threads ------------------------------------------------------------------------------------------------
def letter(
    number: int, *references: int, subject: str = "", is_reply: bool = False, date: int = 0
) -> Threaded:
    return Threaded(
        number=number,
        message_id=b"<%d@x>" % number,
        references=[b"<%d@x>" % reference for reference in references],
        subject=subject,
        is_reply=is_reply,
        date=date or number,
    )


def told(*letters: Threaded) -> bytes:
    return b"".join(thread_text(root) for root in threads(letters))


@pytest.mark.parametrize(
    ("letters", "expected"),
    [
        ([letter(1), letter(2)], b"(1)(2)"),
        ([letter(1), letter(2, 1), letter(3, 1, 2)], b"(1 2 3)"),
        ([letter(1), letter(2, 1), letter(3, 1), letter(4, 1, 3)], b"(1 (2)(3 4))"),
        # the first is not here: its answers stand together
        ([letter(2, 1), letter(3, 1)], b"((2)(3))"),
        ([letter(3, 1, 2)], b"(3)"),
        # one between that is not here
        ([letter(1), letter(3, 1, 2)], b"(1 3)"),
        # order by date, not by number
        (
            [letter(1, date=5), letter(2, date=3), letter(3, 1, date=9), letter(4, 1, date=8)],
            b"(2)(1 (4)(3))",
        ),
        # a loop is not linked
        ([letter(1, 2), letter(2, 1)], b"(2 1)"),
        ([letter(1, 1)], b"(1)"),
        # the same subject
        ([letter(1, subject="a"), letter(2, subject="a", is_reply=True)], b"(1 2)"),
        ([letter(1, subject="a", is_reply=True), letter(2, subject="a")], b"(2 1)"),
        ([letter(1, subject="a"), letter(2, subject="a"), letter(3, subject="a")], b"((1)(2)(3))"),
        ([], b""),
    ],
)
def test_examples(letters: list[Threaded], expected: bytes) -> None:
    assert told(*letters) == expected


def test_two_letters_of_one_message_id_are_both_told() -> None:
    assert told(letter(1), Threaded(
        number=2, message_id=b"<1@x>", references=(), subject="", is_reply=False, date=2
    )) == b"(1)(2)"  # fmt: skip


LETTERS = st.lists(
    st.builds(
        lambda references, subject, is_reply, date: (references, subject, is_reply, date),
        st.lists(st.integers(1, 14), max_size=4),
        st.sampled_from(["", "a", "b"]),
        st.booleans(),
        st.integers(1, 5),
    ),
    max_size=14,
)


@given(LETTERS)
def test_every_letter_is_told_once(drawn: list[tuple[list[int], str, bool, int]]) -> None:
    letters = [
        letter(number, *references, subject=subject, is_reply=is_reply, date=date)
        for number, (references, subject, is_reply, date) in enumerate(drawn, 1)
    ]
    text = told(*letters)
    assert sorted(int(word) for word in re.findall(rb"\d+", text)) == list(range(1, len(letters) + 1))
    depth = 0
    for octet in text:
        depth += (octet == ord("(")) - (octet == ord(")"))
        assert depth >= 0
    assert depth == 0
    assert b"()" not in text
    assert b"( " not in text


@pytest.mark.parametrize("shape", ["chain", "turned", "star", "all", "loops", "subjects"])
def test_hostile_references_cost_little(shape: str) -> None:
    count = 10_000
    references = {
        "chain": lambda n: (n - 1,) if n > 1 else (),
        "turned": lambda n: (n + 1,),
        "star": lambda n: (1,),
        "all": lambda n: tuple(range(max(1, n - 50), n)),
        "loops": lambda n: (n % 7 + 1, n % 11 + 1, (n * 7919) % count + 1),
        "subjects": lambda n: (),
    }[shape]
    subject = "a" if shape == "subjects" else ""
    letters = [letter(number, *references(number), subject=subject) for number in range(1, count + 1)]
    began = time.process_time()
    text = told(*letters)
    assert time.process_time() - began < 3
    assert len(re.findall(rb"\d+", text)) == count


def test_message_ids_are_bounded() -> None:
    assert message_ids(b"junk <a@b> (c) <d@e>\r\n <f g>") == [b"<a@b>", b"<d@e>"]
    assert len(message_ids(b"<a@b>" * 5000)) == 100
    began = time.process_time()
    message_ids(b"<" * 100_000)
    assert time.process_time() - began < 1
