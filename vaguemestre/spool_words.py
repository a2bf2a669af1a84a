"""Why a letter waits, in sentences, and what to do about it. Pure.

What it is: `why`, the closed words for what a person does and for what reason, and the small ways of writing times.
What it is not: the plan (`routing`) or the acts themselves (`vaguemestre.spool_desk`). Every reply that a letter can
wait with has its advice; a test holds the list complete.
"""

from __future__ import annotations

import enum
from datetime import datetime, tzinfo

from core.plan import Action
from core.reply import TABLE
from mta.spool.item import RecipientState, SpoolItem, State
from routing.explain import explain_action

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
_UNITS = {"s": 1.0, "m": MINUTE, "h": HOUR, "d": DAY}


class Act(enum.Enum):
    """Closed list; the value stands in the audit trail."""

    RETRY = "retry"
    HOLD = "hold"
    RELEASE = "release"
    DELETE = "delete"
    SHOW = "show"
    WHY = "why"


class Motive(enum.Enum):
    """Why a person acted: closed, because free words in the trail would name people in clear."""

    AUTHOR_ASKED = "author-asked"
    PEER_ASKED = "peer-asked"
    WRONG_RECIPIENT = "wrong-recipient"
    SECURITY = "security"
    MAINTENANCE = "maintenance"
    NOT_SAID = "not-said"


def is_in_hand(recipient: RecipientState, now: float) -> bool:
    """Whether a process works on it now; when its lease has ended, nobody does."""
    return recipient.state is State.LEASED and (recipient.next_due or 0.0) > now


ADVICE = {
    "PEER_UNREACHABLE": (
        "See whether the other operator is announced to be down, and whether its host answers on port 25 from "
        "here (firewall, relay.routes, MX records); then `vaguemestre queue retry {id}`."
    ),
    "NO_ROUTE": (
        "Its MX records could not be found: check DNS from this machine, or name the host in relay.routes; then "
        "`vaguemestre queue retry {id}`."
    ),
    "PEER_NOT_VERIFIED": (
        "The host that answered is not who the trust list says: check relay.routes, then ask the other operator "
        "whether its certificate changed. Never send it another way."
    ),
    "PEER_WITHOUT_TLS": (
        "The host that answered offers no TLS: check relay.routes and tell the other operator. It is never sent "
        "in clear."
    ),
    "PEER_DEFERRED": "The other operator asked to wait: nothing to do unless it lasts; then ask it, with its answer.",
    "TRUST_LIST_STALE": (
        "The trust list is missing or too old: `vaguemestre directory list status`, then "
        "`vaguemestre directory list refresh`."
    ),
    "REVOCATION_UNKNOWN": (
        "The revocation lists are too old: fetch fresh CRLs into tls.crls; they are read within seconds."
    ),
    "MAILBOX_FULL": "The box is full: its owner must make room, or give it a larger quota.",
    "MAILBOX_BUSY": "The box was busy: it is tried again by itself.",
    "STORAGE_FULL": "The disk is full: make room; see `vaguemestre doctor`.",
    "LOCAL_ERROR": "Something unexpected happened here: look in the log for this spool id.",
    "HELD_FOR_OPERATOR": (
        "It is kept for you to look at: read the log for this spool id, then `vaguemestre queue release {id}` to "
        "try again, or `vaguemestre queue delete {id}` to withdraw it with a report to its author."
    ),
}
"""Reply name → what to do."""
_HELD = (
    "A person held it: `vaguemestre queue release {id}` sends it on its way, `vaguemestre queue delete {id}` "
    "withdraws it with a report to its author."
)
_OTHERWISE = "If it lasts: `vaguemestre trace {id}` tells every attempt."


def why(
    item: SpoolItem, recipient: RecipientState, plan: Action | None, *, now: float, zone: tzinfo | None = None
) -> list[str]:
    """Sentences about one recipient: how it stands, the last answer, the next attempt, what to do.

    `zone` is the reader's; None is the machine's.
    """
    lines = [_standing(item, recipient, now, zone)]
    if recipient.reply:
        lines.append(_last_reply(recipient))
    if recipient.answer is not None:
        answer = recipient.answer
        said = " ".join(part for part in (str(answer.code), answer.status, answer.text) if part)
        lines.append(f"The host {answer.host or 'that was reached'} answered: {said}")
    if plan is not None:
        lines.append(f"Planned now, it would be {explain_action(plan).english}.")
    if recipient.state is State.WAITING and recipient.next_due is not None:
        lines.append(
            f"Next attempt: {moment(recipient.next_due, zone)} ({distance(recipient.next_due, now)})."
        )
    lines.append(f"What to do: {_advice(item, recipient, now)}")
    return lines


def _standing(item: SpoolItem, recipient: RecipientState, now: float, zone: tzinfo | None) -> str:
    since = f"since {moment(item.accepted_at, zone)} ({age(now - item.accepted_at)})"
    tries = f"{recipient.attempts} attempt{'' if recipient.attempts == 1 else 's'}"
    match recipient.state:
        case State.WAITING if recipient.attempts:
            return f"It waits here {since}; {tries} did not succeed."
        case State.WAITING:
            return f"It is here {since} and waits for its first attempt."
        case State.LEASED if is_in_hand(recipient, now):
            return f"It is here {since} and is being delivered at this moment ({tries} before)."
        case State.LEASED:
            return (
                f"It is here {since}; the process that worked on it is gone, and it will be taken up again."
            )
        case State.HELD:
            return f"It is here {since} and held: nothing happens until somebody releases or withdraws it."
        case _:
            return f"It is done with: {recipient.state.value}, after {tries}."


def _last_reply(recipient: RecipientState) -> str:
    known = TABLE.get(recipient.reply)
    if known is None:
        return f"Its last attempt ended with {recipient.reply}."
    return f"Its last attempt ended with {known.name} ({known.code} {known.status}): {known.english}."


def _advice(item: SpoolItem, recipient: RecipientState, now: float) -> str:
    if recipient.state is State.HELD and recipient.reply != "HELD_FOR_OPERATOR":
        text = _HELD
    elif is_in_hand(recipient, now):
        text = "Look again in a few seconds."
    elif recipient.state is State.WAITING and not recipient.attempts:
        text = (
            "Nothing, if `vaguemestre serve` runs: it is taken up within seconds. See `vaguemestre doctor`."
        )
    else:
        text = ADVICE.get(recipient.reply, _OTHERWISE)
    return text.format(id=item.spool_id)


# --- times --------------------------------------------------------------------------------------------------
def moment(at: float, zone: tzinfo | None = None) -> str:
    """A time of day in the reader's zone, with its offset."""
    return datetime.fromtimestamp(at, zone).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %z")


def age(seconds: float) -> str:
    """A duration in its two largest units: `3 d 4 h`."""
    left = max(0, int(seconds))
    parts = []
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, left = divmod(left, length)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def distance(at: float, now: float) -> str:
    """How far a time is from now: `in 4 min`, `due for 3 s`."""
    return f"in {age(at - now)}" if at > now else f"due for {age(now - at)}"


def seconds_of(text: str) -> float:
    """`90s`, `30m`, `2h`, `3d` in seconds. Raises ValueError."""
    number, unit = text[:-1], text[-1:].lower()
    if unit not in _UNITS or not number.isdigit():
        raise ValueError("write a time as 90s, 30m, 2h or 3d")
    return int(number) * _UNITS[unit]
