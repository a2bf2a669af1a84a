"""Who plays: invented people, structures and domains, with identifiers whose keys hold. Nobody here exists."""

from __future__ import annotations

from dataclasses import dataclass

from core.bal import BalKind

HOSPITAL_DOMAIN = "ch-rivage.mssante.example"
CITY_DOMAIN = "cabinet.mssante.example"


@dataclass(frozen=True, slots=True, kw_only=True)
class Player:
    """One box."""

    local_part: str
    domain: str
    kind: BalKind
    name: str
    rpps: str = ""
    finess: str = ""
    family_name: str = ""
    given_name: str = ""
    profession: str = ""

    @property
    def address(self) -> str:
        """The address of the box."""
        return f"{self.local_part}@{self.domain}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """One operator: its domain, its host, and the name in its certificate."""

    key: str
    name: str
    domain: str
    hostname: str
    subject: str


HOSPITAL = Structure(
    key="hospital",
    name="Centre hospitalier du Rivage",
    domain=HOSPITAL_DOMAIN,
    hostname=f"mss.{HOSPITAL_DOMAIN}",
    subject=f"CN=mss.{HOSPITAL_DOMAIN},OU=1990000010,O=CH DU RIVAGE TEST,ST=Finistère (29),C=FR",
)
CITY = Structure(
    key="city",
    name="Cabinet des Dunes",
    domain=CITY_DOMAIN,
    hostname=f"mss.{CITY_DOMAIN}",
    subject=f"CN=mss.{CITY_DOMAIN},OU=1990000044,O=CABINET DES DUNES TEST,ST=Finistère (29),C=FR",
)
STRUCTURES = (HOSPITAL, CITY)
LIST_SIGNER = "CN=alb.mssante.example,OU=1990000036,O=LISTE BLANCHE TEST,ST=Paris (75),C=FR"
UNLISTED = "CN=mss.autre.mssante.example,OU=1990000028,O=AUTRE OPERATEUR TEST,ST=Finistère (29),C=FR"

ANNE = Player(
    local_part="anne.test-rivage",
    domain=HOSPITAL_DOMAIN,
    kind=BalKind.PERSONNELLE,
    name="Dr Anne TEST-RIVAGE",
    rpps="99700001011",
    family_name="TEST-RIVAGE",
    given_name="Anne",
    profession="Médecin",
)
WARD = Player(
    local_part="medecine",
    domain=HOSPITAL_DOMAIN,
    kind=BalKind.ORGANISATIONNELLE,
    name="Service de médecine",
    finess="990000010",
)
LABORATORY_APP = Player(
    local_part="labo.app",
    domain=HOSPITAL_DOMAIN,
    kind=BalKind.APPLICATIVE,
    name="Laboratoire du Rivage (application)",
    finess="990000028",
)
LABORATORY = Player(
    local_part="labo",
    domain=HOSPITAL_DOMAIN,
    kind=BalKind.ORGANISATIONNELLE,
    name="Laboratoire du Rivage",
    finess="990000028",
)
EHPAD = Player(
    local_part="ehpad-des-pins",
    domain=HOSPITAL_DOMAIN,
    kind=BalKind.ORGANISATIONNELLE,
    name="EHPAD des Pins",
    finess="990000036",
)
PAUL = Player(
    local_part="paul.test-dune",
    domain=CITY_DOMAIN,
    kind=BalKind.PERSONNELLE,
    name="Dr Paul TEST-DUNE",
    rpps="99700001029",
    family_name="TEST-DUNE",
    given_name="Paul",
    profession="Médecin",
)
PAULE = Player(
    local_part="paule.test-dune",
    domain=CITY_DOMAIN,
    kind=BalKind.PERSONNELLE,
    name="Dr Paule TEST-DUNE",
    rpps="99700001037",
    family_name="TEST-DUNE",
    given_name="Paule",
    profession="Médecin",
)
NURSE = Player(
    local_part="infirmiere",
    domain=CITY_DOMAIN,
    kind=BalKind.PERSONNELLE,
    name="Infirmière du Cabinet des Dunes",
    rpps="99700001052",
    family_name="TEST-SABLE",
    given_name="Lise",
    profession="Infirmier",
)
PRACTICE = Player(
    local_part="cabinet-des-dunes",
    domain=CITY_DOMAIN,
    kind=BalKind.CABINET,
    name="Cabinet des Dunes",
)
PHARMACY = Player(
    local_part="pharmacie-du-port",
    domain=CITY_DOMAIN,
    kind=BalKind.ORGANISATIONNELLE,
    name="Pharmacie du Port",
    finess="990000044",
)
PLAYERS = (ANNE, WARD, LABORATORY_APP, LABORATORY, EHPAD, PAUL, PAULE, NURSE, PRACTICE, PHARMACY)
