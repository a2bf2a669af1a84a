"""One GnuPG home of our own: our secret keys and our peers' keys, in a short folder that dies with the process.

What it is: `Keyring`, made from configured files and the annuaire des sceaux; it runs GnuPG with bounded processes
and ends its agent. What it is not: the operator's `~/.gnupg`, a key server client, or a web of trust: a key is in it
because its fingerprint was configured or signed for. Start at `Keyring.open`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from certs.openpgp.gnupg_process import Gnupg, Limits, Told
from certs.openpgp.refusals import CannotSeal
from core.errors import ConfigurationError
from core.plan import KeyFacts, KeySource, KeyState, SealKind

MAX_KEY_FILE = 256 * 1024  # octets; ours, as `certs.keystore`
MAX_SOCKET_PATH = 80  # characters; sun_path has 108 octets, and GnuPG adds the names of its sockets
END_SECONDS = 5.0
PREFIX = "vgm-"  # and the process that made it

_OPTIONS = [
    "--no-options",  # nothing of a configuration file that we did not write
    "--no-permission-warning",
    "--no-auto-key-locate",
    "--no-auto-key-retrieve",
    "--disable-dirmngr",  # never the network
    "--no-auto-check-trustdb",
    "--trust-model",
    "always",  # keys are here because a fingerprint was configured or signed for
    "--pinentry-mode",
    "loopback",  # never a window, never a terminal
    "--no-random-seed-file",
    "--no-emit-version",
    "--no-comments",
    "--no-symkey-cache",
    "--exit-on-status-write-error",
    "--personal-cipher-preferences",
    "AES256 AES192 AES",  # RFC 4880 §9.2, without the ciphers of 64-bit blocks
    "--digest-algo",
    "SHA256",
    "--compress-algo",
    "none",  # letters hold other people's words beside secrets; compression tells of both by length
]
_AGENT = """allow-loopback-pinentry
disable-scdaemon
no-allow-external-cache
default-cache-ttl 0
max-cache-ttl 0
s2k-count 65536
"""  # the home lies in memory and dies with us: what protects the keys is the folder, not the count


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """A key of ours or of a peer: the octets of a transferable key, and the fingerprint it must have."""

    fingerprint: str
    octets: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretKey(PublicKey):
    """A key of ours with its secret part, and the passphrase that protects it (empty for none)."""

    passphrase: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyView:
    """How a key of the ring stands."""

    fingerprint: str
    not_before: datetime
    not_after: datetime | None
    is_revoked: bool
    can_encrypt: bool
    can_sign: bool

    def is_valid(self, now: datetime) -> bool:
        """Whether `now` is inside its dates and nobody revoked it."""
        return self.state(now) is KeyState.VALID

    def state(self, now: datetime) -> KeyState:
        """How the key stands at `now`."""
        if self.is_revoked:
            return KeyState.REVOKED
        if now < self.not_before or (self.not_after is not None and now >= self.not_after):
            return KeyState.EXPIRED
        return KeyState.VALID

    def facts(self, source: KeySource, now: datetime) -> KeyFacts:
        """The key as a fact for the plan; one that encrypts nothing is refused."""
        state = self.state(now)
        return KeyFacts(
            kind=SealKind.OPENPGP,
            fingerprint=self.fingerprint,
            source=source,
            state=KeyState.REFUSED if state is KeyState.VALID and not self.can_encrypt else state,
            not_before=self.not_before,
        )


class Keyring:
    """See the module. Thread-safe; each call is one process, at most `limits.processes` at a time."""

    def __init__(self, home: Path, limits: Limits) -> None:
        self.home = home
        self.limits = limits
        self._gnupg = Gnupg(home, limits, _OPTIONS)
        self._free = threading.BoundedSemaphore(limits.processes)
        self._passphrases: dict[str, str] = {}
        self._known: set[str] = set()

    def __repr__(self) -> str:
        return f"Keyring({len(self._passphrases)} secret keys)"

    @classmethod
    @contextmanager
    def open(
        cls,
        secret: Sequence[SecretKey],
        public: Iterable[PublicKey] = (),
        *,
        folder: Path | None = None,
        limits: Limits | None = None,
    ) -> Iterator[Keyring]:
        """A ring with these keys, gone (agent, folder and keys) at the end. Raises `ConfigurationError`.

        `folder` should lie in memory (`/run/...`), have a short name and belong to one container: homes of processes
        that are gone are removed from it. The default is the temporary folder.
        """
        parent = folder or Path(tempfile.gettempdir())
        _sweep(parent)
        home = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=parent))  # 0700 by its contract
        try:
            if len(str(home)) > MAX_SOCKET_PATH:
                raise ConfigurationError(f"the folder {folder} has too long a name for GnuPG's sockets")
            (home / "gpg-agent.conf").write_text(_AGENT, "ascii")
            ring = cls(home, limits or Limits())
            for key in secret:
                ring.add_secret(key)
            for one in public:
                ring.add(one)
            yield ring
        finally:
            _end_agent(home)
            shutil.rmtree(home, ignore_errors=True)

    # --- keys -----------------------------------------------------------------------------------------------
    def add(self, key: PublicKey) -> None:
        """Take a peer's key, or a newer form of it. Raises `ConfigurationError` when it is not the one named."""
        self._import(key, "")

    def add_secret(self, key: SecretKey) -> None:
        """Take a key of ours. Raises `ConfigurationError`, also when the passphrase does not open it."""
        self._import(key, key.passphrase)
        if not any(view.fingerprint == key.fingerprint for view in self.views(secret=True)):
            raise ConfigurationError(f"the OpenPGP key {key.fingerprint} has no secret part")
        self._passphrases[key.fingerprint] = key.passphrase

    def _import(self, key: PublicKey, passphrase: str) -> None:
        if len(key.octets) > MAX_KEY_FILE:
            raise ConfigurationError(f"the OpenPGP key {key.fingerprint} is larger than a key can be")
        extra = ["--import-options", "import-minimal"]
        told = self.run(
            lambda gpg: gpg.import_keys(key.octets, extra_args=extra, passphrase=passphrase or None)
        )
        found = {words[1] for words in told.words("IMPORT_OK") if len(words) > 1}
        if found != {key.fingerprint}:
            for fingerprint in found - self._known:
                self.run(partial(_delete, fingerprint=fingerprint))
            raise ConfigurationError(f"this is not the OpenPGP key {key.fingerprint}, or not it alone")
        self._known.add(key.fingerprint)

    def views(self, *, secret: bool = False) -> tuple[KeyView, ...]:
        """Every key of the ring, or those with a secret part, by one process. Raises `CannotSeal`."""
        found = self.run(lambda gpg: gpg.list_keys(secret))
        if isinstance(found, Told):  # the process ended before it had listed anything
            raise CannotSeal
        return tuple(_view(key) for key in found)

    @property
    def known(self) -> frozenset[str]:
        """The fingerprints of all keys of the ring."""
        return frozenset(self._known)

    @property
    def signers(self) -> frozenset[str]:
        """The fingerprints of our secret keys."""
        return frozenset(self._passphrases)

    def passphrase_of(self, fingerprint: str) -> str | None:
        """What python-gnupg is to be told; None for a key that has none. Raises `CannotSeal` for no key of ours."""
        if fingerprint not in self._passphrases:
            raise CannotSeal
        return self._passphrases[fingerprint] or None

    @property
    def passphrases(self) -> tuple[str | None, ...]:
        """The different ones, in order: who opens a letter does not know for which of our keys it is."""
        return tuple(dict.fromkeys(value or None for value in self._passphrases.values())) or (None,)

    # --- processes ------------------------------------------------------------------------------------------
    def run(self, call: Callable[[Any], Any]) -> Any:
        """Run one python-gnupg call when a process is free. Raises `CannotSeal` when none became free in time.

        What a process that ended early does to its pipes is no error here: an empty `Told` says that nothing is good.
        """
        if not self._free.acquire(timeout=self.limits.waiting_seconds):
            raise CannotSeal
        try:
            return call(self._gnupg)
        except (OSError, ValueError):
            return Told(self._gnupg)
        finally:
            self._free.release()


