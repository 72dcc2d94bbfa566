"""Convert a site's values to DICOM's: numbers from text, dates in their form, VRs from the dictionary.

Sources: PS3.5 6.2 (Value Representations), PS3.6 (dictionary), PS3.18 annex F (DICOM JSON).
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from pydicom.datadict import dictionary_VR, private_dictionary_VR, tag_for_keyword
from pydicom.tag import Tag
from pydicom.valuerep import format_number_as_ds

from scraper.core.model import Tags, TagValue

TEXT_VRS: Final = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_WHOLE_TEXT: Final = frozenset({"LT", "ST", "UT", "UR"})  # a backslash is a sign like any other (PS3.5 6.4)
_INTEGERS: Final = {
    "US": (0, 0xFFFF),
    "SS": (-0x8000, 0x7FFF),
    "UL": (0, 0xFFFFFFFF),
    "SL": (-0x80000000, 0x7FFFFFFF),
    "UV": (0, (1 << 64) - 1),
    "SV": (-(1 << 63), (1 << 63) - 1),
}
BYTES_VRS: Final = frozenset({"OB", "OW", "OF", "OD", "OL", "OV", "UN"})
_UID: Final = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*")


class Unusable(Exception):
    """The value does not fit the element's VR."""


def tag_of(name: str) -> int | None:
    """The tag of a keyword, ``GGGGEEEE`` or ``GGGG,EEEE``; None where it is not one."""
    bare = name.replace(",", "").strip("() ")
    if re.fullmatch(r"[0-9A-Fa-f]{8}", bare):
        return int(bare, 16)
    return tag_for_keyword(name)


def bare(value: TagValue) -> TagValue:
    """The single number or text of a DICOM JSON object without its VR."""
    if isinstance(value, Mapping):
        inside = value.get("Value")
        return inside if isinstance(inside, list) else None
    return value


def by_tag(tags: Tags) -> dict[str, TagValue]:
    """The tags by ``GGGGEEEE``; other names stay unchanged."""
    tagged = ((tag_of(name), name, value) for name, value in tags.items())
    return {name if tag is None else f"{tag:08X}": value for tag, name, value in tagged}


def lookup(tags: Tags, keyword: str) -> TagValue:
    """The value of a keyword in tags from ``by_tag``."""
    return bare(tags.get(f"{tag_of(keyword):08X}"))


def vr_of(tag: int, creator: str, *, signed: bool) -> str:
    """The VR of the dictionary (private ones by their creator); UN where unknown (PS3.5 6.2.2).

    Args:
        tag: the tag.
        creator: the private creator of its block, empty for standard tags.
        signed: Pixel Representation, which decides ``US or SS``.
    """
    try:
        vr = private_dictionary_VR(Tag(tag), creator) if tag >> 16 & 1 else dictionary_VR(tag)
    except KeyError:
        return "UN"
    if vr == "US or SS":
        return "SS" if signed else "US"
    return {"US or OW": "OW", "OB or OW": "OW", "US or SS or OW": "OW"}.get(vr, vr)


def _integer(text: object, low: int, high: int) -> int:
    try:
        number = float(str(text).strip())
        whole = int(number) if number.is_integer() else None
    except (ValueError, OverflowError) as err:
        raise Unusable from err
    if isinstance(text, int):
        whole = text
    if whole is None or not low <= whole <= high:
        raise Unusable
    return whole


def _decimal(text: object) -> str:
    """A DS of at most 16 characters (PS3.5 6.2)."""
    written = str(text).strip()
    try:
        number = float(written)
    except ValueError as err:
        raise Unusable from err
    if not math.isfinite(number):
        raise Unusable
    return (
        written if len(written) <= 16 and re.fullmatch(r"[0-9+\-.eE]+", written) else str(format_number_as_ds(number))
    )


