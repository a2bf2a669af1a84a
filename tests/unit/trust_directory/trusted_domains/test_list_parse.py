"""What the field's lists look like is read; what nobody could mean is left out and reported."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.address import Domain
from core.errors import LocalProtocolError
from core.identity import DistinguishedName
from trust_directory.trusted_domains.parse import (
    NAMESPACE,
    Entry,
    EntryProblem,
    Problem,
    parse_date,
    parse_list,
)
from trust_directory.trusted_domains.reasons import Reason, TrustListRefused
from trust_directory.trusted_domains.write import render

DATE = "<DateDeGeneration>2026-03-02T08:00:00.000Z</DateDeGeneration>"
NOM = "<Nom>a.mssante.example</Nom>"
DN = "<DNCertificatOperateur>CN=a,OU=1990000010,O=A TEST,ST=Finistère (29),C=FR</DNCertificatOperateur>"


def document(*domains: str, date: str = DATE, root: str = "ListeBlancheMSSante") -> bytes:
    inside = "".join(f"<Domaine>{domain}</Domaine>" for domain in domains)
    return f'<{root} xmlns="{NAMESPACE}">{date}<ListeDomaines>{inside}</ListeDomaines></{root}>'.encode()


def only(octets: bytes) -> Entry:
    (entry,) = parse_list(octets).entries
    return entry


class TestEntries:
    def test_every_field(self) -> None:
        entry = only(
            document(
                f"{NOM}<Description>Un hôpital</Description>{DN}<ResponsableContact>R</ResponsableContact>"
                "<SupportContact>un\n  contact</SupportContact><DateMAJ>2026-02-01 10:11:12</DateMAJ>"
            )
        )
        assert entry.domain == Domain("a.mssante.example")
        assert entry.name == DistinguishedName.parse("C=FR,ST=FINISTÈRE (29),O=a test,OU=1990000010,CN=A")
        assert (entry.description, entry.responsible, entry.support) == ("Un hôpital", "R", "un contact")
        assert entry.updated_at == datetime(2026, 2, 1, 10, 11, 12, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("written", "ascii_form"),
        [
            ("CHU-X.Mssante.Example", "chu-x.mssante.example"),
            (" a.mssante.example\n", "a.mssante.example"),
            ("a.mssante.example.", "a.mssante.example"),
            ("goéland.mssante.example", "xn--goland-cva.mssante.example"),
            ("GOÉLAND.mssante.example", "xn--goland-cva.mssante.example"),
            ("goe\u0301land.mssante.example", "xn--goland-cva.mssante.example"),
            ("XN--goland-cva.mssante.example", "xn--goland-cva.mssante.example"),
        ],
    )
    def test_domains_in_one_form(self, written: str, ascii_form: str) -> None:
        assert only(document(f"<Nom>{written}</Nom>{DN}")).domain.ascii == ascii_form

    def test_the_a_label_is_the_one_of_idna(self) -> None:
        import idna

        domain = only(document(f"<Nom>hôpital-été.mssante.example</Nom>{DN}")).domain
        assert domain.ascii == idna.encode("hôpital-été.mssante.example").decode("ascii")

    @pytest.mark.parametrize(
        ("fields", "problem"),
        [
            (NOM, Problem.MISSING_FIELD),
            (DN, Problem.MISSING_FIELD),
            (f"<Nom> </Nom>{DN}", Problem.MISSING_FIELD),
            (f"<Nom><b>a.mssante.example</b></Nom>{DN}", Problem.MISSING_FIELD),
            (f"{NOM}{NOM}{DN}", Problem.REPEATED_FIELD),
            (f"<Nom>{'a' * 256}.example</Nom>{DN}", Problem.FIELD_TOO_LONG),
            (f"{NOM}<DNCertificatOperateur>CN={'a' * 256}</DNCertificatOperateur>", Problem.FIELD_TOO_LONG),
            (f"<Nom>*.mssante.example</Nom>{DN}", Problem.BAD_DOMAIN),
            (f"<Nom>a@mssante.example</Nom>{DN}", Problem.BAD_DOMAIN),
            (f"<Nom>a b.mssante.example</Nom>{DN}", Problem.BAD_DOMAIN),
            (f"{NOM}<DNCertificatOperateur>anybody</DNCertificatOperateur>", Problem.BAD_NAME),
        ],
    )
    def test_an_entry_that_grants_nothing(self, fields: str, problem: Problem) -> None:
        found = parse_list(document(fields, f"<Nom>b.mssante.example</Nom>{DN}"))
        assert found.problems == (EntryProblem(1, problem),)
        assert [entry.domain.ascii for entry in found.entries] == ["b.mssante.example"]

    def test_unknown_fields_comments_and_instructions_are_passed_over(self) -> None:
        assert only(document(f"<!-- c --><?pi?>{NOM}{DN}<Nouveau>x</Nouveau>"))

    def test_contacts_do_not_print(self, entry: Any) -> None:
        assert "Louise" not in repr(entry("a.mssante.example", support="Louise"))

    def test_long_notes_are_cut(self) -> None:
        assert len(only(document(f"{NOM}{DN}<Description>{'é' * 300}</Description>")).description) == 255


class TestWholeList:
    @pytest.mark.parametrize(
        ("octets", "reason"),
        [
            (b"", Reason.UNREADABLE),
            (document(f"{NOM}{DN}")[:-10], Reason.UNREADABLE),
            (b"<!DOCTYPE a>" + document(), Reason.UNREADABLE),
            (document(root="Autre"), Reason.WRONG_FORMAT),
            (document().replace(NAMESPACE.encode(), b"urn:other"), Reason.WRONG_FORMAT),
            (document(date=""), Reason.WRONG_FORMAT),
            (document(date=DATE + DATE), Reason.WRONG_FORMAT),
            (document(date="<DateDeGeneration>hier</DateDeGeneration>"), Reason.WRONG_FORMAT),
            (document().replace(b"ListeDomaines", b"Liste"), Reason.WRONG_FORMAT),
        ],
    )
    def test_refused(self, octets: bytes, reason: Reason) -> None:
        with pytest.raises(TrustListRefused) as caught:
            parse_list(octets)
        assert caught.value.reason is reason

    def test_too_large(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("trust_directory.trusted_domains.parse.MAX_ENTRIES", 1)
        with pytest.raises(TrustListRefused) as caught:
            parse_list(document(NOM + DN, NOM + DN))
        assert caught.value.reason is Reason.TOO_LARGE
        monkeypatch.setattr("trust_directory.trusted_domains.parse.MAX_LIST", 10)
        with pytest.raises(TrustListRefused):
            parse_list(document())

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("2026-03-02T08:00:00.000Z", datetime(2026, 3, 2, 8, tzinfo=UTC)),
            ("2026-03-02T09:00:00+01:00", datetime(2026, 3, 2, 8, tzinfo=UTC)),
            ("2026-03-02 08:00:00", datetime(2026, 3, 2, 8, tzinfo=UTC)),
            (" 2026-03-02Z\n", datetime(2026, 3, 2, tzinfo=UTC)),
            ("0001-01-01T00:00:00+14:00", None),
            ("2026-13-02", None),
            ("", None),
        ],
    )
    def test_dates(self, text: str, expected: datetime | None) -> None:
        assert parse_date(text) == expected

    @given(st.binary(max_size=300))
    @settings(max_examples=100, deadline=None)
    def test_no_foreign_exception_leaves(self, octets: bytes) -> None:
        with pytest.raises(TrustListRefused):
            parse_list(octets)


_LABEL = st.from_regex(r"[a-z0-9éèàç]([a-z0-9é-]{0,10}[a-z0-9é])?", fullmatch=True)
_TEXT = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=40)


class TestWriting:
    @given(st.lists(st.tuples(_LABEL, _TEXT, _TEXT), min_size=1, max_size=5))
    @settings(max_examples=50, deadline=None)
    def test_what_is_written_is_read_again(self, rows: list[tuple[str, str, str]]) -> None:
        entries = []
        for label, organisation, note in rows:
            if not organisation.strip():
                continue
            name = DistinguishedName.of([("CN", "mss"), ("O", organisation.strip()), ("C", "FR")])
            domain = Domain.parse(f"{label}.mssante.example")
            entries.append(Entry(domain=domain, name=name, description=" ".join(note.split())))
        again = parse_list(render(entries, generated_at=datetime(2026, 3, 2, 8, tzinfo=UTC)))
        assert again.problems == ()
        assert [(e.domain, e.name, e.description) for e in again.entries] == [
            (e.domain, e.name, e.description) for e in entries
        ]

    @pytest.mark.parametrize("description", ["x" * 256, "nul\x00"])
    def test_what_no_list_can_hold(self, entry: Any, description: str) -> None:
        with pytest.raises(LocalProtocolError):
            render([entry("a.mssante.example", description=description)], generated_at=datetime.now(UTC))

    def test_dates_are_written_as_the_field_does(self, entry: Any) -> None:
        at = datetime(2026, 3, 2, 8, tzinfo=UTC)
        octets = render([entry("a.mssante.example", updated_at=at)], generated_at=at)
        assert b"<DateDeGeneration>2026-03-02T08:00:00.000Z<" in octets
        assert b"<DateMAJ>2026-03-02 08:00:00<" in octets


def test_every_reason_speaks_both_languages() -> None:
    for reason in Reason:
        assert reason.english.endswith(".")
        assert reason.french.endswith(".")
        assert reason.english != reason.french
