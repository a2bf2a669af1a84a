"""There is no branch that can send outside mutual TLS: shown on the code itself.

The flows of `tests/flows/test_relay_client.py` show it on the wire.
"""

from __future__ import annotations

import ast
from pathlib import Path

import mta

ROOT = Path(mta.__file__).parent
CLIENT = ROOT / "smtp" / "client.py"


def trees() -> dict[Path, ast.Module]:
    packages = [ROOT, *(ROOT.parent / name for name in ("vaguemestre", "connectors", "webmail", "routing"))]
    # The demonstration plays people's mail clients; they are not the product and speak to its doors only.
    clients = ROOT.parent / "vaguemestre" / "demo"
    return {
        path: ast.parse(path.read_text("utf-8"))
        for root in packages
        for path in root.rglob("*.py")
        if clients not in path.parents
    }


def calls(tree: ast.AST) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def name_of(call: ast.Call) -> str:
    return ast.unparse(call.func)


def function(tree: ast.Module, owner: str, name: str) -> ast.AsyncFunctionDef | ast.FunctionDef:
    [found] = [
        item
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name == owner
        for item in node.body
        if isinstance(item, ast.AsyncFunctionDef | ast.FunctionDef) and item.name == name
    ]
    return found


def test_one_module_speaks_smtp_to_others() -> None:
    for path, tree in trees().items():
        imported = {
            alias.name.partition(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in ([ast.alias(node.module or "")] if isinstance(node, ast.ImportFrom) else node.names)
        }
        assert "smtplib" not in imported, path
        assert ("aiosmtplib" in imported) == (path == CLIENT), path


def test_a_connection_is_made_in_one_place_after_tls_and_verification() -> None:
    makers = {
        (path, node.name)
        for path, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef)
        and any(name_of(call).endswith("RelayConnection") for call in calls(node))
    }
    assert makers == {(CLIENT, "connect")}
    connect = function(ast.parse(CLIENT.read_text("utf-8")), "RelayClient", "connect")
    [attempt] = [node for node in connect.body if isinstance(node, ast.Try)]
    steps = [name_of(call) for statement in attempt.body for call in calls(statement)]
    order = [step for step in steps if step.startswith(("self._", "self.check", "RelayConnection"))]
    assert order == ["self._start_tls", "self._verify", "RelayConnection", "self.check_entitled"]
    # straight on: no `if`, no loop, no inner `try` in which a step could be left out
    assert not [node for node in attempt.body if isinstance(node, ast.If | ast.For | ast.While | ast.Try)]


def test_every_way_out_of_the_handshake_but_success_raises() -> None:
    for name in ("_start_tls", "_verify"):
        made = function(ast.parse(CLIENT.read_text("utf-8")), "RelayClient", name)
        handlers = [node for node in ast.walk(made) if isinstance(node, ast.ExceptHandler)]
        branches = [node for node in ast.walk(made) if isinstance(node, ast.If)]
        assert handlers
        assert branches
        assert all(isinstance(each.body[-1], ast.Raise) for each in (*handlers, *branches))


def test_only_the_verified_connection_writes_the_words_of_a_letter() -> None:
    tree = ast.parse(CLIENT.read_text("utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == "RelayConnection":
            continue
        for call in calls(node):
            assert name_of(call).rpartition(".")[2] not in {
                "mail", "rcpt", "data", "sendmail", "send_message", "execute_command", "write", "mail_command",
                "rcpt_command", "login",
            }, ast.unparse(call)  # fmt: skip


def test_no_tls_check_is_ever_turned_off() -> None:
    for path, tree in trees().items():
        for node in ast.walk(tree):
            assert not (isinstance(node, ast.Attribute) and node.attr == "CERT_NONE"), path
            if isinstance(node, ast.keyword):
                assert node.arg != "validate_certs", path
