"""Convert values of our own types to plain JSON and back, checked by type: the only form that leaves a child process."""

from __future__ import annotations

import base64
import types
import typing
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any


def to_plain(value: Any) -> Any:  # noqa: PLR0911  # a case for each kind of value
    """A value as JSON has it: dataclasses as objects, paths and bytes as texts."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): to_plain(inner) for name, inner in value.items()}
    if isinstance(value, (Sequence, set, frozenset)):
        return [to_plain(inner) for inner in value]
    return str(value)


def from_plain(kind: Any, value: Any) -> Any:  # noqa: C901, PLR0911, PLR0912  # a case for each kind of type
    """A JSON value as a value of the type.

    Raises:
        TypeError, ValueError: it is of another kind.
    """
    if kind is Any or kind is object:
        return value
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return _one_of(inner, value)
    if kind is None or kind is type(None):
        if value is not None:
            raise TypeError
        return None
    if origin is tuple:
        return _tuple(inner, value)
    if origin in (list, set, frozenset):
        return origin(from_plain(inner[0], item) for item in _expected(value, list))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        named = _expected(value, dict)
        return {from_plain(inner[0], name): from_plain(inner[1], item) for name, item in named.items()}
    if origin in (Iterable, Collection, Sequence):
        return [from_plain(inner[0], item) for item in _expected(value, list)]
    if kind is float and type(value) is int:
        return float(value)
    if kind in (bool, int, float, str):
        if type(value) is not kind:
            raise TypeError(kind)
        return value
    if kind is bytes:
        return base64.b64decode(_expected(value, str), validate=True)
    if isinstance(kind, type) and issubclass(kind, Path):
        return kind(_expected(value, str))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    if isinstance(kind, type) and is_dataclass(kind):
        hints = _hints(kind)
        given = _expected(value, dict)
        return kind(**{name: from_plain(hints[name], item) for name, item in given.items() if name in hints})
    raise TypeError(kind)


def _one_of(kinds: tuple[Any, ...], value: Any) -> Any:
    for kind in kinds:
        try:
            return from_plain(kind, value)
        except (TypeError, ValueError):
            continue
    raise TypeError(kinds)


def _tuple(kinds: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    given = _expected(value, list)
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(from_plain(kinds[0], item) for item in given)
    return tuple(from_plain(kind, item) for kind, item in zip(kinds, given, strict=True))


def _expected(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError(kind)
    return value


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)
