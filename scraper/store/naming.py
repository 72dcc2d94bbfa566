"""A study's folder by a template of the user's: ``{label}_{date}_{modality}``."""

from __future__ import annotations

import re
from string import Formatter
from typing import Final

from scraper.core.errors import UsageError
from scraper.core.model import Study
from scraper.store.place import safe_name, study_folder_name

FIELDS: Final = ("date", "modality", "patient", "description", "label")
_EMPTY: Final = "\0"  # stands for a value that is not known, until the separators around it are gone


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
    name = re.sub(rf"[ _.\-]*{_EMPTY}", _EMPTY, name)
    name = re.sub(rf"^{_EMPTY}+[ _.\-]*", "", name).replace(_EMPTY, "")
    return safe_name(name) or study_folder_name(study)
