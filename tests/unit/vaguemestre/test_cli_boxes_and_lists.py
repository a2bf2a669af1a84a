"""The words of `bal` and `directory`: what is asked of the rooms, what is said, and what to do next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from core.address import Domain, Mailbox
from core.bal import Account, Bal, BalKind, BalState, Right
from core.identity import DistinguishedName
from core.testing.clock import FakeClock
from trust_directory.annuaire.extract import RowProblem
from trust_directory.annuaire.importer import ImportReport
from trust_directory.annuaire.mapping import DirectoryEntry
from trust_directory.annuaire.storage import Difference, DirectoryState
from trust_directory.boxes import Boxes, ListedBox
from trust_directory.directory import ListedDirectory
from trust_directory.kept_list import ListStatus, Waiting
from trust_directory.passwords import DevicePassword
from trust_directory.sealed_boxes import Credential, KnownBox
from trust_directory.trusted_domains.parse import Entry, TrustList
from trust_directory.trusted_domains.snapshot import TrustedDomains
from vaguemestre.cli import bal, context, directory

ANNE = "anne.test-rivage@ch-rivage.mssante.example"
WARD = "medecine@ch-rivage.mssante.example"
MADE = DevicePassword("abcd-efgh-jkmn-pqrs-tuvw-xyz2-3456-789a")
BOX = Bal(
    bal_id=1,
    mailbox=Mailbox.parse(ANNE),
    kind=BalKind.PERSONNELLE,
    state=BalState.OPEN,
    display_name="Dr Anne TEST-RIVAGE",
    quota_octets=2**31,
)
PAUL = DirectoryEntry(
    address=Mailbox.parse("paul.test-dune@cabinet.mssante.example"),
    kind=BalKind.PERSONNELLE,
    rpps="99700001029",
    family_name="TEST-DUNE",
    given_name="Paul",
)
PAULE = replace(
    PAUL,
    address=Mailbox.parse("paule.test-dune@cabinet.mssante.example"),
    rpps="99700001037",
    given_name="Paule",
)
CREDENTIAL = Credential(
    credential_id="abcd", label="téléphone", encoded="$argon2id$", created_at=0, last_used_day=0, expires_at=None,
    revoked_at=None,
)  # fmt: skip


class Recorder:
    """Answers every async call with what `answers` holds for its name, and writes down the call."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.judge_password = Boxes.judge_password

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def call(*positional: Any, **named: Any) -> Any:
            self.calls.append((name, positional, named))
            return self.answers.get(name)

        return call

    def names(self) -> list[str]:
        return [name for name, _, _ in self.calls]


class Refresher(Recorder):
    """A refresher whose looks bring these outcomes, one after the other."""

    def __init__(self, *outcomes: str, status: ListStatus | None = None) -> None:
        super().__init__()
        self.outcomes = list(outcomes)
        self.confirmed: list[str] = []
        self.waiting = status.waiting if status else None
        self.kept = SimpleNamespace(status=lambda: status or ListStatus(), octets=lambda: b"list")
        self.source: Any = None

    async def look(self, *, confirmed_digest: str = "") -> str:
        self.confirmed.append(confirmed_digest)
        return self.outcomes.pop(0)

    def with_source(self, source: Any) -> Refresher:
        self.source = source
        return self


