"""The list in force answers at once, knows its age, and gives way only to a plausible successor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.address import Domain
from core.identity import DistinguishedName
from trust_directory.trusted_domains.parse import Entry, TrustList
from trust_directory.trusted_domains.reasons import Reason
from trust_directory.trusted_domains.snapshot import (
    Accepted,
    Freshness,
    Limits,
    Refused,
    TrustedDomains,
    accept_next,
)

LIMITS = Limits()


@pytest.fixture
def snapshot(publisher: Any) -> Callable[..., TrustedDomains]:
    def make(
        entries: list[Entry], *, generated_at: datetime | None = None, digest: str = "d"
    ) -> TrustedDomains:
        made = TrustList(generated_at=generated_at or publisher.now, entries=tuple(entries))
        name = DistinguishedName.parse("CN=alb,C=FR")
        return TrustedDomains.of(made, digest=digest, signer=name, confirmed_at=publisher.now)

    return make


class TestQuestions:
    def test_either_certificate_of_a_domain_is_good(
        self, snapshot: Any, cast: Any, rivage: Any, dunes: Any
    ) -> None:
        space = snapshot(cast)
        cabinet = Domain.parse("cabinet.mssante.example")
        assert space.names_of(cabinet) == {rivage, dunes}
        assert space.may_speak_for(rivage, cabinet)
        assert space.may_speak_for(dunes, cabinet)
        assert not space.may_speak_for(dunes, Domain.parse("ch-rivage.mssante.example"))
        assert space.domains_of(rivage) == {cabinet, Domain.parse("ch-rivage.mssante.example")}
        assert cabinet in space
        assert space.is_listed(rivage)
        assert not space.is_listed(DistinguishedName.parse("CN=nobody,C=FR"))
        assert len(space) == 4

    def test_both_forms_of_a_name(self, snapshot: Any, cast: Any, dunes: Any) -> None:
        space = snapshot(cast)
        for written in ("GOÉLAND.mssante.example", "xn--goland-cva.mssante.example"):
            assert space.may_speak_for(dunes, Domain.parse(written))

    def test_nothing_for_the_unlisted_nor_for_children(self, snapshot: Any, cast: Any, dunes: Any) -> None:
        space = snapshot(cast)
        nobody = DistinguishedName.parse("CN=nobody,C=FR")
        assert space.domains_of(nobody) == frozenset()
        for domain in ("mssante.example", "a.cabinet.mssante.example", "other.mssante.example"):
            assert space.names_of(Domain.parse(domain)) == frozenset()
            assert not space.may_speak_for(dunes, Domain.parse(domain))

    def test_it_does_not_change(self, snapshot: Any, cast: Any) -> None:
        with pytest.raises(TypeError):
            snapshot(cast)._names[Domain("x.example")] = frozenset()


class TestAge:
    @pytest.mark.parametrize(
        ("after", "expected"),
        [
            (timedelta(0), Freshness.FRESH),
            (timedelta(hours=24) - timedelta(seconds=1), Freshness.FRESH),
            (timedelta(hours=24), Freshness.AGEING),
            (timedelta(days=7) - timedelta(seconds=1), Freshness.AGEING),
            (timedelta(days=7), Freshness.STALE),
        ],
    )
    def test_since_the_source_confirmed_it(self, snapshot: Any, cast: Any, after: Any, expected: Any) -> None:
        space = snapshot(cast)
        assert space.freshness(space.confirmed_at + after, LIMITS) is expected

    def test_confirmation_renews_it_and_never_goes_back(self, snapshot: Any, cast: Any) -> None:
        space = snapshot(cast)
        later = space.confirmed_at + timedelta(days=8)
        assert space.confirmed(later).freshness(later, LIMITS) is Freshness.FRESH
        assert space.confirmed(later).confirmed(space.confirmed_at).confirmed_at == later
        assert space.confirmed(later).names_of(cast[0].domain) == space.names_of(cast[0].domain)

    def test_a_source_that_serves_an_old_list_for_ever(self, snapshot: Any, cast: Any) -> None:
        space = snapshot(cast)
        late = space.generated_at + LIMITS.too_old_after
        assert space.confirmed(late).freshness(late, LIMITS) is Freshness.STALE


class TestSuccession:
    def test_the_first_list(self, snapshot: Any, cast: Any, publisher: Any) -> None:
        assert accept_next(None, snapshot(cast), LIMITS, now=publisher.now) == Accepted(snapshot(cast), 4, 0)

    def test_empty(self, snapshot: Any, cast: Any, publisher: Any) -> None:
        for current in (None, snapshot(cast)):
            assert accept_next(current, snapshot([]), LIMITS, now=publisher.now) == Refused(Reason.EMPTY)

    def test_older(self, snapshot: Any, cast: Any, publisher: Any) -> None:
        old = snapshot(cast, generated_at=publisher.now - timedelta(seconds=1))
        result = accept_next(snapshot(cast), old, LIMITS, now=publisher.now)
        assert result == Refused(Reason.OLDER_THAN_CURRENT)
        assert isinstance(accept_next(snapshot(cast), snapshot(cast), LIMITS, now=publisher.now), Accepted)

    def test_from_the_future_beyond_the_skew(self, snapshot: Any, cast: Any, publisher: Any) -> None:
        edge = publisher.now + LIMITS.clock_skew
        assert isinstance(
            accept_next(None, snapshot(cast, generated_at=edge), LIMITS, now=publisher.now), Accepted
        )
        beyond = snapshot(cast, generated_at=edge + timedelta(seconds=1))
        assert accept_next(None, beyond, LIMITS, now=publisher.now) == Refused(Reason.FROM_THE_FUTURE)

    @pytest.mark.parametrize(("kept", "refused"), [(9, False), (7, False), (6, True), (5, True), (1, True)])
    def test_lost_a_third(self, snapshot: Any, entry: Any, publisher: Any, kept: int, refused: bool) -> None:
        nine = [entry(f"d{n}.mssante.example") for n in range(9)]
        result = accept_next(snapshot(nine), snapshot(nine[:kept]), LIMITS, now=publisher.now)
        if refused:
            assert result == Refused(Reason.LOST_TOO_MANY, 9 - kept, 9)
        else:
            assert isinstance(result, Accepted)
            assert (result.added, result.removed) == (0, 9 - kept)

    def test_an_operator_confirms_one_list_and_no_other(
        self, snapshot: Any, entry: Any, publisher: Any
    ) -> None:
        nine = [entry(f"d{n}.mssante.example") for n in range(9)]
        small = snapshot(nine[:3], digest="reviewed")

        def verdict(candidate: TrustedDomains, digest: str) -> Accepted | Refused:
            return accept_next(snapshot(nine), candidate, LIMITS, now=publisher.now, confirmed_digest=digest)

        assert isinstance(verdict(small, "reviewed"), Accepted)
        assert isinstance(verdict(replace(small, digest="other"), "reviewed"), Refused)
        assert isinstance(verdict(snapshot([], digest="reviewed"), "reviewed"), Refused)

    def test_names_exchanged_count_as_lost(
        self, snapshot: Any, entry: Any, publisher: Any, dunes: Any
    ) -> None:
        before = [entry(f"d{n}.mssante.example") for n in range(3)]
        after = [replace(one, name=dunes) for one in before]
        result = accept_next(snapshot(before), snapshot(after), LIMITS, now=publisher.now)
        assert result == Refused(Reason.LOST_TOO_MANY, 3, 3)

    @given(st.integers(1, 60), st.integers(0, 60))
    @settings(max_examples=60, deadline=None)
    def test_never_a_third_or_more_unseen(self, before: int, kept: int) -> None:
        name = DistinguishedName.parse("CN=a,C=FR")
        at = datetime.fromisoformat("2026-03-02T08:00:00+00:00")

        def made(count: int) -> TrustedDomains:
            entries = tuple(Entry(domain=Domain(f"d{n}.example"), name=name) for n in range(count))
            whole = TrustList(generated_at=at, entries=entries)
            return TrustedDomains.of(whole, digest="", signer=name, confirmed_at=at)

        result = accept_next(made(before), made(kept), LIMITS, now=at, confirmed_digest="x")
        assert isinstance(result, Accepted) == (kept > 0 and 3 * max(0, before - kept) < before)


def test_a_list_of_nine_thousand_entries_answers_for_each(publisher: Any, entry: Any) -> None:
    names = [
        f"CN=mss{n}.mssante.example,OU=1990000010,O=OPERATEUR {n},ST=Finistère (29),C=FR" for n in range(321)
    ]
    operators = [DistinguishedName.parse(name) for name in names]
    entries = [
        Entry(
            domain=Domain(f"d{n}.mssante.example"), name=operators[n % 321], description="Centre hospitalier"
        )
        for n in range(9000)
    ]
    octets = publisher.sign(entries)
    space = publisher.verifier.open_list(octets, at=publisher.now)
    assert len(space) == 9000
    for item in entries:
        assert space.may_speak_for(item.name, item.domain)
