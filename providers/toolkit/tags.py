"""A viewer's words as DICOM tags, by a table: keyword → where the value stands.

facts: fixtures/sites/zfp_image_provider/README.md, fixtures/sites/wlycloud/README.md
"""

from __future__ import annotations

import re
from collections.abc import Mapping

DECIMAL = re.compile(r"[-+]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][-+]?\d+)?")
DECIMALS = frozenset(
    (
        "ImageOrientationPatient",
        "ImagePositionPatient",
        "PixelSpacing",
        "RescaleIntercept",
        "RescaleSlope",
        "SliceLocation",
        "SliceThickness",
        "WindowCenter",
        "WindowWidth",
    )
)
POSITIVE = frozenset(("PixelSpacing", "SliceThickness", "WindowWidth"))
TOGETHER = (("RescaleSlope", "RescaleIntercept"), ("WindowCenter", "WindowWidth"))  # one without the other says nothing


def read_tags(table: Mapping[str, str], **records: object) -> dict[str, str]:
    """The tags that the records give; a date, a time, a number or a pair that is none is left out, and nothing is invented.

    Args:
        table: keyword → ``record.name``; names separated by blanks are the values of one tag, all of them or none.
        records: mappings, or replies.
    """
    found = {
        keyword: _joined(keyword, [_text(records, path) for path in paths.split()]) for keyword, paths in table.items()
    }
    for pair in TOGETHER:
        if not all(found.get(keyword) for keyword in pair):
            found |= dict.fromkeys(pair, "")
    if not any(float(value) for value in found.get("ImageOrientationPatient", "").split("\\") if value):
        found["ImageOrientationPatient"] = ""
    return {keyword: value for keyword, value in found.items() if value}


def _text(records: Mapping[str, object], path: str) -> str:
    value: object = records
    for step in path.split("."):
        value = value.get(step) if isinstance(value, Mapping) else getattr(value, step, None)
    if isinstance(value, float):
        exact = repr(value)
        return exact if len(exact) <= 16 and not value.is_integer() else f"{value:.10g}"
    return "" if value is None else str(value).strip()


def _joined(keyword: str, values: list[str]) -> str:
    if keyword in DECIMALS:
        values = [value if DECIMAL.fullmatch(value) else "" for value in values]
    if keyword in POSITIVE:
        values = [value if value and float(value) > 0 else "" for value in values]
    if keyword.endswith("Date"):
        values = [_date(value) for value in values]
    if keyword.endswith("Time"):
        values = [_time(value) for value in values]
    return "\\".join(values) if all(values) else ""


def _date(value: str) -> str:
    digits = re.sub(r"[-/.]", "", value)
    sound = len(digits) == 8 and digits.isdigit() and "01" <= digits[4:6] <= "12" and "01" <= digits[6:] <= "31"
    return digits if sound else ""


def _time(value: str) -> str:
    digits, _, fraction = value.replace(":", "").partition(".")
    sound = len(digits) == 6 and digits.isdigit() and digits < "240000" and digits[2] < "6" and digits[4] < "6"
    return (digits + (f".{fraction[:6]}" if fraction.isdigit() else "")) if sound else ""
