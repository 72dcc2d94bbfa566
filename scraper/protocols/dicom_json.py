"""Read attributes of DICOM JSON (PS3.18 annex F) as servers really send it, whatever their types."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from scraper.core.schema import parse_int

DataSet = Mapping[str, Any]
_TAG = re.compile(r"[0-9A-Fa-f]{8}")


def data_sets(value: object) -> list[DataSet] | None:
    """The data sets of a response, tags in upper case; None where it is neither a list of objects nor one data set.

    Static DICOMweb creators write a single data set in place of a list of one.
    """
    if isinstance(value, Mapping) and any(_TAG.fullmatch(str(name)) for name in value):
        value = [value]
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        return None
    return [{str(tag).upper(): held for tag, held in item.items()} for item in value]


def first(tags: DataSet, tag: str) -> Any:
    """An attribute's first value; None where it has none, or not in DICOM JSON's form."""
    attribute = tags.get(tag)
    found = attribute.get("Value") if isinstance(attribute, Mapping) else None
    return found[0] if isinstance(found, list) and found else None


def text(tags: DataSet, tag: str) -> str:
    """An attribute's first value as text; empty where it is not one."""
    found = first(tags, tag)
    return str(found) if isinstance(found, str | int | float) and not isinstance(found, bool) else ""


def number(tags: DataSet, tag: str) -> int | None:
    """An attribute's first value as a whole number, however it is written; None where it is no such number."""
    return parse_int(text(tags, tag))


def person(tags: DataSet, tag: str) -> str:
    """A PN attribute as text, the ideographic group first."""
    found = first(tags, tag)
    groups = found if isinstance(found, Mapping) else {"Alphabetic": found}
    named = (groups.get(group) for group in ("Ideographic", "Alphabetic"))
    name = next((name for name in named if name and isinstance(name, str)), "")
    return name.replace("^", " ").strip()
