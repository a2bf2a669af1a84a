"""Letters signed, encrypted, verified and opened by GnuPG: what comes out is what went in, or nothing."""

from __future__ import annotations

import asyncio
import gc
import logging
import stat
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from certs.openpgp.decrypt import decrypt
from certs.openpgp.encrypt import encrypt
from certs.openpgp.gnupg_process import Limits
from certs.openpgp.keyring import Keyring, PublicKey, SecretKey, read_key_file
from certs.openpgp.pgp_mime import split_letter, write_signed
from certs.openpgp.protector import OpenPgpProtector
from certs.openpgp.refusals import CannotOpen, CannotSeal, SignatureNotGood
from certs.openpgp.sign import sign
from certs.openpgp.verify import verify
from core.errors import ConfigurationError, PermanentError, TemporaryError
from core.plan import KeySource, KeyState, SealKind
from core.testing.openpgp_keys import (
    PASSPHRASE,
    agents_in,
    cast_key,
    gpg,
    leave_home,
    public_of,
    stranger_home,
)

HOSPITAL = "CH du Rivage <cachet@ch-rivage.mssante.example>"
PRACTICE = "Cabinet des Dunes <cachet@cabinet.mssante.example>"
US, THEM = cast_key(HOSPITAL, PASSPHRASE), cast_key(PRACTICE)
LETTER = (
    b"From: anne.test-rivage@ch-rivage.mssante.example\r\nTo: paul.test-dune@cabinet.mssante.example\r\n"
    b"Subject: Bilan\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: 8bit\r\n\r\nL'h\xc3\xa9moglobine est basse. \r\n-- \r\n\tAnne\r\n.\r\n"
)


class TestRoundTrips:
    def test_signed(self, hospital: Keyring, practice: Keyring) -> None:
        signed = sign(hospital, LETTER, signer=US.fingerprint)
        found = verify(practice, signed)
        assert found.fingerprint == US.fingerprint
        assert found.digest == "sha256"
        assert LETTER[LETTER.index(b"Content-Type") :] in signed
        assert b"micalg=pgp-sha256" in signed
        assert b"\n" not in signed.replace(b"\r\n", b"")

    def test_encrypted(self, hospital: Keyring, practice: Keyring) -> None:
        sealed = encrypt(hospital, LETTER, recipients=[THEM.fingerprint])
        assert b"moglobine" not in sealed
        opened = decrypt(practice, sealed)
        assert opened.octets == LETTER
        assert not opened.was_signed
        assert opened.signature is None

    def test_signed_and_encrypted_in_one(self, hospital: Keyring, practice: Keyring) -> None:
        sealed = encrypt(hospital, LETTER, recipients=[THEM.fingerprint], signer=US.fingerprint)
        opened = decrypt(practice, sealed)
        assert opened.octets == LETTER
        assert opened.signature is not None
        assert opened.signature.fingerprint == US.fingerprint

    def test_signed_then_encrypted(self, hospital: Keyring, practice: Keyring) -> None:
        signed = sign(hospital, LETTER, signer=US.fingerprint)
        opened = decrypt(practice, encrypt(hospital, signed, recipients=[THEM.fingerprint]))
        assert opened.octets == signed
        assert opened.signature == verify(practice, signed)
        damaged = signed.replace(b"basse", b"haute")
        opened = decrypt(practice, encrypt(hospital, damaged, recipients=[THEM.fingerprint]))
        assert (opened.was_signed, opened.signature) == (True, None)

    def test_back_with_a_passphrase_of_several(self, hospital: Keyring, practice: Keyring) -> None:
        other = cast_key("Pharmacie du Port <cachet@pharmacie.mssante.example>", "autre")
        sealed = encrypt(practice, LETTER, recipients=[US.fingerprint], signer=THEM.fingerprint)
        with Keyring.open([other, US], [public_of(THEM)]) as both:
            assert decrypt(both, sealed).octets == LETTER
            assert both.signers == {other.fingerprint, US.fingerprint}
        assert decrypt(hospital, sealed).signature is not None

    def test_a_key_without_a_signature_of_ours_signs_for_nobody(self, hospital: Keyring) -> None:
        stranger = cast_key("Inconnu <x@autre.example>")
        with Keyring.open([stranger], [public_of(US)]) as ring:
            signed = sign(ring, LETTER, signer=stranger.fingerprint)
            sealed = encrypt(ring, LETTER, recipients=[US.fingerprint], signer=stranger.fingerprint)
        with pytest.raises(SignatureNotGood):
            verify(hospital, signed)
        opened = decrypt(hospital, sealed)
        assert (opened.octets, opened.was_signed, opened.signature) == (LETTER, True, None)

    def test_an_empty_body_and_a_large_one(self, hospital: Keyring, practice: Keyring) -> None:
        header = b"From: a@b.example\r\nMIME-Version: 1.0\r\n\r\n"
        for letter in (header, header + b"x" * 76 * 10_000):
            sealed = encrypt(hospital, letter, recipients=[THEM.fingerprint], signer=US.fingerprint)
            assert decrypt(practice, sealed).octets == letter


