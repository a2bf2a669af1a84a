"""Refusals of strangers, counted: a stranger must not be able to fill our disk by being refused.

What it is: `RefusalLedger`: for peers without account and without a listed certificate, one event for each
(network, listener, reply, reason) and minute, with a count and no person's name. What it is not: the trail of those
whom we know; their refusals are written one by one by the rooms. What is counted and not yet told is lost in a
crash: a minute of refusals, nobody's letter. Start at `note`, then `tell`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from core.audit import AuditEvent, AuditKind
from core.clock import Clock
from core.errors import GatewayError
from core.ports import AuditTrail
from mta.smtp.limits import network_of

PERIOD = 60.0  # ours, seconds: from the first refusal of a kind to its event
MAX_PLACES = 100  # ours: networks × reasons told apart at once; more are told together, as from ELSEWHERE
MAX_LOGINS = 4  # ours: pseudonyms of logins in one event
ELSEWHERE = "elsewhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """One refusal of a stranger. `facts` are those of its first one that are told; `login` becomes a pseudonym."""

    kind: AuditKind
    network: str
    listener: str
    reply: str
    reason: str = ""
    login: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)


_Place = tuple[AuditKind, str, str, str, str]


@dataclass(slots=True)
class _Tally:
    """What came from one place. Times in seconds since 1970; `due` on the other clock."""

    due: float
    first: float
    last: float
    facts: Mapping[str, str]
    count: int = 0
    logins: list[str] = field(default_factory=list)


class RefusalLedger:
    """See the module. One for each process; `pseudonym` is the vault's."""

    def __init__(self, clock: Clock, pseudonym: Callable[[str], str]) -> None:
        self._clock = clock
        self._pseudonym = pseudonym
        self._tallies: dict[_Place, _Tally] = {}

    def note(self, refused: Refused) -> None:
        """Count it. Never waits, and takes no more memory than `MAX_PLACES` allows."""
        tally = self._tally(refused)
        tally.count += 1
        tally.last = self._clock.now().timestamp()
        if refused.login and len(tally.logins) < MAX_LOGINS:
            name = self._pseudonym(refused.login.lower())
            if name not in tally.logins:
                tally.logins.append(name)

    def _tally(self, refused: Refused) -> _Tally:
        what = (refused.listener, refused.reply, refused.reason)
        place = (refused.kind, network_of(refused.network), *what)
        if place not in self._tallies and len(self._tallies) >= MAX_PLACES:
            place = (refused.kind, ELSEWHERE, *what)
        tally = self._tallies.get(place)
        if tally is None:
            now = self._clock.now().timestamp()
            facts = {} if place[1] == ELSEWHERE else dict(refused.facts)
            tally = self._tallies[place] = _Tally(self._clock.monotonic() + PERIOD, now, now, facts)
        return tally

    async def tell(self, audit: AuditTrail, *, everything: bool = False) -> None:
        """Write what is a minute old, or everything (the process ends). Raises GatewayError; it is kept then."""
        now = self._clock.monotonic()
        for place in [place for place, tally in self._tallies.items() if everything or tally.due <= now]:
            tally = self._tallies.pop(place)
            try:
                await audit.append(_event(place, tally))
            except GatewayError:
                self._put_back(place, tally)
                raise

    def _put_back(self, place: _Place, tally: _Tally) -> None:
        newer = self._tallies.get(place)
        if newer is not None:  # refused again meanwhile
            tally.count += newer.count
            tally.last = newer.last
            tally.logins = list(dict.fromkeys([*tally.logins, *newer.logins]))[:MAX_LOGINS]
        self._tallies[place] = tally


def _event(place: _Place, tally: _Tally) -> AuditEvent:
    kind, network, listener, reply, reason = place
    facts = {
        "listener": listener,
        "network": network,
        "reply": reply,
        "count": str(tally.count),
        "first": f"{tally.first:.0f}",
        "last": f"{tally.last:.0f}",
        **tally.facts,
    }
    if reason:
        facts["reason"] = reason
    if tally.logins:
        facts["logins"] = ",".join(tally.logins)
    return AuditEvent(kind=kind, facts=facts)
