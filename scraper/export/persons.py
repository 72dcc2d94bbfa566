"""Pseudonyms of a de-identified export: per person a new ID and name, a secret shift of dates, new UIDs, and the key table.

All of it follows from one secret key: with the same key, another export gives the same person the same pseudonym.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from scraper.core.errors import NotWritable, UnreadableFile, UsageError

KEY_BYTES: Final = 32
MOST_DAYS: Final = 3650
# what a DT has after its day (PS3.5 6.2); anything else would be a text of the original's
_TIME: Final = re.compile(r"(?:\d{2}){0,3}(?:\.\d{1,6})?(?:[+-]\d{4})?", re.ASCII)
_STANDARD: Final = "1.2.840.10008."


def new_key() -> bytes:
    """A secret for one export."""
    return secrets.token_bytes(KEY_BYTES)


def key_of(path: Path) -> bytes:
    """The secret of a file, which is made, 0600, where it is not there.

    Raises:
        UnreadableFile: no such key. NotWritable: it can't be made.
    """
    try:
        key = bytes.fromhex(path.read_text(encoding="utf-8-sig").strip())
    except FileNotFoundError:
        key = new_key()
        private_file(path, key.hex() + "\n")
    except (OSError, ValueError) as err:
        raise UnreadableFile(path=str(path)) from err
    if len(key) < KEY_BYTES:
        raise UnreadableFile(path=str(path))
    return key


def private_file(path: Path, text: str) -> None:
    """Write a new file that its owner alone can read.

    Raises:
        NotWritable: it is there already, or can't be made.
    """
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8-sig") as out:
            out.write(text)
    except OSError as err:
        raise NotWritable(path=str(path)) from err


def pseudonyms_of(path: Path) -> dict[str, str]:
    """Patient ID → pseudonym, from a CSV file with the columns ``patient_id`` and ``pseudonym``.

    Raises:
        UnreadableFile: no such file, or no text. UsageError: a column lacks, or two people get one pseudonym.
    """
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeError, csv.Error) as err:
        raise UnreadableFile(path=str(path)) from err
    if any(row.get("patient_id") is None or row.get("pseudonym") is None for row in rows):
        raise UsageError(f"{path.name}: patient_id, pseudonym")
    found = {row["patient_id"].strip(): row["pseudonym"].strip() for row in rows if row["pseudonym"].strip()}
    if len(set(found.values())) < len(found):
        raise UsageError(f"{path.name}: two rows have the same pseudonym")
    return found


@dataclass(frozen=True, slots=True)
class Person:
    """One patient of the export. ``patient_id`` and ``name`` are the real ones: they go to the key table alone."""

    pseudonym: str
    days: int
    patient_id: str = field(repr=False)
    name: str = field(repr=False)


class Persons:
    """The patients of one export.

    Args:
        key: the secret.
        given: Patient ID → pseudonym, chosen by the user.
    """

    def __init__(self, key: bytes, given: Mapping[str, str] | None = None) -> None:
        self._key = key
        self._given = given or {}
        self._known: dict[str, Person] = {}

    def of(self, patient_id: str, name: str) -> Person:
        """The patient with this ID; one without an ID is identified by the name."""
        identity = f"id:{patient_id}" if patient_id else f"name:{name}"
        if identity not in self._known:
            pseudonym = (
                self._given.get(patient_id) or "P" + base64.b32encode(self._digest("person", identity))[:10].decode()
            )
            days = 1 + int.from_bytes(self._digest("days", identity)[:8], "big") % MOST_DAYS
            self._known[identity] = Person(pseudonym, -days, patient_id, name)
        return self._known[identity]

    def uid(self, uid: str) -> str:
        """The UID that stands for another; the standard's own stay."""
        if not uid or uid.startswith(_STANDARD):
            return uid
        return "2.25." + str(int.from_bytes(self._digest("uid", uid)[:16], "big"))

    def table(self) -> str:
        """The key table: who each pseudonym is, as CSV."""
        rows = [(person.pseudonym, person.patient_id, person.name, str(person.days)) for person in self._known.values()]
        lines = [("pseudonym", "patient_id", "patient_name", "days"), *sorted(rows)]
        return "".join(",".join(f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in line) + "\r\n" for line in lines)

    def _digest(self, kind: str, words: str) -> bytes:
        return hmac.new(self._key, f"{kind}\0{words}".encode("utf-8", "surrogatepass"), hashlib.sha256).digest()


def shifted_date(text: str, days: int) -> str:
    """A date (DA) or date and time (DT) so many days later; empty where it is none."""
    head, rest = text[:8], text[8:].rstrip()
    if not _TIME.fullmatch(rest):
        return ""
    try:
        day = date(int(head[:4]), int(head[4:6]), int(head[6:8])) if len(head) == 8 else None
        moved = day + timedelta(days=days) if day is not None else None
    except (ValueError, OverflowError):
        return ""
    return moved.strftime("%Y%m%d").rjust(8, "0") + rest if moved is not None else ""