class TestRefusals:
    def test_every_octet_of_a_signed_entity_counts(self, hospital: Keyring, practice: Keyring) -> None:
        signed = sign(hospital, LETTER, signer=US.fingerprint)
        body = signed.index(b"moglobine")
        for at in (body, signed.index(b"Content-Type: text"), signed.index(b". \r\n") + 1):
            flipped = signed[:at] + bytes([signed[at] ^ 1]) + signed[at + 1 :]
            with pytest.raises(SignatureNotGood):
                verify(practice, flipped)

    def test_keys_that_are_not_there(self, hospital: Keyring) -> None:
        for call in (
            lambda: sign(hospital, LETTER, signer=THEM.fingerprint),
            lambda: encrypt(hospital, LETTER, recipients=["0" * 40]),
            lambda: encrypt(hospital, LETTER, recipients=[]),
            lambda: encrypt(hospital, LETTER, recipients=["cabinet"]),
            lambda: encrypt(hospital, LETTER, recipients=[THEM.fingerprint, "cabinet"]),
            lambda: encrypt(hospital, LETTER, recipients=[THEM.fingerprint], signer="0" * 40),
        ):
            with pytest.raises(CannotSeal):
                call()

    def test_a_key_that_only_signs_is_not_encrypted_for(self) -> None:
        home = stranger_home()
        try:
            gpg(home, "--quick-generate-key", "Signe <s@cabinet.mssante.example>", "ed25519", "sign")
            octets = gpg(home, "--export")
            listed = gpg(home, "--with-colons", "--list-keys").decode()
        finally:
            leave_home(home)
        name = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:"))
        with (
            Keyring.open([US], [PublicKey(fingerprint=name, octets=octets)]) as ring,
            pytest.raises(CannotSeal),
        ):
            encrypt(ring, LETTER, recipients=[name])

    def test_a_letter_for_another(self, hospital: Keyring) -> None:
        sealed = encrypt(hospital, LETTER, recipients=[THEM.fingerprint])
        with pytest.raises(CannotOpen):
            decrypt(hospital, sealed)

    def test_an_expired_key_is_not_encrypted_for(self) -> None:
        key = cast_key("Ancien <ancien@cabinet.mssante.example>", born="20260101T000000")
        with Keyring.open([US], [public_of(key)]) as ring:
            (view,) = [one for one in ring.views() if one.fingerprint == key.fingerprint]
            assert view.not_after is not None
            assert not view.is_valid(view.not_after)
            assert view.is_valid(view.not_before)
            with pytest.raises(CannotSeal):
                encrypt(ring, LETTER, recipients=[key.fingerprint])

    def test_an_expired_key_vouches_for_nothing(self) -> None:
        key = cast_key("Ancien <ancien@cabinet.mssante.example>", born="20260101T000000")
        letter = split_letter(LETTER)
        home = stranger_home()
        try:
            gpg(home, "--import", octets=key.octets)
            then = ("--faked-system-time", "20260101T010000!", "--armor", "--detach-sign")
            signature = gpg(home, *then, "-u", key.fingerprint, octets=letter.entity)
        finally:
            leave_home(home)
        signed = write_signed(letter, signature, digest="sha256", boundary=b"bb")
        with Keyring.open([US], [public_of(key)]) as ring, pytest.raises(SignatureNotGood):
            verify(ring, signed)

    def test_too_large(self, hospital: Keyring, practice: Keyring) -> None:
        big = LETTER + b"x" * hospital.limits.octets
        with pytest.raises(CannotSeal):
            sign(hospital, big, signer=US.fingerprint)
        with pytest.raises(CannotSeal):
            encrypt(hospital, big, recipients=[THEM.fingerprint])
        with pytest.raises(SignatureNotGood):
            verify(practice, big)
        with pytest.raises(CannotOpen):
            decrypt(practice, big)

    def test_errors_are_of_the_house_and_say_nothing(self) -> None:
        assert issubclass(CannotOpen, PermanentError)
        assert issubclass(CannotSeal, TemporaryError)
        assert {str(CannotOpen()), str(CannotOpen())} == {"this letter cannot be opened"}