@pytest.fixture
def operator(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = FakeClock()
    made = SimpleNamespace(
        boxes=Recorder(generate_password=MADE, create=BOX),
        annuaire=Recorder(),
        importer=Recorder(),
        directory=ListedDirectory(clock),
        refresher=Refresher(),
        clock=clock,
        material=SimpleNamespace(tls=SimpleNamespace(relay_client=lambda: None)),
    )

    def with_operator(config: Path, work: Callable[[Any], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            return await work(made)

        # The reactor's loop runs in this thread; the command line has a loop of its own.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, run()).result()

    monkeypatch.setattr(context, "with_operator", with_operator)
    monkeypatch.setattr(context, "acting_operator", lambda: "pierre")
    return made


def say(app: Any, *words: str, stdin: str | None = None) -> tuple[int, str]:
    """(exit status, output, or the error's words)."""
    result = CliRunner().invoke(app, list(words), input=stdin)
    text = result.output
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        text += str(result.exception)
    return result.exit_code, text


class TestBal:
    def test_create_says_what_is_left_to_do(self, operator: SimpleNamespace) -> None:
        status, text = say(bal.app, "create", ANNE, "--kind", "PER", "--name", "Dr Anne", "--quota", "5")
        assert status == 0
        assert "is open" in text
        assert f"bal passwd {ANNE} --generate" in text
        ((name, positional, named),) = operator.boxes.calls
        assert name == "create"
        assert positional == (Mailbox.parse(ANNE), BalKind.PERSONNELLE)
        assert (named["name"], named["quota_octets"], named["by"].name) == ("Dr Anne", 5 * 1024**2, "pierre")

    def test_create_with_a_generated_password_prints_it_once(self, operator: SimpleNamespace) -> None:
        _, text = say(bal.app, "create", ANNE, "--kind", "PER", "--name", "Anne", "--generate")
        assert text.count(MADE.text) == 1
        assert operator.boxes.names() == ["create", "generate_password"]

    def test_create_with_a_chosen_password_never_prints_it(self, operator: SimpleNamespace) -> None:
        words = ("create", ANNE, "--kind", "PER", "--name", "Anne", "--password-stdin")
        status, text = say(bal.app, *words, stdin="la marée monte\n")
        assert status == 0
        assert "marée" not in text
        assert operator.boxes.calls[1][1] == (Mailbox.parse(ANNE), "la marée monte".encode())

    def test_a_weak_password_makes_no_box(self, operator: SimpleNamespace) -> None:
        words = ("create", ANNE, "--kind", "PER", "--name", "Anne", "--password-stdin")
        status, text = say(bal.app, *words, stdin="court\n")
        assert status == 1
        assert "12 characters" in text
        assert operator.boxes.calls == []

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("create", "anne", "--kind", "PER", "--name", "A"), "local.part@domain"),
            (("create", ANNE, "--kind", "PER", "--name", "A", "--generate", "--password-stdin"), "not both"),
            (("create", ANNE, "--kind", "PER", "--name", "A", "--password-stdin"), "no password"),
            (("create", ANNE, "--kind", "XYZ", "--name", "A"), "XYZ"),
            (("passwd", ANNE), "--generate"),
            (("passwd", ANNE, "--generate", "--list"), "say one of"),
        ],
    )
    def test_what_cannot_be_meant_is_refused_before_anything_is_opened(
        self, operator: SimpleNamespace, words: tuple[str, ...], said: str
    ) -> None:
        status, text = say(bal.app, *words, stdin="")
        assert status != 0
        assert said in text
        assert operator.boxes.calls == []

    @pytest.mark.parametrize(
        ("words", "call", "said"),
        [
            (("suspend", ANNE), "suspend", "reopen"),
            (("reopen", ANNE), "reopen", "is open"),
            (("reopen", ANNE, "--same-holder"), "reopen", "passwd"),
            (("close", ANNE), "close", "retention"),
            (("revoke", WARD, "--to", ANNE), "revoke", "no more right"),
            (("revoke", WARD, "--to", ANNE, "--right", "send"), "revoke", "no send right"),
            (("passwd", ANNE, "--revoke", "abcd"), "revoke_password", "abcd"),
        ],
    )
    def test_each_act_is_asked_and_said(
        self, operator: SimpleNamespace, words: tuple[str, ...], call: str, said: str
    ) -> None:
        status, text = say(bal.app, *words)
        assert status == 0
        assert operator.boxes.names() == [call]
        assert operator.boxes.calls[0][2]["by"].name == "pierre"
        assert said in text

    def test_delegate_gives_each_right(self, operator: SimpleNamespace) -> None:
        _, text = say(bal.app, "delegate", WARD, "--to", ANNE, "--right", "read", "--right", "send")
        assert [call[1][2] for call in operator.boxes.calls] == [Right.READ, Right.SEND]
        assert "read and send" in text

    def test_passwd_sets_or_makes(self, operator: SimpleNamespace) -> None:
        _, text = say(bal.app, "passwd", ANNE, "--password-stdin", stdin="la marée monte\n")
        assert "former one ended" in text
        _, text = say(bal.app, "passwd", ANNE, "--generate", "--label", "tablette", "--days", "30")
        assert MADE.text in text
        named = operator.boxes.calls[1][2]
        assert named["label"] == "tablette"
        assert named["expires_at"] == int(operator.clock.now().timestamp()) + 30 * 86_400

    def test_passwd_lists_what_holds(self, operator: SimpleNamespace) -> None:
        ended = replace(CREDENTIAL, credential_id="zzzz", revoked_at=1)
        used = replace(CREDENTIAL, credential_id="wxyz", last_used_day=20_000, expires_at=2_000_000_000)
        operator.boxes.answers["look"] = KnownBox(
            account=Account(bal=BOX), credentials=(CREDENTIAL, ended, used), created_at=0, changed_at=0
        )
        _, text = say(bal.app, "passwd", ANNE, "--list")
        assert "téléphone" in text
        assert "never" in text
        assert "2024-10-04" in text
        assert "2033-05-18" in text
        assert "zzzz" not in text
        assert "argon2" not in text

    def test_list_shows_boxes_or_says_how_to_make_one(self, operator: SimpleNamespace) -> None:
        operator.boxes.answers["list_boxes"] = []
        assert "bal create" in say(bal.app, "list")[1]
        operator.boxes.answers["list_boxes"] = [ListedBox(bal=BOX, created_at=0, changed_at=86_400)]
        _, text = say(bal.app, "list", "--domain", "ch-rivage.mssante.example")
        for word in (ANNE, "PER", "open", "2048 MB", "1970-01-01", "1970-01-02"):
            assert word in text
        assert operator.boxes.calls[-1][2]["domain"] == "ch-rivage.mssante.example"

    def test_list_shows_delegations_and_looking_is_told(self, operator: SimpleNamespace) -> None:
        operator.boxes.answers["delegates"] = [(BOX, Right.SEND, 0)]
        _, text = say(bal.app, "list", "--delegations", WARD)
        assert ANNE in text
        assert "send" in text
        assert operator.boxes.names() == ["look", "delegates"]


