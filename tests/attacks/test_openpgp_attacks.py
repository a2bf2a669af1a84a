"""Attacks on OpenPGP letters: no integrity, status injection, wrapping, bombs. Nothing is released."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator

import pytest
from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from certs.openpgp.decrypt import decrypt
from certs.openpgp.encrypt import encrypt
from certs.openpgp.gnupg_process import Limits
from certs.openpgp.keyring import Keyring
from certs.openpgp.refusals import CannotOpen, SignatureNotGood
from certs.openpgp.sign import sign
from certs.openpgp.status import judge_decryption, judge_signature, read_status
from certs.openpgp.verify import verify
from core.testing.openpgp_keys import cast_key, gpg, leave_home, public_of, stranger_home

US = cast_key("CH du Rivage <cachet@ch-rivage.mssante.example>")
THEM = cast_key("Cabinet des Dunes <cachet@cabinet.mssante.example>")
LIMITS = Limits(octets=1_000_000, seconds=20.0, processes=2)
FORGED = "\n[GNUPG:] GOODSIG 0000000000000000 CH du Rivage\n[GNUPG:] VALIDSIG " + US.fingerprint
LETTER = b"From: a@b.example\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nLe secret est ici.\r\n"


@pytest.fixture(scope="module")
def ring() -> Iterator[Keyring]:
    with Keyring.open([US], [public_of(THEM)], limits=LIMITS) as opened:
        yield opened


@pytest.fixture(scope="module")
def home() -> Iterator[str]:
    made = stranger_home()
    gpg(made, "--import", octets=THEM.octets)
    gpg(made, "--import", octets=public_of(US).octets)
    yield made
    leave_home(made)


def letter_of(packets: bytes) -> bytes:
    """A PGP/MIME letter around binary packets."""
    crc = 0xB704CE
    for octet in packets:
        crc ^= octet << 16
        for _ in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= 0x1864CFB
    body = base64.encodebytes(packets).replace(b"\n", b"\r\n")
    check = b"=" + base64.b64encode((crc & 0xFFFFFF).to_bytes(3, "big")) + b"\r\n"
    return wrapped(b"-----BEGIN PGP MESSAGE-----\r\n\r\n" + body + check + b"-----END PGP MESSAGE-----")


def wrapped(armour: bytes, before: bytes = b"", version: bytes = b"Version: 1") -> bytes:
    return (
        b"From: a@b.example\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary=b\r\n\r\n'
        + before
        + b"--b\r\nContent-Type: application/pgp-encrypted\r\n\r\n"
        + version
        + b"\r\n--b\r\nContent-Type: application/octet-stream\r\n\r\n"
        + armour
        + b"\r\n--b--\r\n"
    )


class Opened:
    """The parts of a message that GnuPG made: session key packet, cipher text, key, plaintext packets."""

    def __init__(self, home: str, packets: bytes) -> None:
        told = gpg_status(home, packets)
        algorithm, key = told.split("SESSION_KEY ")[1].split()[0].split(":")
        assert algorithm == "9"  # AES-256
        self.key = bytes.fromhex(key)
        end = 2 + packets[1]  # a session key packet of cv25519 is short: one octet of length
        self.session = packets[:end]
        assert packets[0] & 0x3F == 0x01 or (packets[0] >> 2) & 0x0F == 1
        self.data = body_of(packets[end:])
        clear = self.cfb(self.data[1:], encrypt=False)
        self.prefix, self.plain = clear[:18], clear[18:-22]

    def cfb(self, octets: bytes, *, encrypt: bool, iv: bytes = bytes(16)) -> bytes:
        cipher = Cipher(algorithms.AES(self.key), CFB(iv))
        context = cipher.encryptor() if encrypt else cipher.decryptor()
        return context.update(octets) + context.finalize()

    def with_data(self, tag: int, body: bytes) -> bytes:
        return letter_of(self.session + packet(tag, body))


def packet(tag: int, body: bytes) -> bytes:
    return bytes([0xC0 | tag, 0xFF]) + len(body).to_bytes(4, "big") + body


def body_of(octets: bytes) -> bytes:
    """The body of one packet with a new header of one, two or five octets of length (RFC 4880 §4.2.2)."""
    assert octets[0] & 0xC0 == 0xC0
    first = octets[1]
    if first < 192:
        return octets[2 : 2 + first]
    if first < 224:
        return octets[3 : 3 + ((first - 192) << 8) + octets[2] + 192]
    assert first == 255
    return octets[6 : 6 + int.from_bytes(octets[2:6], "big")]


def gpg_status(home: str, packets: bytes) -> str:
    import subprocess

    command = [
        "gpg",
        "--homedir",
        home,
        "--batch",
        "--show-session-key",
        "--status-fd",
        "1",
        "-o",
        "/dev/null",
    ]
    done = subprocess.run([*command, "--yes", "-d"], input=packets, capture_output=True, check=True)
    return done.stdout.decode("utf-8", "replace")


@pytest.fixture(scope="module")
def made(home: str) -> Opened:
    """A message to THEM, whose session key the stranger can show."""
    entity = LETTER[LETTER.index(b"Content-Type") :]
    return Opened(home, gpg(home, "-z", "0", "-r", THEM.fingerprint, "-e", octets=entity))


@pytest.fixture(scope="module")
def reader() -> Iterator[Keyring]:
    with Keyring.open([THEM], [public_of(US)], limits=LIMITS) as opened:
        yield opened


class TestIntegrity:
    def test_the_message_itself_opens(self, made: Opened, reader: Keyring) -> None:
        assert decrypt(reader, made.with_data(18, made.data)).octets == LETTER
        again = made.prefix + made.plain + bytes.fromhex("d314")
        whole = again + hashlib.sha1(again).digest()
        rebuilt = b"\x01" + made.cfb(whole, encrypt=True)
        assert decrypt(reader, made.with_data(18, rebuilt)).octets == LETTER

    def test_a_packet_without_integrity_is_refused(self, made: Opened, reader: Keyring) -> None:
        # RFC 4880 §5.7, §13.9: tag 9, CFB with a resynchronisation after the prefix
        head = made.cfb(made.prefix, encrypt=True)
        body = head + made.cfb(made.plain, encrypt=True, iv=head[2:18])
        with pytest.raises(CannotOpen):
            decrypt(reader, made.with_data(9, body))

    def test_a_code_that_is_gone_or_wrong(self, made: Opened, reader: Keyring) -> None:
        stripped = b"\x01" + made.cfb(made.prefix + made.plain, encrypt=True)
        wrong = b"\x01" + made.cfb(made.prefix + made.plain + bytes.fromhex("d314") + bytes(20), encrypt=True)
        for data in (stripped, wrong, made.data[:-22], made.data[:-1], made.data[:40]):
            with pytest.raises(CannotOpen):
                decrypt(reader, made.with_data(18, data))

    def test_a_flipped_bit_anywhere(self, made: Opened, reader: Keyring) -> None:
        for at in range(1, len(made.data), 11):
            flipped = made.data[:at] + bytes([made.data[at] ^ 0x10]) + made.data[at + 1 :]
            with pytest.raises(CannotOpen):
                decrypt(reader, made.with_data(18, flipped))

    def test_plaintext_beside_the_encryption(self, made: Opened, reader: Keyring) -> None:
        literal = packet(11, b"b\0" + bytes(4) + b"Content-Type: text/plain\r\n\r\nFaux\r\n")
        sealed = made.session + packet(18, made.data)
        for packets in (
            sealed + literal,
            literal + sealed,
            literal,
            packet(8, b"\0" + literal),
            sealed + sealed,
        ):
            with pytest.raises(CannotOpen):
                decrypt(reader, letter_of(packets))

    def test_two_plaintexts_inside_it(self, made: Opened, reader: Keyring) -> None:
        literal = packet(11, b"b\0" + bytes(4) + b"Faux\r\n")
        again = made.prefix + made.plain + literal + bytes.fromhex("d314")
        body = b"\x01" + made.cfb(again + hashlib.sha1(again).digest(), encrypt=True)
        with pytest.raises(CannotOpen):
            decrypt(reader, made.with_data(18, body))

    def test_a_password_in_the_place_of_a_key(self, home: str, reader: Keyring) -> None:
        packets = gpg(home, "--symmetric", octets=b"Faux\r\n", passphrase="x")
        with pytest.raises(CannotOpen):
            decrypt(reader, letter_of(packets))

    def test_a_bomb(self, made: Opened, home: str, reader: Keyring) -> None:
        packets = gpg(home, "-z", "9", "-r", THEM.fingerprint, "-e", octets=bytes(30_000_000))
        assert len(packets) < 100_000
        with pytest.raises(CannotOpen):
            decrypt(reader, letter_of(packets))
        just_over = gpg(home, "-z", "9", "-r", THEM.fingerprint, "-e", octets=bytes(LIMITS.octets + 1))
        with pytest.raises(CannotOpen):
            decrypt(reader, letter_of(just_over))


class TestStatusInjection:
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\u2028", "\u0085", "\x0b", "\x1c"])
    def test_a_name_of_a_file_forges_nothing(self, home: str, reader: Keyring, end: str) -> None:
        # CVE-2018-12020: the name inside the literal packet came out beside the status
        name = "x" + FORGED.replace("\n", end)
        entity = b"Content-Type: text/plain\r\n\r\nBonjour\r\n"
        packets = gpg(home, "--set-filename", name, "-r", THEM.fingerprint, "-e", octets=entity)
        opened = decrypt(reader, letter_of(packets))
        assert opened.octets.endswith(entity)
        assert (opened.was_signed, opened.signature) == (False, None)

    @pytest.mark.parametrize("end", ["\u2028", "\u0085"])
    def test_a_user_id_forges_nothing(self, end: str) -> None:
        # python-gnupg as it comes ends lines there, and reads the rest as another status line
        name = "Mallory" + (FORGED + " 2026-01-01 1767225600 0 4 0 22 8 00 " + US.fingerprint).replace(
            "\n", end
        )
        mallory = cast_key(name + " <m@autre.example>")
        with Keyring.open([mallory], [public_of(US)]) as theirs:
            signed = sign(theirs, LETTER, signer=mallory.fingerprint)
            found = verify(theirs, signed)
        assert found.fingerprint == mallory.fingerprint
        with Keyring.open([US]) as ours, pytest.raises(SignatureNotGood):
            verify(ours, signed)

    def test_status_lines_in_the_letter_are_text(self, ring: Keyring, reader: Keyring) -> None:
        letter = LETTER + FORGED.encode() + b"\r\n"
        opened = decrypt(reader, encrypt(ring, letter.replace(b"\n", b"\r\n"), recipients=[THEM.fingerprint]))
        assert opened.signature is None

    @pytest.mark.parametrize("end", ["\x85", "\u2028", "\r", "\x0b", "\x0c", "\x1d", "\0"])
    def test_only_a_line_feed_ends_a_status_line(self, end: str) -> None:
        octets = ("[GNUPG:] PLAINTEXT 62 0 x" + end + "[GNUPG:] GOODMDC\n[GNUPG:] END_DECRYPTION\n").encode()
        assert [keyword for keyword, _ in read_status(octets)] == ["PLAINTEXT", "END_DECRYPTION"]
        assert read_status(b"gpg: [GNUPG:] GOODMDC\n") == ()


class TestWrapping:
    def test_shapes_that_are_not_one_message(self, made: Opened, reader: Keyring) -> None:
        whole = made.with_data(18, made.data)
        armour = whole[whole.index(b"-----BEGIN") : whole.index(b"-----END")] + b"-----END PGP MESSAGE-----"
        assert decrypt(reader, wrapped(armour)).octets == LETTER
        for letter in (
            wrapped(armour + b"\r\n" + armour),
            wrapped(b"Bonjour\r\n" + armour),
            wrapped(armour + b"\r\nBonjour"),
            wrapped(armour, before=b"--b\r\n\r\nBonjour\r\n"),
            wrapped(armour, version=b"Version: 2"),
            wrapped(armour.replace(b"PGP MESSAGE", b"PGP SIGNED MESSAGE")),
            b"Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n" + wrapped(armour) + b"--o--\r\n",
            b"Content-Type: text/plain\r\n\r\n" + armour,
            whole.replace(b"multipart/encrypted", b"multipart/mixed"),
        ):
            with pytest.raises(CannotOpen):
                decrypt(reader, letter)

    def test_the_entity_brings_no_fields_of_its_own(self, home: str, reader: Keyring) -> None:
        entity = (
            b"From: evil@autre.example\r\nAuthentication-Results: x; smime=pass\r\n"
            b"Content-Type: text/plain\r\nSubject: y\r\n\r\nBonjour\r\n"
        )
        packets = gpg(home, "-r", THEM.fingerprint, "-e", octets=entity)
        opened = decrypt(reader, letter_of(packets)).octets
        assert opened == (
            b"From: a@b.example\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nBonjour\r\n"
        )

    def test_what_is_signed_is_the_whole_letter(self, ring: Keyring, reader: Keyring) -> None:
        signed = sign(ring, LETTER, signer=US.fingerprint)
        assert verify(reader, signed).fingerprint == US.fingerprint
        boundary = signed[signed.index(b'boundary="') + 10 :].split(b'"')[0]
        more = b"--" + boundary + b"\r\nContent-Type: text/plain\r\n\r\nAjout\r\n"
        first = signed.index(b"--" + boundary)
        for letter in (
            signed[:first] + more + signed[first:],
            signed.replace(b"--" + boundary + b"--", more + b"--" + boundary + b"--"),
            signed.replace(b"multipart/signed", b"multipart/mixed"),
            signed.replace(b"application/pgp-signature;", b"text/plain;"),
            signed.replace(b"BEGIN PGP SIGNATURE", b"BEGIN PGP MESSAGE"),
            b"Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n"
            + signed
            + b"\r\n--o\r\n\r\nAjout\r\n--o--",
        ):
            with pytest.raises(SignatureNotGood):
                verify(reader, letter)

    def test_two_signers_are_nobody(self, home: str, reader: Keyring) -> None:
        entity = b"Content-Type: text/plain\r\n\r\nBonjour\r\n"
        path = os.path.join(home, "e")
        with open(path, "wb") as file:
            file.write(entity)
        twice = gpg(home, "-u", THEM.fingerprint, "--armor", "--detach-sign", "-o", "-", path)
        binary = gpg(home, "-u", THEM.fingerprint, "--detach-sign", "-o", "-", path)
        for signature in (twice + twice, _armoured(binary + binary)):
            letter = (
                b'Content-Type: multipart/signed; protocol="application/pgp-signature"; boundary=b\r\n\r\n--b\r\n'
                + entity
                + b"\r\n--b\r\nContent-Type: application/pgp-signature\r\n\r\n"
                + signature
                + b"\r\n--b--\r\n"
            )
            with pytest.raises(SignatureNotGood):
                verify(reader, letter)

    def test_a_broken_digest(self, home: str, reader: Keyring) -> None:
        entity = b"Content-Type: text/plain\r\n\r\nBonjour\r\n"
        arguments = ("-u", THEM.fingerprint, "--digest-algo", "SHA1", "-r", THEM.fingerprint, "-s", "-e")
        opened = decrypt(reader, letter_of(gpg(home, *arguments, octets=entity)))
        assert (opened.was_signed, opened.signature) == (True, None)


def _armoured(packets: bytes) -> bytes:
    head, foot = b"-----BEGIN PGP SIGNATURE-----\r\n\r\n", b"-----END PGP SIGNATURE-----"
    return head + base64.encodebytes(packets).replace(b"\n", b"\r\n") + foot


GOOD = b"""[GNUPG:] ENC_TO 5B83F4193CBF3E2C 18 0
[GNUPG:] BEGIN_DECRYPTION
[GNUPG:] DECRYPTION_INFO 2 9 0
[GNUPG:] PLAINTEXT 62 1795301384 x
[GNUPG:] NEWSIG
[GNUPG:] GOODSIG 5803B92B25D031C5 Test
[GNUPG:] VALIDSIG AA 2026-11-21 1795301384 0 4 0 22 8 00 AA
[GNUPG:] DECRYPTION_OKAY
[GNUPG:] GOODMDC
[GNUPG:] END_DECRYPTION
"""


class TestJudges:
    def test_the_good_case(self) -> None:
        opening = judge_decryption(read_status(GOOD), 0)
        assert opening.signature is not None
        assert judge_decryption(read_status(GOOD.replace(b"_INFO 2 9 0", b"_INFO 0 9 2")), 0).was_signed

    @pytest.mark.parametrize("line", [line for line in GOOD.splitlines(keepends=True) if b"SIG" not in line])
    def test_each_line_is_needed_once(self, line: bytes) -> None:
        for lines in (
            GOOD.replace(line, b""),
            GOOD.replace(line, line + line) if b"ENC_TO" not in line else b"",
        ):
            with pytest.raises(CannotOpen):
                judge_decryption(read_status(lines), 0)

    @pytest.mark.parametrize(
        "word", ["DECRYPTION_FAILED", "BADMDC", "NODATA 1", "UNEXPECTED 0", "FAILURE d 1"]
    )
    def test_lines_that_must_not_be_there(self, word: str) -> None:
        with pytest.raises(CannotOpen):
            judge_decryption(read_status(GOOD + f"[GNUPG:] {word}\n".encode()), 0)

    def test_neither_code_nor_tag(self) -> None:
        for info in (b"_INFO 0 9 0", b"_INFO 0 9"):
            with pytest.raises(CannotOpen):
                judge_decryption(read_status(GOOD.replace(b"_INFO 2 9 0", info)), 0)

    def test_a_signature_outside_the_encryption(self) -> None:
        signature = b"".join(
            line for line in GOOD.splitlines(keepends=True) if b"SIG " in line or b"NEWSIG" in line
        )
        moved = GOOD.replace(signature, b"") + signature
        with pytest.raises(CannotOpen):
            judge_decryption(read_status(moved), 0)

    def test_an_exit_that_no_signature_explains(self) -> None:
        plain = b"".join(line for line in GOOD.splitlines(keepends=True) if b"SIG" not in line)
        assert not judge_decryption(read_status(plain), 0).was_signed
        with pytest.raises(CannotOpen):
            judge_decryption(read_status(plain), 2)
        assert judge_decryption(read_status(GOOD), 2).signature is None

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("NEWSIG", "NEWSIG\n[GNUPG:] NEWSIG"),
            ("GOODSIG", "EXPKEYSIG"),
            ("GOODSIG", "REVKEYSIG"),
            ("GOODSIG", "EXPSIG"),
            ("GOODSIG", "BADSIG"),
            ("VALIDSIG", "ERRSIG"),
            ("22 8 00 AA", "22 2 00 AA"),
            ("22 8 00 AA", "22 8 10 AA"),
            ("22 8 00 AA", "22 8 00"),
            ("1795301384 0 4", "20261121T000000 0 4"),
            ("1795301384 0 4", "99999999999 0 4"),
        ],
    )
    def test_signatures_that_are_not_good(self, old: str, new: str) -> None:
        lines = read_status(GOOD.decode().replace(old, new).encode())
        with pytest.raises(SignatureNotGood):
            judge_signature(lines, 0)
        assert judge_decryption(lines, 0).signature is None
