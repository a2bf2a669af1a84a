"""The annuaire des sceaux: what is written is read; what has two readings is left out; who may seal for whom."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certs.certificate import fingerprint_of
from certs.profiles import ProfileName
from certs.seals import Entitlement, Signer, certificate_facts
from core.address import Domain, Mailbox
from core.audit import AuditKind
from core.errors import ConfigurationError, LocalProtocolError, PermanentError
from core.identity import DistinguishedName
from core.plan import KeySource, KeyState, SealKind
from core.ports import TrustState
from core.testing.audit import MemoryAuditTrail
from trust_directory.kept_list import KeptList
from trust_directory.refresh import ListRefresher
from trust_directory.seals.directory import SEALS_LIST, SealsDirectory
from trust_directory.seals.parse import MAX_KEY, EntryProblem, Problem, parse_seals
from trust_directory.seals.snapshot import KnownSeals
from trust_directory.seals.verify import SealsVerifier
from trust_directory.seals.write import render
from trust_directory.signed_list import Accepted, Limits, Refused, accept_next
from trust_directory.sources import Fetched
from trust_directory.trusted_domains.reasons import Reason, TrustListRefused

RIVAGE, DUNES = "ch-rivage.mssante.example", "cabinet.mssante.example"
KEY = b"\x99\x01an OpenPGP key"
EMPREINTE = "0123456789ABCDEF0123456789ABCDEF01234567"


def written(space: Any, *entries: Any) -> str:
    return render(entries, generated_at=space.clock.now()).decode()


def problem_of(text: str) -> Problem:
    found = parse_seals(text.encode())
    assert not found.entries
    (only,) = found.problems
    return only.problem


class TestReading:
    def test_what_is_written_is_read(self, space: Any, seal: Any) -> None:
        entries = (
            seal(RIVAGE, subject_readable=True),
            seal(DUNES, capability=SealKind.NONE, signing=(), encryption=(), algorithms=frozenset()),
            seal(
                "goéland.mssante.example",
                capability=SealKind.OPENPGP,
                openpgp=(KEY,),
                openpgp_fingerprints=(EMPREINTE,),
            ),
        )
        found = parse_seals(written(space, *entries).encode())
        assert found.entries == entries
        assert not found.problems
        assert found.generated_at == space.clock.now()

    @pytest.mark.parametrize(
        ("pattern", "replacement", "problem"),
        [
            ("<Domaine>.*?</Domaine>", "", Problem.MISSING_FIELD),
            ("<ValableAu>.*?</ValableAu>", "<ValableAu/>", Problem.MISSING_FIELD),
            ("(<Domaine>.*?</Domaine>)", r"\1\1", Problem.REPEATED_FIELD),
            ("<ObjetLisible>", "<Restriction>x</Restriction><ObjetLisible>", Problem.UNKNOWN_FIELD),
            ("<Domaine>", "<Domaine>" + "a" * 256, Problem.FIELD_TOO_LONG),
            ("<Domaine>", "<Domaine>*.", Problem.BAD_DOMAIN),
            (">smime<", ">SMIME<", Problem.BAD_CAPABILITY),
            ("<ValableDu>2026", "<ValableDu>2036", Problem.BAD_DATES),
            ("<ValableDu>2026", "<ValableDu>hier", Problem.BAD_DATES),
            (">false<", ">no<", Problem.BAD_FLAG),
            ('usage="CONF"', 'usage="conf"', Problem.BAD_KEY),
            ('usage="CONF">', 'usage="CONF">é', Problem.BAD_KEY),
            ('(usage="CONF">)[^<]*', r"\1AAAA", Problem.BAD_KEY),
            ('(usage="CONF">)[^<]*', r"\1", Problem.BAD_KEY),
            ('(usage="CONF">)[^<]*', r"\1" + "A" * (2 * MAX_KEY), Problem.BAD_KEY),
            ('(<Certificat usage="CONF">[^<]*</Certificat>)', r"\1" * 5, Problem.TOO_MANY_KEYS),
            ('<Certificat usage="CONF">[^<]*</Certificat>', "", Problem.KEYS_DO_NOT_FIT),
            (">smime<", ">openpgp<", Problem.KEYS_DO_NOT_FIT),
            ("<ObjetLisible>", '<CleOpenPGP empreinte="12">AAAA</CleOpenPGP><ObjetLisible>', Problem.BAD_KEY),
        ],
    )
    def test_an_entry_with_no_reading_grants_nothing(
        self, space: Any, seal: Any, pattern: str, replacement: str, problem: Problem
    ) -> None:
        text = re.sub(pattern, replacement, written(space, seal(RIVAGE)), count=1)
        assert problem_of(text) is problem

    def test_two_entries_of_one_domain_are_none(self, space: Any, seal: Any) -> None:
        first = written(space, seal(RIVAGE), seal(DUNES))
        found = parse_seals(first.replace(DUNES, RIVAGE.upper()).encode())
        assert found.entries == ()
        assert found.problems == tuple(EntryProblem(at, Problem.REPEATED_DOMAIN) for at in (1, 2))

    def test_unknown_algorithms_are_passed_over(self, space: Any, seal: Any) -> None:
        text = written(space, seal(RIVAGE)).replace("aes256-gcm", "rot13 aes256-gcm")
        (entry,) = parse_seals(text.encode()).entries
        assert entry == seal(RIVAGE)

    @pytest.mark.parametrize(
        ("old", "new", "reason"),
        [
            ("AnnuaireDesSceaux", "ListeBlancheMSSante", Reason.WRONG_FORMAT),
            ("DateDeGeneration>2026", "DateDeGeneration>hier", Reason.WRONG_FORMAT),
            ("ListeSceaux", "Liste", Reason.WRONG_FORMAT),
            ("</AnnuaireDesSceaux>", "", Reason.UNREADABLE),
        ],
    )
    def test_whole_lists_refused(self, space: Any, seal: Any, old: str, new: str, reason: Reason) -> None:
        with pytest.raises(TrustListRefused) as caught:
            parse_seals(written(space, seal(RIVAGE)).replace(old, new).encode())
        assert caught.value.reason is reason

    def test_too_large(self, space: Any, seal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        octets = written(space, seal(RIVAGE)).encode()
        monkeypatch.setattr("trust_directory.seals.parse.MAX_ENTRIES", 0)
        with pytest.raises(TrustListRefused, match="too-large"):
            parse_seals(octets)
        monkeypatch.setattr("trust_directory.seals.parse.MAX_LIST", 10)
        with pytest.raises(TrustListRefused, match="too-large"):
            parse_seals(octets)

    @given(st.binary(max_size=200))
    @settings(max_examples=50, deadline=None)
    def test_no_foreign_exception_leaves(self, octets: bytes) -> None:
        with pytest.raises(TrustListRefused):
            parse_seals(octets)

    def test_what_no_reader_takes_is_not_written(self, space: Any, seal: Any) -> None:
        big = seal(
            DUNES,
            capability=SealKind.OPENPGP,
            openpgp=(b"x" * (MAX_KEY + 1),),
            openpgp_fingerprints=(EMPREINTE,),
        )
        many = seal(DUNES, encryption=seal(DUNES).encryption * 5)
        for entries in ((seal(RIVAGE), seal(RIVAGE)), (big,), (many,)):
            with pytest.raises(LocalProtocolError):
                written(space, *entries)


class TestTrust:
    def test_a_signed_list_is_opened(self, space: Any, seal: Any) -> None:
        known = space.verifier.open_list(space.sign(seal(RIVAGE)), at=space.clock.now())
        assert known.entry_of(Domain.parse(RIVAGE)) == seal(RIVAGE)
        assert known.entry_of(Domain.parse("un." + RIVAGE)) is None
        assert str(known.signer).startswith("CN=ads.mssante.example")

    def test_another_member_of_the_space_cannot_sign_it(self, space: Any, seal: Any) -> None:
        other = space.issue(ProfileName.LIST_SIGNER, "CN=autre,OU=1990000028,O=AUTRE TEST,C=FR")
        with pytest.raises(TrustListRefused) as caught:
            space.verifier.open_list(space.sign(seal(RIVAGE), signer=other), at=space.clock.now())
        assert caught.value.reason is Reason.SIGNER_NOT_PINNED

    def test_a_certificate_put_in_the_place_of_another_is_found(self, space: Any, seal: Any) -> None:
        signed = space.sign(seal(RIVAGE))
        conf = base64.b64encode(seal(RIVAGE).encryption[0].public_bytes(_DER))
        sign = base64.b64encode(seal(RIVAGE).signing[0].public_bytes(_DER))
        assert conf in signed
        for swapped in (signed.replace(conf, sign), signed.replace(b">smime<", b">none<")):
            with pytest.raises(TrustListRefused) as caught:
                space.verifier.open_list(swapped, at=space.clock.now())
            assert caught.value.reason is Reason.DAMAGED

    def test_a_liste_blanche_is_no_annuaire_des_sceaux(self, space: Any) -> None:
        from trust_directory.trusted_domains.write import publish

        octets = publish((), generated_at=space.clock.now(), signer=space.signer.identity())
        with pytest.raises(TrustListRefused) as caught:
            space.verifier.open_list(octets, at=space.clock.now())
        assert caught.value.reason is Reason.WRONG_FORMAT

    def test_a_signer_must_be_pinned(self, space: Any) -> None:
        with pytest.raises(ConfigurationError):
            SealsVerifier(space.chains, frozenset())


class TestSuccession:
    def known(self, space: Any, *entries: Any, minutes: int = 0) -> Any:
        at = space.clock.now() - timedelta(minutes=60 - minutes)
        return space.verifier.open_list(space.sign(*entries, at=at), at=space.clock.now())

    def judge(self, space: Any, current: Any, candidate: Any, **more: Any) -> Any:
        return accept_next(current, candidate, Limits(), now=space.clock.now(), **more)

    def test_a_newer_list_is_accepted_an_older_one_is_not(self, space: Any, seal: Any) -> None:
        old, new = self.known(space, seal(RIVAGE)), self.known(space, seal(RIVAGE), seal(DUNES), minutes=1)
        assert self.judge(space, old, new) == Accepted(new, 3, 0)
        assert self.judge(space, new, old) == Refused(Reason.OLDER_THAN_CURRENT)

    def test_a_list_that_strips_seals_waits_for_an_operator(self, space: Any, seal: Any) -> None:
        off = seal(RIVAGE, capability=SealKind.NONE, signing=(), encryption=())
        before, after = (
            self.known(space, seal(RIVAGE), seal(DUNES)),
            self.known(space, off, seal(DUNES), minutes=1),
        )
        assert self.judge(space, before, after) == Refused(Reason.LOST_TOO_MANY, 3, 6)
        confirmed = self.judge(space, before, after, confirmed_digest=after.digest)
        assert confirmed == Accepted(after, 0, 3)

    def test_one_rolled_certificate_among_many_is_no_loss_to_wait_for(self, space: Any, seal: Any) -> None:
        rolled = seal(RIVAGE, encryption=(space.certificate(ProfileName.CONF, "conf de demain"),))
        before = self.known(space, seal(RIVAGE), seal(DUNES))
        assert self.judge(space, before, self.known(space, rolled, seal(DUNES), minutes=1)).removed == 1

    def test_a_list_of_nothing_but_refusals_to_seal_can_be_followed(self, space: Any, seal: Any) -> None:
        none = seal(RIVAGE, capability=SealKind.NONE, signing=(), encryption=())
        first, second = self.known(space, none), self.known(space, none, minutes=1)
        assert self.judge(space, first, second) == Accepted(second, 0, 0)
        assert Limits().lost_share == Fraction(1, 3)

    def test_an_empty_list_is_refused(self, space: Any) -> None:
        assert self.judge(space, None, self.known(space)) == Refused(Reason.EMPTY)


class TestCertificatesForThePlan:
    def states(self, space: Any, seal: Any, at: Any = None) -> list[KeyState]:
        found = certificate_facts(seal, space.chains, at=at or space.clock.now())
        assert all(fact.kind is SealKind.SMIME and fact.source is KeySource.SEALS_LIST for fact in found)
        return [fact.state for fact in found]

    def test_each_has_its_verdict(self, space: Any, seal: Any) -> None:
        entry = seal(RIVAGE)
        assert self.states(space, entry) == [KeyState.VALID]
        assert self.states(space, entry, entry.encryption[0].not_valid_after_utc) == [KeyState.EXPIRED]
        early = entry.encryption[0].not_valid_before_utc - timedelta(seconds=1)
        assert self.states(space, entry, early) == [KeyState.EXPIRED]

    def test_a_certificate_of_another_use_or_of_nobody(self, space: Any, seal: Any) -> None:
        entry = seal(RIVAGE, encryption=seal(RIVAGE).signing)
        assert self.states(space, entry) == [KeyState.REFUSED]

    def test_revoked_and_unknown(self, space: Any, seal: Any) -> None:
        from certs.anchors import TrustAnchors
        from certs.chain import ChainVerifier
        from certs.revocation import RevocationLists

        issued = space.issue(ProfileName.CONF, "CN=revoque,OU=1990000010,O=TEST,C=FR")
        entry = seal(RIVAGE, encryption=(issued.identity().certificate,))
        anchors = TrustAnchors.of(
            [space.authority.root.certificate, space.authority.organisations.certificate]
        )
        lists = RevocationLists(anchors)
        chains = ChainVerifier(anchors=anchors, revocation=lists)
        (unknown,) = certificate_facts(entry, chains, at=space.clock.now())
        assert unknown.state is KeyState.UNKNOWN
        space.authority.revoke(entry.encryption[0].serial_number)
        for crl in space.authority.crls():
            lists.add(crl, at=space.clock.now())
        (revoked,) = certificate_facts(entry, chains, at=space.clock.now())
        assert revoked.state is KeyState.REVOKED


class MemorySource:
    """What the source serves now."""

    def __init__(self, octets: bytes) -> None:
        self.octets = octets

    async def fetch(self, mark: str) -> Fetched | None:
        return Fetched(self.octets, "")


async def test_it_is_refreshed_and_kept_as_the_liste_blanche_is(
    space: Any, seal: Any, tmp_path: Path
) -> None:
    audit, directory = MemoryAuditTrail(), SealsDirectory(space.clock)
    source = MemorySource(space.sign(seal(RIVAGE)))
    parts: dict[str, Any] = {"audit": audit, "clock": space.clock, "list_name": SEALS_LIST}

    def refresher(holder: SealsDirectory) -> ListRefresher[KnownSeals]:
        return ListRefresher(holder, source, space.verifier, kept=KeptList(tmp_path / "sceaux.xml"), **parts)

    assert await refresher(directory).look() == "changed"
    assert directory.entry_of(Domain.parse(RIVAGE)) is not None
    (event,) = audit.of(AuditKind.TRUST_LIST_CHANGED)
    assert (event.facts["list"], event.facts["added"]) == ("seals-list", "3")
    source.octets = space.sign(seal(RIVAGE), at=space.clock.now() - timedelta(days=1))
    after_restart = SealsDirectory(space.clock)
    assert await refresher(after_restart).look() == "older-than-current"
    assert after_restart.entry_of(Domain.parse(RIVAGE)) == seal(RIVAGE)


class Trust:
    """A liste blanche that gives Rivage two domains."""

    def __init__(self, stale: bool = False) -> None:
        name = DistinguishedName.parse("CN=mss.ch-rivage.mssante.example,O=CH DU RIVAGE TEST,C=FR")
        other = DistinguishedName.parse("CN=mss.cabinet.mssante.example,O=CABINET TEST,C=FR")
        self.names = {RIVAGE: name, "labo." + RIVAGE: name, DUNES: other}
        self.stale = stale

    def names_of(self, domain: Domain) -> frozenset[DistinguishedName]:
        return frozenset({self.names[domain.ascii]}) if domain.ascii in self.names else frozenset()

    def state(self) -> TrustState:
        return TrustState(is_stale=self.stale, generated_at=None, entries=len(self.names))


class TestEntitlement:
    def judge(self, space: Any, seal: Any, address: str, trust: Any = None, **more: Any) -> Entitlement:
        directory = SealsDirectory(space.clock)
        entries = more.pop("entries", (seal(RIVAGE),))
        directory.put_in_force(space.verifier.open_list(space.sign(*entries), at=space.clock.now()))
        signer = more.pop("signer", Signer.of(seal(RIVAGE).signing[0]))
        return directory.entitlement(signer, Mailbox.parse(address), trust or Trust())

    @pytest.mark.parametrize(
        ("address", "right"),
        [
            ("anne.test-rivage@" + RIVAGE, Entitlement.ORGANISATION),
            ("service@LABO." + RIVAGE, Entitlement.ORGANISATION),
            ("paul.test-dune@" + DUNES, Entitlement.NONE),
            ("a@autre.example", Entitlement.NONE),
        ],
    )
    def test_an_organisation_for_its_domains(
        self, space: Any, seal: Any, address: str, right: Entitlement
    ) -> None:
        assert self.judge(space, seal, address) is right

    def test_a_person_for_the_address_in_the_certificate(self, space: Any, seal: Any) -> None:
        signer = Signer(fingerprint="00", emails=("not an address", "Paul.Test-Dune@" + DUNES))
        assert self.judge(space, seal, "paul.test-dune@" + DUNES, signer=signer) is Entitlement.PERSON
        assert self.judge(space, seal, "paule.test-dune@" + DUNES, signer=signer) is Entitlement.NONE

    def test_the_encryption_certificate_signs_for_nobody(self, space: Any, seal: Any) -> None:
        signer = Signer.of(seal(RIVAGE).encryption[0])
        assert self.judge(space, seal, "a@" + RIVAGE, signer=signer) is Entitlement.NONE

    def test_a_key_listed_for_openpgp(self, space: Any, seal: Any) -> None:
        entry = seal(RIVAGE, capability=SealKind.OPENPGP, openpgp=(KEY,), openpgp_fingerprints=(EMPREINTE,))
        found = self.judge(space, seal, "a@" + RIVAGE, signer=Signer(fingerprint=EMPREINTE), entries=(entry,))
        assert found is Entitlement.ORGANISATION

    def test_stale_lists_and_entries_out_of_their_dates_entitle_no_organisation(
        self, space: Any, seal: Any
    ) -> None:
        address = "a@" + RIVAGE
        assert self.judge(space, seal, address, Trust(stale=True)) is Entitlement.NONE
        past = replace(seal(RIVAGE), not_after=space.clock.now())
        assert self.judge(space, seal, address, entries=(past,)) is Entitlement.NONE
        directory = SealsDirectory(space.clock)
        signer = Signer.of(seal(RIVAGE).signing[0])
        assert directory.entitlement(signer, Mailbox.parse(address), Trust()) is Entitlement.NONE  # type: ignore[arg-type]
        assert directory.entry_of(Domain.parse(RIVAGE)) is None
        assert directory.is_stale()

    def test_fingerprints_are_those_of_the_certificates(self, seal: Any) -> None:
        assert seal(RIVAGE).signer_fingerprints == {fingerprint_of(seal(RIVAGE).signing[0])}
        assert issubclass(TrustListRefused, PermanentError)


def _encoding() -> Any:
    from cryptography.hazmat.primitives.serialization import Encoding

    return Encoding.DER


_DER = _encoding()
