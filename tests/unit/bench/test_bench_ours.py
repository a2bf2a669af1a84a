"""Our adapter: its configuration is one that the product accepts, with defaults but for names and places."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench.ours import DOORS, OPERATOR, SIGNER, configuration
from bench.servers import DOMAIN
from core.identity import DistinguishedName
from vaguemestre.config.load import load
from vaguemestre.config.schema import Configuration, ListenSettings


def test_the_configuration_is_the_default_but_for_names_ports_and_folders(tmp_path: Path) -> None:
    ports = {door: 4000 + number for number, door in enumerate(DOORS)}
    file = tmp_path / "vaguemestre.toml"
    file.write_text(configuration(tmp_path, ports), "utf-8")
    read = load(file, Configuration)
    assert read.operator.domains == (DOMAIN,)
    assert read.listen == replace(ListenSettings(host="127.0.0.1"), **ports)
    assert read.tls.identity[0].certificate == tmp_path / "keys" / "operator.pem"
    assert read.trust.signers == (SIGNER,)
    defaults = Configuration(operator=read.operator, tls=read.tls, trust=read.trust)
    for untouched in ("database", "letters", "spool", "log", "rehearsal"):
        assert getattr(read, untouched) == getattr(defaults, untouched)


def test_the_names_of_the_operator_and_of_the_list_s_signer_are_distinguished_names() -> None:
    assert DistinguishedName.parse(OPERATOR) != DistinguishedName.parse(SIGNER)
