"""Gathers the facts that `routing` decides on: asks the trust list, the boxes and the certificate verifier.

What it is: the only place of the mail edge that turns ports into facts, and the planner of room 5. What it is
not: a rule; rules are in `routing.rules`. Start at `FactFinder`.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.address import Mailbox
from core.clock import Clock
from core.envelope import NullReversePath, ReversePath
from core.errors import PermanentError, TemporaryError
from core.plan import RoutingPlan
from core.ports import Accounts, PeerVerifier, TrustDirectory
from mta.rooms import Listener, Session
from mta.spool.item import RecipientState, SpoolItem
from routing.facts import CertificateVerdict, Door, OriginatorFacts, RecipientFacts
from routing.planner import plan


def door_of(listener: Listener) -> Door:
    """The kind of door behind a listener."""
    if listener.is_submission:
        return Door.SUBMISSION
    return Door.RELAY if listener is Listener.RELAY else Door.INTERNAL


class FactFinder:
    """Facts about originators and recipients, fresh at each question."""

    def __init__(
        self, trust: TrustDirectory, accounts: Accounts, verifier: PeerVerifier, clock: Clock
    ) -> None:
        self.trust = trust
        self.accounts = accounts
        self._verifier = verifier
        self._clock = clock

    async def originator(self, session: Session, reverse_path: ReversePath) -> OriginatorFacts:
        """MAIL FROM: verifies the peer's certificate (cached by the verifier) and sets `session.peer`."""
        door = door_of(session.listener)
        if door is not Door.RELAY:
            account = session.account and await self.accounts.account(session.account.bal.bal_id)
            return OriginatorFacts(door=door, reverse_path=reverse_path, account=account)
        verdict = await self._certificate(session)
        name = session.peer.subject if session.peer else None
        return OriginatorFacts(
            door=door,
            reverse_path=reverse_path,
            certificate=verdict,
            list_is_stale=self.trust.state().is_stale,
            peer_is_listed=bool(name and self.trust.is_listed(name)),
            peer_may_speak_for_reverse_path=bool(
                name
                and not isinstance(reverse_path, NullReversePath)
                and self.trust.may_speak_for(name, reverse_path.domain)
            ),
        )

    async def _certificate(self, session: Session) -> CertificateVerdict:
        session.peer = None
        if session.peer_certificate is None:
            return CertificateVerdict.ABSENT
        try:
            session.peer = await self._verifier.verify(session.peer_certificate, self._clock.now())
        except TemporaryError:
            return CertificateVerdict.UNKNOWN
        except PermanentError as error:
            # The verifier's closed reasons have values in words; mta does not know their class (imports, §3).
            is_revoked = getattr(getattr(error, "reason", None), "value", "") == "revoked"
            return CertificateVerdict.REVOKED if is_revoked else CertificateVerdict.REFUSED
        return CertificateVerdict.VALID

    async def recipient(self, mailbox: Mailbox) -> RecipientFacts:
        """RCPT TO, and again when the letter is planned."""
        if self.accounts.serves(mailbox.domain):
            return RecipientFacts(mailbox=mailbox, is_own_domain=True, bal=await self.accounts.bal(mailbox))
        return RecipientFacts(
            mailbox=mailbox,
            is_own_domain=False,
            is_on_trusted_list=self.trust.is_on_trusted_list(mailbox.domain),
            list_is_stale=self.trust.state().is_stale,
        )

    async def plan(self, item: SpoolItem, recipients: Sequence[RecipientState]) -> RoutingPlan:
        """Room 5 for these recipients of a spooled letter, in their order."""
        paths = item.envelope.forward_paths
        return plan([await self.recipient(paths[state.index].mailbox) for state in recipients])