class TestTheRing:
    def test_the_home_is_private_and_ends_with_its_agent(self, short_folder: Path) -> None:
        with Keyring.open([US], folder=short_folder) as ring:
            sign(ring, LETTER, signer=US.fingerprint)
            assert stat.S_IMODE(ring.home.stat().st_mode) == 0o700
            assert agents_in(str(ring.home))
            home = ring.home
            assert PASSPHRASE not in repr(ring) + repr(US)
        assert not home.exists()
        for _ in range(100):
            if not agents_in(str(home)):
                break
            threading.Event().wait(0.02)
        assert not agents_in(str(home))

    def test_a_key_must_be_the_one_named(self) -> None:
        other = public_of(THEM)
        with Keyring.open([US]) as ring:
            for octets in (
                other.octets,
                b"",
                b"not a key",
                b"x" * 300_000,
                public_of(US).octets + other.octets,
            ):
                with pytest.raises(ConfigurationError):
                    ring.add(PublicKey(fingerprint=US.fingerprint, octets=octets))
            assert {view.fingerprint for view in ring.views()} == {US.fingerprint}
            ring.add(other)
            assert len(ring.views()) == 2

    def test_a_secret_key_must_be_one(self) -> None:
        public = public_of(US)
        with (
            pytest.raises(ConfigurationError, match="no secret part"),
            Keyring.open([SecretKey(fingerprint=US.fingerprint, octets=public.octets)]),
        ):
            pass

    def test_a_folder_with_a_long_name(self, tmp_path: Path) -> None:
        folder = tmp_path / ("x" * 90)
        folder.mkdir()
        with pytest.raises(ConfigurationError), Keyring.open([], folder=folder):
            pass
        assert not list(folder.iterdir())

    def test_homes_of_processes_that_are_gone_are_removed(self, short_folder: Path) -> None:
        gone = subprocess.Popen(["true"])
        gone.wait()
        for name in (f"vgm-{gone.pid}-abc", "vgm-x", "vgm-1-living", "else"):
            (short_folder / name).mkdir()
        (short_folder / f"vgm-{gone.pid}-link").symlink_to(short_folder / "else")
        with Keyring.open([], folder=short_folder) as ring:
            left = {path.name for path in short_folder.iterdir()} - {ring.home.name}
        assert left == {"vgm-x", "vgm-1-living", "else", f"vgm-{gone.pid}-link"}

    def test_keys_as_facts_for_the_plan(self, hospital: Keyring) -> None:
        (view,) = [one for one in hospital.views() if one.fingerprint == THEM.fingerprint]
        facts = view.facts(KeySource.CONFIGURED, view.not_before)
        assert (facts.kind, facts.state, facts.fingerprint) == (
            SealKind.OPENPGP,
            KeyState.VALID,
            THEM.fingerprint,
        )
        later = replace(view, not_after=view.not_before)
        assert later.facts(KeySource.SEALS_LIST, view.not_before).state is KeyState.EXPIRED
        assert (
            replace(view, is_revoked=True).facts(KeySource.SEALS_LIST, view.not_before).state
            is KeyState.REVOKED
        )
        only_signs = replace(view, can_encrypt=False)
        assert only_signs.facts(KeySource.SEALS_LIST, view.not_before).state is KeyState.REFUSED

    def test_key_files(self, tmp_path: Path) -> None:
        (tmp_path / "key.pgp").write_bytes(b"key")
        assert read_key_file(tmp_path / "key.pgp") == b"key"
        with pytest.raises(ConfigurationError):
            read_key_file(tmp_path / "none.pgp")

    def test_without_gnupg(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("certs.openpgp.gnupg_process.GPG", "/nonexistent/gpg")
        with pytest.raises(ConfigurationError), Keyring.open([]):
            pass

    def test_a_process_that_hangs_is_ended(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with Keyring.open([US], limits=Limits(seconds=0.3)) as ring:
            slow = tmp_path / "gpg"
            slow.write_text("#!/bin/sh\nexec sleep 30\n")
            slow.chmod(0o700)
            monkeypatch.setattr(ring._gnupg, "gpgbinary", str(slow))
            began = time.monotonic()
            with pytest.raises(CannotSeal):
                sign(ring, LETTER, signer=US.fingerprint)
            with pytest.raises(CannotOpen):
                decrypt(
                    ring, _pgp_mime(b"-----BEGIN PGP MESSAGE-----\r\n\r\n=aaaa\r\n-----END PGP MESSAGE-----")
                )
            monkeypatch.setattr(ring._gnupg, "gpgbinary", "/nonexistent/gpg")
            with pytest.raises(CannotSeal):
                ring.views()
            assert time.monotonic() - began < 10

    def test_processes_are_bounded_and_waiting_ends(self, hospital: Keyring) -> None:
        running: list[int] = []
        most: list[int] = []

        def call(gpg: Any) -> None:
            running.append(1)
            most.append(len(running))
            threading.Event().wait(0.02)
            running.pop()

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(hospital.run, [call] * 12))
        assert max(most) <= hospital.limits.processes
        with Keyring.open([], limits=Limits(processes=1, waiting_seconds=0.01)) as ring:

            def nested(gpg: Any) -> Any:
                return ring.run(lambda inner: None)

            with pytest.raises(CannotSeal):
                ring.run(nested)

    def test_side_by_side_letters_do_not_mix(self, hospital: Keyring, practice: Keyring) -> None:
        def both(number: int) -> bool:
            letter = LETTER + b"%d\r\n" % number
            return (
                decrypt(practice, encrypt(hospital, letter, recipients=[THEM.fingerprint])).octets == letter
            )

        with ThreadPoolExecutor(6) as pool:
            assert all(pool.map(both, range(12)))

    def test_nothing_is_logged_and_no_descriptor_stays(
        self, hospital: Keyring, practice: Keyring, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        sealed = encrypt(hospital, LETTER, recipients=[THEM.fingerprint], signer=US.fingerprint)
        decrypt(practice, sealed)
        gc.collect()
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(3):
            decrypt(practice, sealed)
            with pytest.raises(CannotOpen):
                decrypt(hospital, sealed)
        assert len(list(Path("/proc/self/fd").iterdir())) <= before
        assert not [record for record in caplog.records if record.name == "gnupg"]


class TestStrangers:
    """What plain `gpg` makes is opened, and it opens what we make."""

    def test_both_ways(self, hospital: Keyring) -> None:
        home = stranger_home()
        try:
            gpg(home, "--import", octets=THEM.octets)
            gpg(home, "--import", octets=public_of(US).octets)
            entity = b"Content-Type: text/plain\r\n\r\nBonjour\r\n"
            for extra in ((), ("--textmode",), ("--compress-algo", "zlib")):
                made = gpg(home, "--armor", *extra, "-r", US.fingerprint, "-s", "-e", octets=entity)
                with Keyring.open([US], [public_of(THEM)]) as ring:
                    opened = decrypt(ring, _pgp_mime(made.strip().replace(b"\n", b"\r\n")))
                assert opened.octets.endswith(entity)
                assert opened.signature is not None
            ours = encrypt(hospital, LETTER, recipients=[THEM.fingerprint], signer=US.fingerprint)
            armour = (
                ours[ours.index(b"-----BEGIN") : ours.index(b"-----END")] + b"-----END PGP MESSAGE-----\n"
            )
            assert gpg(home, "--decrypt", octets=armour) == LETTER[LETTER.index(b"Content-Type") :]
            signed = sign(hospital, LETTER, signer=US.fingerprint)
            signature = Path(home) / "s.asc"
            signature.write_bytes(
                signed[signed.index(b"-----BEGIN PGP") : signed.index(b"-----END PGP") + 30]
            )
            gpg(home, "--verify", str(signature), "-", octets=LETTER[LETTER.index(b"Content-Type") :])
            with pytest.raises(subprocess.CalledProcessError):
                gpg(home, "--verify", str(signature), "-", octets=LETTER)
        finally:
            leave_home(home)


class Beat:
    """A clock that runs with the machine, and a sleep that is only written down."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.at = 0.0

    def monotonic(self) -> float:
        self.at += 0.07
        return self.at

    def now(self) -> Any:
        raise AssertionError("no date is needed here")

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


async def test_the_async_face_and_its_one_timing(hospital: Keyring, practice: Keyring) -> None:
    beat = Beat()
    ours = OpenPgpProtector(hospital, beat, pace=0.5, sleep=beat.sleep)
    theirs = OpenPgpProtector(practice, beat, pace=0.5, sleep=beat.sleep)
    try:
        sealed, signed = await asyncio.gather(
            ours.encrypt(LETTER, recipients=[THEM.fingerprint], signer=US.fingerprint),
            ours.sign(LETTER, signer=US.fingerprint),
        )
        assert (await theirs.decrypt(sealed)).octets == LETTER
        assert (await theirs.verify(signed)).fingerprint == US.fingerprint
        assert beat.slept == []
        for broken in (sealed.replace(b"A", b"B"), LETTER, b""):
            with pytest.raises(CannotOpen):
                await theirs.decrypt(broken)
        with pytest.raises(SignatureNotGood):
            await theirs.verify(LETTER)
        assert beat.slept == pytest.approx([0.43] * 4)
    finally:
        ours.close()
        theirs.close()


def _pgp_mime(armour: bytes) -> bytes:
    return (
        b"From: a@b.example\r\n"
        b'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary=b\r\n'
        b"\r\n--b\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n"
        b"--b\r\nContent-Type: application/octet-stream\r\n\r\n" + armour + b"\r\n--b--\r\n"
    )