class TestDirectory:
    def test_import_tells_what_changed(self, operator: SimpleNamespace) -> None:
        operator.importer.answers["run"] = ImportReport(
            rows=20,
            bad=11,
            problems=[RowProblem(n, "raison") for n in range(2, 13)],
            difference=Difference(before=8, after=9, added=3, removed=2, changed=1),
            removed_examples=["box@cabinet.mssante.example"],
            is_in_force=True,
        )
        status, text = say(directory.app, "import", "extract.txt", "--force")
        assert status == 0
        assert "8 → 9 (+3 −2 ~1)" in text
        assert "line 2: raison" in text
        assert "… and 1 more" in text
        assert "box@cabinet.mssante.example" in text
        assert "In force." in text
        assert operator.importer.calls[0][2]["force"] is True
        operator.importer.calls[0][2]["progress"](20)

    def test_a_dry_run_says_how_to_go_on(self, operator: SimpleNamespace) -> None:
        difference = Difference(before=0, after=1, added=1, removed=0, changed=0)
        operator.importer.answers["compare"] = ImportReport(rows=1, difference=difference)
        _, text = say(directory.app, "import", "extract.txt", "--dry-run")
        assert "leave --dry-run out" in text
        assert operator.importer.names() == ["compare"]

    @pytest.mark.parametrize(
        ("text", "call"),
        [
            ("paul.test-dune@cabinet.mssante.example", "by_address"),
            ("99700001029", "by_rpps"),
            ("990000010", "by_finess"),
            ("test-dune", "by_family_name"),
        ],
    )
    def test_find_asks_the_right_index_and_warns_of_homonyms(
        self, operator: SimpleNamespace, text: str, call: str
    ) -> None:
        state = DirectoryState(generation=1, in_force_at=0, entries=2)
        operator.annuaire.answers = {"state": state, call: [PAUL], "homonyms": [PAULE, PAUL]}
        status, said = say(directory.app, "find", text)
        assert status == 0
        assert call in operator.annuaire.names()
        assert said.count("paul.test-dune@") == 1
        assert said.index("Take care") < said.index("paule.test-dune@")

    def test_find_without_a_directory_or_a_match(self, operator: SimpleNamespace) -> None:
        assert "directory import" in say(directory.app, "find", "x")[1]
        operator.annuaire.answers = {"state": object(), "by_family_name": []}
        assert say(directory.app, "find", "x")[0] == 1
        for wrong in ("a@b", "99700001020", "990000011"):
            assert say(directory.app, "find", wrong)[0] == 1


