"""The rules of the house that no linter knows: sizes, names, closed lists, docstrings, where SQL may stand."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "core",
    "mta",
    "routing",
    "trust_directory",
    "connectors",
    "certs",
    "mailstore",
    "webmail",
    "vaguemestre",
)
CORE_MODULES = {
    "__init__",
    "address",
    "audit",
    "bal",
    "clock",
    "envelope",
    "errors",
    "folder",
    "identity",
    "message",
    "mime",
    "outcome",
    "plan",
    "ports",
    "reply",
    "unit_of_work",
}
MAX_FILE, MAX_FUNCTION, MAX_CORE = 600, 80, 2800
P95_FILE, P95_FUNCTION = 400, 40
FORBIDDEN_NAMES = {"utils", "helpers", "common", "misc", "manager", "base", "service", "types"}
MAX_PROTOCOLS = 20
BROAD_PER_1000_LINES = 0.9
SQL_PLACES = re.compile(
    r"(/storage\.py|^mailstore/storage/|^vaguemestre/(wiring|committer|database|sqlite_connection|audit_months)\.py"
    r"|^vaguemestre/observability/audit_(log|storage|verify)\.py|^vaguemestre/migrations/)"
)


@cache
def modules() -> tuple[Path, ...]:
    return tuple(sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")))


def product() -> Iterator[tuple[str, ast.Module, str]]:
    for path in modules():
        text = path.read_text("utf-8")
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith("core/testing/"):
            yield name, ast.parse(text), text


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def percentile(values: list[int], share: float) -> int:
    return sorted(values)[int(len(values) * share)]


def test_files_and_functions_keep_their_size() -> None:
    lines, spans = [], []
    for name, tree, text in product():
        count = text.count("\n")
        assert count <= MAX_FILE, f"{name} has {count} lines"
        lines.append(count)
        for node in functions(tree):
            assert length(node) <= MAX_FUNCTION, f"{name}:{node.lineno} {node.name} has {length(node)} lines"
            spans.append(length(node))
    assert percentile(lines, 0.95) <= P95_FILE
    assert percentile(spans, 0.95) <= P95_FUNCTION


def test_core_is_a_closed_list_and_small() -> None:
    found = {path.stem for path in (ROOT / "core").glob("*.py")}
    assert found == CORE_MODULES
    assert sum(path.read_text("utf-8").count("\n") for path in (ROOT / "core").glob("*.py")) <= MAX_CORE


def test_core_imports_the_standard_library_only() -> None:
    import sys

    for path in (ROOT / "core").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            for name in names:
                top = name.split(".")[0]
                assert top == "core" or top in sys.stdlib_module_names, f"{path.name} imports {name}"


def test_pure_packages_take_no_time_no_chance_and_do_no_io() -> None:
    forbidden = {"asyncio", "socket", "sqlite3", "logging", "time", "random", "structlog"}
    for name, tree, _ in product():
        pure = name.startswith("routing/") or name.endswith(("/grammar.py", "/session.py"))
        pure = pure or (name.startswith("core/") and name != "core/clock.py")
        if not pure:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                assert not forbidden & {alias.name.split(".")[0] for alias in node.names}, name
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] not in forbidden, name


def test_no_module_has_a_drawer_for_a_name() -> None:
    for path in modules():
        assert path.stem not in FORBIDDEN_NAMES, path


def test_every_module_says_what_it_is() -> None:
    for name, tree, _ in product():
        if name.startswith("vaguemestre/migrations/"):
            continue
        assert ast.get_docstring(tree), f"{name} has no docstring"


def test_most_public_functions_and_every_port_say_what_the_signature_cannot() -> None:
    told = total = 0
    for name, tree, _ in product():
        for node in functions(tree):
            if node.name.startswith("_") or length(node) <= 2:
                continue
            total += 1
            told += bool(ast.get_docstring(node))
            if name == "core/ports.py":
                assert ast.get_docstring(node), f"{name}: {node.name}"
    assert told / total >= 0.6, f"{told} of {total} public functions have a docstring"


def test_there_are_few_ports() -> None:
    tree = ast.parse((ROOT / "core/ports.py").read_text("utf-8"))
    protocols = [
        node.name
        for node in tree.body
        if isinstance(node, ast.ClassDef) and any(ast.unparse(parent) == "Protocol" for parent in node.bases)
    ]
    assert 0 < len(protocols) <= MAX_PROTOCOLS


def test_broad_excepts_are_rare() -> None:
    broad, lines = [], 0
    for name, tree, text in product():
        lines += text.count("\n")
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler) and (
                node.type is None or ast.unparse(node.type) in ("Exception", "BaseException")
            ):
                broad.append(f"{name}:{node.lineno}")
    assert len(broad) / lines * 1000 <= BROAD_PER_1000_LINES, broad


def test_sql_stands_where_storage_is() -> None:
    for name, tree, _ in product():
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            if any(module.split(".")[0] in ("sqlalchemy", "alembic") for module in names):
                assert SQL_PLACES.search(name), f"{name} speaks SQL"


def test_nothing_is_left_open() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|raise NotImplementedError|pragma: no cover")
    for name, _, text in product():
        assert not marks.search(text), f"{name}: {marks.search(text)}"


def test_functions_take_few_parameters_and_never_two_booleans() -> None:
    for name, tree, _ in product():
        if name.startswith(("vaguemestre/cli/", "vaguemestre/migrations/")):
            continue  # a command line has as many options as it has
        for node in functions(tree):
            arguments = node.args.posonlyargs + node.args.args
            positional = [a for a in arguments if a.arg not in ("self", "cls")]
            assert len(positional) <= 6, f"{name}:{node.lineno} {node.name}"
            flags = [a for a in positional if a.annotation and ast.unparse(a.annotation) == "bool"]
            assert len(flags) < 2, f"{name}:{node.lineno} {node.name} takes two booleans by position"


def test_replies_stand_in_the_one_table() -> None:
    for name, tree, _ in product():
        if name == "core/reply.py" or not name.startswith(("mta/", "routing/")):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
                text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
                assert not re.match(r"[245]\d\d[ -][0-9A-Z]", text), f"{name}:{node.lineno} {text!r}"


@pytest.mark.parametrize(
    "path", ["docs/flow.md", "docs/glossary.md", "docs/threat-model.md", "SECURITY.md", "LICENSE"]
)
def test_the_papers_of_the_house_are_there(path: str) -> None:
    assert (ROOT / path).stat().st_size > 500
