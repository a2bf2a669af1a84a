"""One TOML: unknown keys are errors with a suggestion, the example is the schema, everything is frozen."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from core.errors import ConfigurationError
from vaguemestre.config.load import MAX_CONFIG, documentation, load, write
from vaguemestre.config.schema import Configuration, Environment, OperatorSettings, example

MINIMAL = """
[operator]
name = "Cabinet des Dunes"
hostname = "mss.cabinet.mssante.example"
domains = ["cabinet.mssante.example"]
[tls]
anchors = "anchors"
crls = "crl"
[[tls.identity]]
certificate = "keys/a.pem"
key = "keys/a.key"
[trust]
source = "list.xml"
signers = ["CN=alb.mssante.example,C=FR"]
"""


def read(folder: Path, text: str) -> Configuration:
    file = folder / "vaguemestre.toml"
    file.write_text(text, "utf-8")
    return load(file, Configuration)


def test_the_example_is_the_schema_and_reads_back(tmp_path: Path) -> None:
    assert read(tmp_path, write(example(), commented=True)) == example()
    assert read(tmp_path, write(example(), commented=False)) == example()


def test_a_minimal_file_takes_paths_from_its_folder(tmp_path: Path) -> None:
    configuration = read(tmp_path, MINIMAL)
    assert configuration.tls.identity[0].key == tmp_path / "keys/a.key"
    assert configuration.operator.environment is Environment.PRODUCTION
    assert configuration.database_url.startswith("sqlite:///")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("[trust]", "[trsut]", "unknown key trsut; did you mean trust?"),
        ('source = "list.xml"', 'sorce = "list.xml"', "unknown key trust.sorce; did you mean trust.source?"),
        ('hostname = "mss.cabinet.mssante.example"', "", "operator.hostname is missing"),
        ('name = "Cabinet des Dunes"', "name = 3", "operator.name must be text in quotes"),
        ('domains = ["cabinet.mssante.example"]', 'domains = "x"', "operator.domains must be a list"),
        ('domains = ["cabinet.mssante.example"]', "domains = []", "at least one mail domain"),
        ('domains = ["cabinet.mssante.example"]', 'domains = ["-"]', "must be domain names"),
        ("[trust]", '[log]\nformat = "xml"\n[trust]', "log.format must be one of: json, text"),
        ("[trust]", '[log]\nlevel = "loud"\n[trust]', "level must be"),
        ("[trust]", "[database]\nworkers = 2\n[trust]", "workers above 1 need PostgreSQL"),
        ("[trust]", '[listen]\nrelay = "25"\n[trust]', "listen.relay must be a whole number"),
        ("[trust]", '[rehearsal]\nstop_at = "spool.committed"\n[trust]', "refused in production"),
        ("[trust]", "[spool]\nretry_seconds = [true]\n[trust]", "spool.retry_seconds[0] must be a number"),
        ("[trust]", "[relay]\nroutes = 3\n[trust]", "relay.routes must be a table"),
        ("[tls]", "[tls", "is not TOML"),
        ("[trust]", "[spool]\nretry_seconds = []\n[trust]", "retry_seconds needs at least one wait"),
        ("[trust]", "[spool]\nretry_seconds = [0.0]\n[trust]", "each above 0"),
        ("[trust]", "[spool]\nlease_seconds = 0\n[trust]", "lease_seconds must be"),
        (
            "[trust]",
            "[spool]\nconnections_per_destination = 0\n[trust]",
            "connections_per_destination must be",
        ),
        ("[trust]", "[listen]\nsubmission = 99999\n[trust]", "submission must be a port"),
        ("[trust]", '[database]\nurl = "foo"\n[trust]', "url must begin with"),
        ("[trust]", '[database]\nurl = "postgresql://a:b@h/x"\n[trust]', "must not hold a password"),
        ("[trust]", '[database]\nurl = "postgresql://h/x"\nworkers = 4\n[trust]', "workers must be 1"),
        ("[trust]", "[trust]\nlargest_loss = 2.0", "largest_loss must be a share"),
        ("[trust]", "[trust]\nrefresh_seconds = 0", "refresh_seconds must be above 0"),
        ("[trust]", "[trust]\nalarm_after_hours = 900", "not above stale_after_hours"),
        ('signers = ["CN=alb.mssante.example,C=FR"]', "signers = []", "signers needs the name"),
        ("[trust]", "[letters]\nrelay_octets = -1\n[trust]", "relay_octets must be 65536 at least"),
        ("[trust]", "[letters]\nrecipients = 0\n[trust]", "recipients must be 100 at least"),
        ("[trust]", '[relay]\nsmart_host = "hub"\n[trust]', "smart_host: hub is not host:port"),
        ("[trust]", '[relay]\nroutes = {"x y" = "h:25"}\n[trust]', "x y is not a domain name"),
        (
            "[trust]",
            '[relay]\nroutes = {"a.example" = "h:99999"}\n[trust]',
            "routes: h:99999 is not host:port",
        ),
        ('name = "Cabinet des Dunes"', 'name = "x"\npostmaster = "été"', "postmaster must be the local part"),
        ('name = "Cabinet des Dunes"', 'name = "x"\nnode = "a/b"', "node must be letters"),
    ],
)
def test_a_mistake_is_one_sentence_that_says_what_to_change(
    tmp_path: Path, old: str, new: str, sentence: str
) -> None:
    with pytest.raises(ConfigurationError) as mistake:
        read(tmp_path, MINIMAL.replace(old, new, 1))
    assert sentence in str(mistake.value)


def test_a_missing_or_huge_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot read"):
        load(tmp_path / "none.toml", Configuration)
    with pytest.raises(ConfigurationError, match="larger"):
        read(tmp_path, "#" * (MAX_CONFIG + 1))


def test_every_setting_is_documented() -> None:
    todo: list[type] = [Configuration]
    for schema in todo:
        documents = documentation(schema)
        for field in dataclasses.fields(schema):
            assert documents.get(field.name), f"{schema.__name__}.{field.name}"
            value = getattr(example(), field.name, None)
            if dataclasses.is_dataclass(value):
                todo.append(type(value))
    assert OperatorSettings in todo


def test_routes_are_read_as_a_table(tmp_path: Path) -> None:
    text = MINIMAL + '[relay.routes]\n"ch-rivage.mssante.example" = "127.0.0.1:2525"\n'
    configuration = read(tmp_path, text)
    assert configuration.relay.routes == {"ch-rivage.mssante.example": "127.0.0.1:2525"}
    assert read(tmp_path, write(configuration, commented=False)) == configuration


def test_the_source_of_the_list_is_a_url_or_taken_from_the_folder_of_the_file(tmp_path: Path) -> None:
    assert read(tmp_path, MINIMAL).trust.source == str(tmp_path / "list.xml")
    for url in ("https://alb.mssante.example/l.xml", "file:///srv/l.xml"):
        text = MINIMAL.replace('source = "list.xml"', f'source = "{url}"')
        assert read(tmp_path, text).trust.source == url