def in_force(operator: SimpleNamespace) -> TrustedDomains:
    name = DistinguishedName.parse("CN=mss.cabinet.mssante.example,C=FR")
    entry = Entry(domain=Domain.parse("cabinet.mssante.example"), name=name)
    made = TrustList(generated_at=datetime(2026, 3, 1, tzinfo=UTC), entries=(entry,))
    snapshot = TrustedDomains.of(
        made, digest="d", signer=DistinguishedName.parse("CN=alb,C=FR"), confirmed_at=operator.clock.now()
    )
    operator.directory.put_in_force(snapshot)
    return snapshot


class TestTrustList:
    def test_status_without_a_list_says_what_it_means(self, operator: SimpleNamespace) -> None:
        _, text = say(directory.app, "list", "status")
        assert "451" in text
        assert "list refresh" in text

    def test_status_with_a_list_that_waits(self, operator: SimpleNamespace) -> None:
        in_force(operator)
        waiting = Waiting(digest="x", lost=3, before=9)
        operator.refresher = Refresher(
            status=ListStatus(looked_at="2026-03-02", outcome="unchanged", waiting=waiting)
        )
        _, text = say(directory.app, "list", "status")
        for word in (
            "1 entries, fresh",
            "CN=alb,C=FR",
            "SHA-256",
            "2026-03-02 unchanged",
            "3 of 9",
            "list confirm",
        ):
            assert word in text

    @pytest.mark.parametrize(
        ("outcome", "status", "said"),
        [
            ("changed", 0, "in force: 1 entries"),
            ("unchanged", 0, "confirmed"),
            ("source-away", 1, "did not answer"),
            ("not-now", 1, "cannot be judged"),
            ("unsigned", 1, "no signature"),
            ("lost-too-many", 1, "--accept-losses"),
        ],
    )
    def test_refresh_says_what_came_of_it(
        self, operator: SimpleNamespace, outcome: str, status: int, said: str
    ) -> None:
        in_force(operator)
        operator.refresher = Refresher(outcome)
        found, text = say(directory.app, "list", "refresh")
        assert found == status
        assert said in text

    def test_an_offered_list_is_looked_at_once_and_its_losses_accepted(
        self, operator: SimpleNamespace
    ) -> None:
        in_force(operator)
        waiting = ListStatus(waiting=Waiting(digest="x", lost=3, before=9))
        operator.refresher = Refresher("lost-too-many", "changed", status=waiting)
        words = ("list", "refresh", "--source", "offered.xml", "--accept-losses")
        assert say(directory.app, *words)[0] == 0
        assert operator.refresher.confirmed == ["", "x"]
        assert operator.refresher.source is not None

    def test_confirm_names_the_list_that_waits(self, operator: SimpleNamespace) -> None:
        in_force(operator)
        assert "no list waits" in say(directory.app, "list", "confirm")[1]
        waiting = ListStatus(waiting=Waiting(digest="x", lost=3, before=9))
        operator.refresher = Refresher("changed", status=waiting)
        assert say(directory.app, "list", "confirm")[0] == 0
        assert operator.refresher.confirmed == ["x"]
