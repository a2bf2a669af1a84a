"""TOML → the frozen schema, and back: unknown keys are errors with a suggestion.

What it is: a small reader driven by dataclass fields, and the writer of the example file and of
`config show`. What it is not: the settings themselves (`schema`, and each package's own `Settings`). Each
field's documentation is the string under it in the source; the example file is made from these strings, so
the two cannot disagree.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import enum
import inspect
import itertools
import re
import textwrap
import tomllib
import types
import typing
from collections.abc import Hashable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from core.errors import ConfigurationError

T = TypeVar("T")
_URL = re.compile(r"[a-z]+:")
MAX_NUMBER = 10**9  # ours: thirty years in seconds
MAX_CONFIG = 1_048_576  # ours: a configuration of over 1 MiB is some other file


def load(path: Path, schema: type[T]) -> T:
    """Read a TOML file into `schema`. Raises ConfigurationError with one sentence that says what to change."""
    try:
        octets = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    if len(octets) > MAX_CONFIG:
        raise ConfigurationError(f"{path} is larger than a configuration may be ({MAX_CONFIG} octets)")
    try:
        data = tomllib.loads(octets.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from error
    return build(schema, data, path.parent)


def build(schema: type[T], data: dict[str, Any], base: Path, where: str = "") -> T:
    """A value of the schema from parsed TOML; relative paths are taken from `base`."""
    fields = {field.name: field for field in dataclasses.fields(schema)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(schema)
    for key in data:
        if key not in fields:
            raise ConfigurationError(_unknown(where + key, key, list(fields), where))
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name in data:
            values[name] = _convert(hints[name], data[name], base, where + name)
        elif dataclasses.is_dataclass(hints[name]):
            values[name] = build(typing.cast(type[Any], hints[name]), {}, base, f"{where}{name}.")
        elif isinstance(field.default, Path):
            values[name] = base / field.default  # a default path is as relative as a written one
        elif _has_no_default(field):
            raise ConfigurationError(
                f"{where}{name} is missing: {documentation(typing.cast(Hashable, schema)).get(name, '')}".strip()
            )
    try:
        return schema(**values)
    except ValueError as error:
        raise ConfigurationError(f"{where.rstrip('.') or 'configuration'}: {error}") from error


def _unknown(path: str, key: str, known: list[str], where: str) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    hint = f"; did you mean {where}{close[0]}?" if close else f"; known here: {', '.join(sorted(known))}"
    return f"unknown key {path}{hint}"


def _has_no_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _convert(hint: Any, value: Any, base: Path, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        inner = next(argument for argument in arguments if argument is not type(None))
        return _convert(inner, value, base, where)
    if origin is tuple:
        _expect(isinstance(value, list), where, "a list")
        return tuple(_convert(arguments[0], item, base, f"{where}[{i}]") for i, item in enumerate(value))
    if origin in (dict, types.MappingProxyType) or (origin is not None and "Mapping" in str(origin)):
        _expect(isinstance(value, dict), where, "a table")
        return {key: _convert(arguments[1], item, base, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(hint):
        _expect(isinstance(value, dict), where, "a table")
        return build(typing.cast(type[Any], hint), value, base, f"{where}.")
    return _scalar(hint, value, base, where)


def _scalar(hint: Any, value: Any, base: Path, where: str) -> Any:
    if inspect.isclass(hint) and issubclass(hint, enum.Enum):
        try:
            return hint(value)
        except ValueError as error:
            allowed = ", ".join(str(member.value) for member in hint)
            raise ConfigurationError(f"{where} must be one of: {allowed}") from error
    if hint is Path:
        _expect(isinstance(value, str), where, "a path in quotes")
        return base / value
    if inspect.isclass(hint) and issubclass(hint, str) and hint is not str:  # schema.PathOrUrl
        _expect(isinstance(value, str), where, "a path or a URL in quotes")
        return hint(value if _URL.match(value) else base / value)
    if hint is float:
        _expect(isinstance(value, int | float) and not isinstance(value, bool), where, "a number")
        _expect(abs(value) <= MAX_NUMBER, where, f"a number up to {MAX_NUMBER}")  # which nan and inf are not
        return float(value)
    names = {int: "a whole number", str: "text in quotes", bool: "true or false"}
    _expect(type(value) is hint, where, names.get(hint, str(hint)))
    return value


def _expect(holds: bool, where: str, what: str) -> None:
    if not holds:
        raise ConfigurationError(f"{where} must be {what}")


@lru_cache(maxsize=64)
def documentation(schema: Hashable) -> dict[str, str]:
    """Field name → the string that stands under the field in the source."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(typing.cast(type, schema))))
    body = typing.cast(ast.ClassDef, tree.body[0]).body
    found: dict[str, str] = {}
    for statement, following in itertools.pairwise(body):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            value = following.value if isinstance(following, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                found[statement.target.id] = " ".join(value.value.split())
    return found


def write(settings: Any, *, commented: bool) -> str:
    """The settings as TOML. `commented` puts each field's documentation above it."""
    lines: list[str] = []
    _write_table(settings, "", lines, commented=commented)
    return "\n".join(lines).strip() + "\n"


def _write_table(value: Any, prefix: str, lines: list[str], *, commented: bool) -> None:
    documents = documentation(typing.cast(Hashable, type(value)))
    nested: list[tuple[str, Any]] = []
    for field in dataclasses.fields(value):
        item = getattr(value, field.name)
        if dataclasses.is_dataclass(item):
            nested.append((field.name, item))
            continue
        if isinstance(item, tuple) and item and dataclasses.is_dataclass(item[0]):
            nested.extend((field.name, element) for element in item)
            continue
        if commented:
            lines.extend(f"# {line}" for line in textwrap.wrap(documents.get(field.name, ""), 98))
        lines.append(f"# {field.name} =" if item is None else f"{field.name} = {_literal(item)}")
    for name, item in nested:
        is_array = isinstance(getattr(value, name), tuple)
        lines.append("")
        if commented:
            lines.extend(f"# {line}" for line in textwrap.wrap(documents.get(name, ""), 98))
        lines.append(f"[[{prefix}{name}]]" if is_array else f"[{prefix}{name}]")
        _write_table(item, f"{prefix}{name}.", lines, commented=commented)


def _literal(item: Any) -> str:
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, int | float):
        return repr(item)
    if isinstance(item, enum.Enum):
        return _literal(item.value)
    if isinstance(item, tuple | list | frozenset):
        return "[" + ", ".join(_literal(element) for element in item) + "]"
    if isinstance(item, typing.Mapping):
        return "{" + ", ".join(f"{_quoted(key)} = {_literal(element)}" for key, element in item.items()) + "}"
    return _quoted(str(item))


def _quoted(text: str) -> str:
    """A basic string of TOML 1.0: quotation mark, backslash and control characters are escaped."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda found: f"\\u{ord(found.group()):04x}", escaped) + '"'
