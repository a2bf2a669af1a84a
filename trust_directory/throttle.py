"""How often may somebody try a password? A pure counter of failures, by login, by network and by both.

What it is: `Throttle`, values and arithmetic over a time that the caller gives (`Clock.monotonic`, so that a
jump of the calendar changes nothing). What it is not: a reader of passwords or a firewall; names come in as
keyed pseudonyms. Start at `Throttle.admit`. Called by `accounts`.

Three counters watch every attempt. The pair (login, network) stops one guesser; the network stops spraying
over many logins; the login stops a guesser who owns many networks. A pair that has once shown the right
password is *known*: the two shared counters never shut it out, so an attacker cannot lock a doctor's own
telephone out by failing elsewhere. A login that does not exist counts as one that does.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass, field

from core.errors import ConfigurationError

PAIR_FAILURES = 10  # ours: ten evaluated guesses in a window, from one network, for one login
SHARED_FAILURES = 100  # ours: a ward behind one address mistypes; a guesser tries thousands
WINDOW = 900.0  # seconds; ours, 15 minutes
FIRST_LOCK = 900.0  # seconds; never shorter than the window, or more than ten guesses would fit in one
LONGEST_LOCK = 4 * 3600.0  # seconds; ours: long enough to be useless to guess, short enough for a shift
MAX_COUNTERS = 100_000  # ours: about 40 MB at worst
MAX_KNOWN_PAIRS = 100_000  # ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The numbers of a throttle; seconds where they are times."""

    pair_failures: int = PAIR_FAILURES
    shared_failures: int = SHARED_FAILURES
    window: float = WINDOW
    first_lock: float = FIRST_LOCK
    longest_lock: float = LONGEST_LOCK
    counters: int = MAX_COUNTERS
    known_pairs: int = MAX_KNOWN_PAIRS

    def __post_init__(self) -> None:
        if not self.window <= self.first_lock <= self.longest_lock:
            raise ConfigurationError(
                "a lock lasts at least as long as the window in which failures are counted"
            )


@dataclass(slots=True)
class _Counter:
    attempts: list[float] = field(default_factory=list)
    locked_until: float = 0.0
    level: int = 0


def network_of(peer: str) -> str:
    """The network that counts as one guesser: an IPv4 address, or the /64 of an IPv6 address.

    A text that is no address (a Unix socket) is a network of its own.
    """
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        # RFC 6177 §2: an end site has at least a /64, so a single host owns 2**64 addresses.
        return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
    return str(address)


class Throttle:
    """Counts attempts when they are admitted, and takes the count back when they succeed.

    Counting first means that a thousand parallel connections get ten evaluations, not a thousand.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._counters: OrderedDict[tuple[str, str], _Counter] = OrderedDict()
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def admit(self, subject: str, network: str, now: float, *, is_guessable: bool = True) -> float:
        """0.0 when the attempt may be evaluated (it is counted as failed until told otherwise).

        Else the seconds to wait; such an attempt is not counted and must not be evaluated. An attempt that is
        not guessable (it has the form of a generated password, 138 bits) is not watched by login alone: failures
        elsewhere never shut out a device that has its own password. Say the same when it ends.
        """
        watching = self._watching(subject, network, is_guessable)
        waits = [self._wait(key, now) for key, _ in watching]
        longest = max(waits)
        if longest > 0:
            return longest
        for key, limit in watching:
            self._count(key, limit, now)
        return 0.0

    def succeeded(self, subject: str, network: str, *, is_guessable: bool = True) -> None:
        """The password was right: the pair starts afresh and is known; shared counts get this attempt back."""
        watching = self._watching(subject, network, is_guessable)
        self._counters.pop((subject, network), None)
        for key, limit in watching[1:]:
            self._take_back(key, limit)
        self._known[(subject, network)] = None
        self._known.move_to_end((subject, network))
        if len(self._known) > self._limits.known_pairs:
            self._known.popitem(last=False)

    def not_evaluated(self, subject: str, network: str, *, is_guessable: bool = True) -> None:
        """The attempt was admitted but nobody looked at the password (overload): it counts for nothing."""
        for key, limit in self._watching(subject, network, is_guessable):
            self._take_back(key, limit)

    def forgive(self, subject: str) -> None:
        """Forget failures and known pairs of a login: its password was changed or it was closed."""
        for key in [key for key in self._counters if key[0] == subject]:
            del self._counters[key]
        for pair in [pair for pair in self._known if pair[0] == subject]:
            del self._known[pair]

    def counters(self) -> int:
        """How many counters are held, for the metrics."""
        return len(self._counters)

    def _watching(self, subject: str, network: str, is_guessable: bool) -> list[tuple[tuple[str, str], int]]:
        pair = ((subject, network), self._limits.pair_failures)
        if (subject, network) in self._known:
            return [pair]
        shared = self._limits.shared_failures
        watching = [pair, (("", network), shared)]
        return [*watching, ((subject, ""), shared)] if is_guessable else watching

    def _wait(self, key: tuple[str, str], now: float) -> float:
        counter = self._counters.get(key)
        return max(0.0, counter.locked_until - now) if counter else 0.0

    def _count(self, key: tuple[str, str], limit: int, now: float) -> None:
        counter = self._counters.setdefault(key, _Counter())
        self._counters.move_to_end(key)
        counter.attempts = [at for at in counter.attempts if now - at < self._limits.window]
        if counter.level and now - counter.locked_until > self._limits.longest_lock:
            counter.level = 0
        counter.attempts.append(now)
        if len(counter.attempts) >= limit:
            lock = min(self._limits.first_lock * 2.0**counter.level, self._limits.longest_lock)
            counter.locked_until, counter.level = now + lock, counter.level + 1
        while len(self._counters) > self._limits.counters:
            self._counters.popitem(last=False)

    def _take_back(self, key: tuple[str, str], limit: int) -> None:
        counter = self._counters.get(key)
        if counter is None or not counter.attempts:
            return
        was_full = len(counter.attempts) >= limit
        counter.attempts.pop()
        if was_full:  # the attempt that closed the lock was no failure: it opens, with the other counts kept
            counter.level -= 1
            counter.locked_until = 0.0
        if not counter.attempts and not counter.level:
            del self._counters[key]
