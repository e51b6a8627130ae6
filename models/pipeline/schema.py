"""A table of TOML as a dataclass whose fields carry rules. All faults are collected, with near names for unknown keys.

    @dataclass(frozen=True, kw_only=True)
    class Input:
        crop: int = whole(1, 1024)

pydantic would do this as well, but its import alone takes 100 ms.
"""

import dataclasses
import difflib
import re
import typing
from dataclasses import field
from pathlib import Path


def rule(what: str, met: typing.Callable[[typing.Any], bool], **default: object) -> typing.Any:
    """A field with what is expected of it in words and as a test; without a default it must be given."""
    return field(metadata={"what": what, "met": met}, **default)


def text(what: str = "text", pattern: str = r"(?s).*\S.*", **default: object) -> typing.Any:
    return rule(what, lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None, **default)


def one_of(*choices: str, **default: object) -> typing.Any:
    return rule("one of " + ", ".join(choices), lambda value: value in choices, **default)


def some_of(*choices: str, **default: object) -> typing.Any:
    what = "a list of " + ", ".join(choices)
    return rule(what, lambda value: isinstance(value, list) and all(entry in choices for entry in value), **default)


def whole(least: int, most: int, **default: object) -> typing.Any:
    what = f"a whole number from {least} to {most}"
    return rule(what, lambda value: type(value) is int and least <= value <= most, **default)


def number(least: float, most: float, **default: object) -> typing.Any:
    what = f"a number from {least:g} to {most:g}"
    return rule(what, lambda value: type(value) in (int, float) and least <= value <= most, **default)


def three(what: str, met: typing.Callable[[float], bool]) -> typing.Any:
    def met_by_all(values: object) -> bool:
        whole = isinstance(values, list) and len(values) == 3
        return whole and all(type(value) in (int, float) and met(value) for value in values)

    return rule(f"three numbers {what}", met_by_all)


def flag(default: bool) -> typing.Any:
    return rule("true or false", lambda value: isinstance(value, bool), default=default)


Refuse = typing.Callable[[str, str, object], None]
"""Adds a fault: what was expected, for which key, what was received."""


def build(kind: type, table: dict, prefix: str, file: Path, faults: list[str], refuse: Refuse) -> typing.Any:
    """The dataclass `kind` filled from a table, or None once there are faults; `prefix` is that of the table's keys."""
    hints = typing.get_type_hints(kind)
    fields = {entry.name: entry for entry in dataclasses.fields(kind)}
    faults += unknown(table, list(fields), prefix, file)
    values = {}
    for name, entry in fields.items():
        key = f"{prefix}{name}"
        if dataclasses.is_dataclass(hints[name]):
            inner = table.get(name, {})
            if not isinstance(inner, dict):
                refuse("a table", key, repr(inner))
                inner = {}
            values[name] = build(hints[name], inner, f"{key}.", file, faults, refuse)
        elif name in table:
            values[name] = tuple(table[name]) if isinstance(table[name], list) else table[name]
            if not entry.metadata["met"](table[name]):
                refuse(entry.metadata["what"], key, repr(table[name]))
        elif entry.default is dataclasses.MISSING:
            refuse(entry.metadata["what"], key, "nothing")
    return None if faults else kind(**values)


def unknown(keys: typing.Iterable[str], known: list[str], prefix: str, file: Path) -> list[str]:
    """A fault for each key that is not known."""
    faults = []
    for key in sorted(set(keys) - set(known)):
        near = difflib.get_close_matches(key, known, n=1)
        hint = f', perhaps meant as "{prefix}{near[0]}"' if near else ""
        faults.append(f'Expected a known key for {file} but received "{prefix}{key}"{hint}')
    return faults
