"""Names of folders: safe on every system, the usual ones, and by the user's template (``{label}_{date}_{modality}``)."""

from __future__ import annotations

import re
import unicodedata
from string import Formatter
from typing import Final

from scraper.core.errors import UsageError
from scraper.core.model import Study

LONGEST_NAME: Final = 80  # characters of one folder name; Windows takes 260 for a whole path
FIELDS: Final = ("date", "modality", "patient", "description", "label")
_RESERVED: Final = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?$")
_EMPTY: Final = "\0"  # placeholder of an unknown value, until the separators around it are removed


def safe_name(text: str, fallback: str = "") -> str:
    """A file or folder name that Windows, macOS and Linux take; text in any script survives, nothing can leave the folder.

    Source: the names that Windows reserves, its nine forbidden characters, and its dislike of a final dot or blank.
    """
    text = text[: 20 * LONGEST_NAME]  # a site's text may have megabytes, and what follows cuts letter by letter
    text = unicodedata.normalize("NFC", text.replace("^", " ").replace("=", " "))
    name = "".join("_" if char in '<>:"/\\|?*' or unicodedata.category(char)[0] == "C" else char for char in text)
    name = re.sub(r"\s+", " ", name).strip(" .")
    while len(name.encode()) > 3 * LONGEST_NAME or len(name) > LONGEST_NAME:
        name = name[:-1].rstrip(" .")
    if _RESERVED.match(name):
        name = "_" + name
    return name or fallback


def study_folder_name(study: Study) -> str:
    """``<StudyDate>_<Modality>_<PatientName>_<StudyDescription>``; what is not known is left out."""
    parts = (safe_name(part) for part in (study.date, study.modality, study.patient_name, study.description))
    return safe_name("_".join(part for part in parts if part), "study")


def series_folder_name(number: int | None, description: str) -> str:
    """``<SeriesNumber, 3 digits>_<SeriesDescription>``."""
    digits = f"{number:03d}" if number is not None and 0 <= number < 10**6 else "000"
    return safe_name(f"{digits}_{safe_name(description)}".rstrip("_"), "000")


def check(template: str) -> None:
    """Reject a template that names no known field, or more than a folder's name.

    Raises:
        UsageError: an unknown field, a brace without its other, or a path.
    """
    try:
        pieces = list(Formatter().parse(template))
    except ValueError as err:
        raise UsageError(f"--name {template}: {err}") from err
    fields = [field for _, field, _, _ in pieces if field is not None]
    is_plain = not any(spec or conversion for _, _, spec, conversion in pieces)
    if not fields or not is_plain or set(fields) - set(FIELDS):
        known = ", ".join(f"{{{field}}}" for field in FIELDS)
        raise UsageError(f"--name {template}: {known}")
    if any(mark in literal for literal, _, _, _ in pieces for mark in "/\\"):
        raise UsageError(f"--name {template}: / \\")


def folder_name(template: str, study: Study, label: str) -> str:
    """The folder's name; a value that is not known goes with the separators before it.

    Args:
        template: checked; empty: the usual name.
        study: gives the values.
        label: what the list calls the source.
    """
    if not template:
        return study_folder_name(study)
    values = {
        "date": study.date,
        "modality": study.modality,
        "patient": study.patient_name,
        "description": study.description,
        "label": label,
    }
    name = template.format_map({field: safe_name(value) or _EMPTY for field, value in values.items()})
    name = re.sub(rf"(?<![ _.\-])[ _.\-]*+{_EMPTY}", _EMPTY, name)
    name = re.sub(rf"^{_EMPTY}+[ _.\-]*", "", name).replace(_EMPTY, "")
    return safe_name(name) or study_folder_name(study)
