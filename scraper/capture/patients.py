"""Decide whether two studies are of one patient, and report a study that was left out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from scraper.core.model import Header, Problem
from scraper.core.reasons import Reason

MAX_ASKED: Final = 5  # further studies of which it is asked whose they are
_NO_LETTERS: Final = re.compile(r"[\W_]+")


def are_same_patient(header: Header, other: Header) -> bool:
    """Whether two objects bear one Patient ID, and no names that contradict it.

    Names are compared where both are of one script: a name and its transcription do not contradict each other.
    """
    if not header.patient_id.strip() or header.patient_id.strip() != other.patient_id.strip():
        return False
    names = [_NO_LETTERS.sub("", item.patient_name).casefold() for item in (header, other)]
    return not all(names) or names[0] == names[1] or names[0].isascii() != names[1].isascii()


def why_not(header: Header) -> Reason:
    """Why a study that is not shown to be the patient's is left out."""
    return Reason.ANOTHER_PATIENT if header.patient_id.strip() else Reason.PATIENT_UNKNOWN


def left_out(reasons: Mapping[Reason, int]) -> list[Problem]:
    """The problems that name further studies: why they were not saved, and how many for each reason."""
    return [Problem("further-study", values={"count": count, "why": why}) for why, count in reasons.items() if count]