def read_key_file(path: Path) -> bytes:
    """The octets of a configured key. Raises `ConfigurationError`."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_KEY_FILE + 1)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error


def _delete(gpg: Any, *, fingerprint: str) -> None:
    gpg.delete_keys(fingerprint, secret=True, expect_passphrase=False)
    gpg.delete_keys(fingerprint)


def _view(key: Any) -> KeyView:
    capabilities = str(key.get("cap", ""))  # capital letters: of the whole key, as it can be used now
    expires = str(key.get("expires", ""))
    return KeyView(
        fingerprint=str(key["fingerprint"]),
        not_before=datetime.fromtimestamp(int(key["date"]), UTC),
        not_after=datetime.fromtimestamp(int(expires), UTC) if expires else None,
        is_revoked=key.get("trust") == "r",
        can_encrypt="E" in capabilities,
        can_sign="S" in capabilities,
    )


def _sweep(parent: Path) -> None:
    """Remove the homes, and end the agents, of processes of ours that did not end as they should."""
    for home in parent.glob(f"{PREFIX}*"):
        owner = home.name.removeprefix(PREFIX).partition("-")[0]
        try:
            is_ours = home.lstat().st_uid == os.getuid() and not home.is_symlink() and owner.isdigit()
        except OSError:
            continue
        if is_ours and not Path(f"/proc/{owner}").exists():
            _end_agent(home)
            shutil.rmtree(home, ignore_errors=True)


def _end_agent(home: Path) -> None:
    command = ["/usr/bin/gpgconf", "--homedir", str(home), "--kill", "gpg-agent"]
    try:
        subprocess.run(command, check=False, capture_output=True, timeout=END_SECONDS)  # noqa: S603  # ours
    except (OSError, subprocess.TimeoutExpired):
        return  # the agent sees that its socket is gone and ends by itself