def _date(text: object) -> str:
    match = re.match(r"\s*(\d{4})[-./]?(\d{1,2})[-./]?(\d{1,2})(?=$|[T\s])", str(text))
    if match is None:
        raise Unusable
    try:
        return date(int(match[1]), int(match[2]), int(match[3])).strftime("%Y%m%d")
    except ValueError as err:
        raise Unusable from err


def _time(text: object) -> str:
    match = re.fullmatch(r"\s*(?:\d{4}-\d\d-\d\d[T ])?(\d\d):?(\d\d)?:?(\d\d)?(\.\d{1,6})?\d*\s*", str(text))
    if match is None or int(match[1]) > 23 or int(match[2] or 0) > 59 or int(match[3] or 0) > 60:
        raise Unusable
    return "".join(part or "" for part in match.groups())


def _uid(text: object) -> str:
    uid = str(text).strip("\0 ")
    if len(uid) > 64 or not _UID.fullmatch(uid):
        raise Unusable
    return uid


def _person(value: object) -> str:
    if isinstance(value, Mapping):
        parts = [str(value.get(kind, "") or "") for kind in ("Alphabetic", "Ideographic", "Phonetic")]
        return "=".join(parts).rstrip("=")
    return str(value).strip("\0 ")


def _tag(value: object) -> int:
    tag = tag_of(str(value))
    if tag is None:
        raise Unusable
    return tag


def _single_value(value: object, vr: str) -> object:  # noqa: C901, PLR0911, PLR0912 - one arm a VR
    if value is None or (isinstance(value, str) and not value.strip("\0 ") and vr not in {"LT", "ST", "UT"}):
        return ""
    if isinstance(value, bool):
        value = int(value)
    match vr:
        case "PN":
            return _person(value)
        case "UI":
            return _uid(value)
        case "DS":
            return _decimal(value)
        case "IS":
            return str(_integer(value, -(1 << 31), (1 << 31) - 1))
        case "US" | "SS" | "UL" | "SL" | "UV" | "SV":
            return _integer(value, *_INTEGERS[vr])
        case "FL" | "FD":
            return float(_decimal_as_float(value))
        case "DA":
            return _date(value)
        case "TM":
            return _time(value)
        case "AT":
            return _tag(value)
        case _:
            if isinstance(value, Mapping | list):
                raise Unusable
            text = str(value).rstrip("\0")
            return text if vr in _WHOLE_TEXT else text.strip(" ")


def _decimal_as_float(value: object) -> float:
    try:
        number = float(str(value))
    except ValueError as err:
        raise Unusable from err
    if not math.isfinite(number):
        raise Unusable
    return number


def _split(value: TagValue, vr: str) -> list[Any]:
    if isinstance(value, list):
        return value
    if isinstance(value, str) and vr not in _WHOLE_TEXT:
        return value.split("\\")
    return [value]


def read(value: TagValue, vr: str) -> object:
    """Convert a value (a list where there are several) to the form that pydicom wants.

    Raises:
        Unusable: it does not fit this VR: a time of 08:21:80, text in place of a number, invalid base64.
    """
    if vr in BYTES_VRS:
        if vr == "UN" and isinstance(value, str | int | float):
            return str(value).encode("utf-8")
        if value is None or value in ("", []):
            return b""
        raise Unusable
    if value is None or value == []:
        return ""
    found = [_single_value(part, vr) for part in _split(value, vr)]
    if vr not in {"DS", "IS"} and vr not in TEXT_VRS and vr not in {"CS", "AS", "UI", "DA", "TM", "DT", "UR", "AE"}:
        found = [part for part in found if part != ""]
    return found[0] if len(found) == 1 else (found or "")


def inline(text: object) -> bytes:
    """InlineBinary of DICOM JSON (PS3.18 F.2.7).

    Raises:
        Unusable: invalid base64.
    """
    try:
        return base64.b64decode(str(text), validate=True)
    except (binascii.Error, ValueError) as err:
        raise Unusable from err
