"""Invariant: any file is a configuration that writes back as itself, or one line of error that says where."""

import tempfile
from pathlib import Path

import hypothesis
from hypothesis import given

from core.errors import ConfigurationError
from core.testing.near_valid import near_valid
from vaguemestre.config.load import load, write
from vaguemestre.config.schema import Configuration, example

SAMPLES = [
    write(example(), commented=True).encode(),
    write(example(), commented=False).encode(),
    b"[operator]\nname='x'\n",
]
PIECES = [
    b"=", b"[", b"]", b"[[", b"]]", b'"', b"'", b"\n", b"#", b"{", b"}", b"\x00", b"\xff", b"nan", b"inf",
    b"-1", b"1e400", b"[tls]\n", b"[relay.routes]\n", b"a.b = 1\n", b"true", b"2026-11-21", b"9" * 40,
    b'""', b"[]", b"x = 1\n", b"\\u0000", b'"test"',
]  # fmt: skip


@given(near_valid(SAMPLES, PIECES))
@hypothesis.example(SAMPLES[1].replace(b'name = "', b'name = "\\u0000\\u007f\\n', 1))
@hypothesis.example(SAMPLES[1].replace(b"refresh_seconds = 900.0", b"refresh_seconds = nan"))
@hypothesis.example(SAMPLES[1].replace(b"routes = {}", b'routes = {"a\\"b" = "x:1"}'))
def test_a_file_is_a_configuration_or_an_error(octets: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "vaguemestre.toml"
        path.write_bytes(octets)
        try:
            found = load(path, Configuration)
        except ConfigurationError:
            return
        path.write_text(write(found, commented=True), "utf-8")
        assert load(path, Configuration) == found
