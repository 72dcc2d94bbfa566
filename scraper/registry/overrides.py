"""Local overrides: new values of a provider's constants (a site's new key), in the user's data folder.

``learn --save`` writes them. Data only: names and texts, held against the constants that they replace. An override counts as
long as the program's own value is the one that it replaces; a release with another value ends it.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from scraper.core.disk import disk_errors
from scraper.core.errors import WrongOverride
from scraper.core.reasons import Reason
from scraper.core.settings import data_folder
from scraper.registry.constants import Value, constants, fits, put

if TYPE_CHECKING:
    from scraper.contract import Provider

NAME: Final = "overrides.json"
MAX_BYTES: Final = 1 << 16
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_applied: dict[str, Mapping[str, Value]] = {}


@dataclass(frozen=True, slots=True)
class Override:
    """The new values of one provider's constants; ``is_outdated``: the program has other values by now, so none is used."""

    provider: str
    since: str
    values: Mapping[str, Value]
    is_outdated: bool = False


def path() -> Path:
    """The file of all overrides."""
    return data_folder() / NAME


def names() -> list[str]:
    """The names of all providers that have an override.

    Raises:
        WrongOverride: the file can't be used.
    """
    return sorted(_whole())


def saved(provider: type[Provider]) -> Override | None:
    """The override of a provider; None where there is none.

    Raises:
        WrongOverride: the file or the provider's part of it can't be used.
    """
    part = _whole().get(provider.name)
    return None if part is None else _override(provider, part)


def apply(provider: type[Provider]) -> None:
    """Have a provider use its override, or the program's own values where it has none.

    Raises:
        WrongOverride: the file or the provider's part of it can't be used.
    """
    found = saved(provider)
    values = found.values if found is not None and not found.is_outdated else {}
    if values != _applied.get(provider.name, {}):
        put(provider, values)
        _applied[provider.name] = values


def in_use(provider: type[Provider]) -> Mapping[str, Value]:
    """The values that ``apply`` put last."""
    return _applied.get(provider.name, {})


def save(provider: type[Provider], values: Mapping[str, Value]) -> Override:
    """Write the new values of a provider's constants; earlier ones of other constants stay.

    Raises:
        WrongOverride: the file that is there can't be used. DiskFull, NotWritable: the disk refuses.
    """
    whole, mine = _whole(), constants(provider)
    every = {**in_use(provider), **values}
    rows = {name: {**_shown(value), "replaces": _shown(mine[name])} for name, value in sorted(every.items())}
    whole[provider.name] = {"since": time.strftime("%Y-%m-%d"), "constants": rows}
    target = path()
    part = target.with_suffix(".part")
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(whole, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        part.replace(target)
    return _override(provider, whole[provider.name])


def _whole() -> dict[str, Any]:
    target = path()
    try:
        if not target.is_file():
            return {}
        whole = json.loads(target.read_bytes()) if target.stat().st_size <= MAX_BYTES else None
    except (OSError, ValueError, RecursionError) as err:
        raise WrongOverride(path=str(target), what=Reason.OVERRIDE_NO_JSON) from err
    if not isinstance(whole, dict):
        raise WrongOverride(path=str(target), what=Reason.OVERRIDE_NO_JSON)
    return whole


def _override(provider: type[Provider], part: Any) -> Override:
    """One provider's part, checked: its constants exist, and each new value is of its constant's kind."""
    since = part.get("since") if isinstance(part, dict) else None
    rows = part.get("constants") if isinstance(part, dict) else None
    if not isinstance(since, str) or not _DATE.fullmatch(since) or not isinstance(rows, dict) or not rows:
        raise WrongOverride(path=str(path()), what=Reason.OVERRIDE_NO_CONSTANTS.of(provider=provider.name))
    mine, values, is_outdated = constants(provider), dict[str, Value](), False
    for name, row in rows.items():
        new, replaced = _read(row), _read(row.get("replaces") if isinstance(row, dict) else None)
        old = mine.get(name)
        if new is None or replaced is None or (old is not None and not fits(old, new)):
            raise WrongOverride(path=str(path()), what=Reason.OVERRIDE_NO_VALUE.of(provider=provider.name, name=name))
        values[name], is_outdated = new, is_outdated or replaced != old
    return Override(provider.name, since, values, is_outdated)


def _shown(value: Value) -> dict[str, str]:
    """A value as JSON has it: its text, or the hexadecimal of its bytes."""
    return {"text": value} if isinstance(value, str) else {"hex": value.hex()}


def _read(row: Any) -> Value | None:
    """The value of a row; None where it holds none."""
    if not isinstance(row, dict):
        return None
    text, packed = row.get("text"), row.get("hex")
    try:
        return bytes.fromhex(packed) if isinstance(packed, str) else text if isinstance(text, str) else None
    except ValueError:
        return None
