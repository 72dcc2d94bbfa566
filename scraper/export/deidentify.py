"""De-identify files by the Basic Application Level Confidentiality Profile (PS3.15 E.2) with its options.

Attributes only: what is burnt into pixels is named, and left out or blanked where the user says so. Reports and documents, whose
free text no profile can clean, are left out. A file in which a name, a number or a UID of the original is still found is not
taken along.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

from scraper import __version__, dicom
from scraper.core.errors import CorruptInstance
from scraper.core.model import Problem
from scraper.core.settings import BurnedIn, Retain
from scraper.dicom import charset, structure
from scraper.dicom.elements import PYDICOM_ERRORS, declared_charset, plain, quiet
from scraper.dicom.reading import read_file
from scraper.export import burned_in
from scraper.export.gather import InstanceFile
from scraper.export.persons import Person, Persons, new_key, shifted_date
from scraper.export.profile import CODES, EDITION, OF_BIRTH, Action, cleaned, retained, table

_ROOT: Final = "1.2.840.10008.5.1.4.1.1."
# SR, documents, presentation states, waveforms
_FREE_TEXT: Final = (_ROOT + "88.", _ROOT + "104.", _ROOT + "11.", _ROOT + "9.")
_TEXTS: Final = frozenset(["AE", "AS", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"])
_FREE: Final = frozenset(["LO", "LT", "SH", "ST", "UC", "UT"])
_NUMBERS: Final = frozenset(["DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"])
_PIXELS: Final = frozenset((0x7FE00008, 0x7FE00009, 0x7FE00010))
_TELLING: Final = (  # name, ID, accession number, other IDs, other names, phone, address, study ID, insurance, admission
    0x00100010,
    0x00100020,
    0x00080050,
    0x00101000,
    0x00101001,
    0x00102154,
    0x00101040,
    0x00200010,
    0x00101050,
    0x00380010,
)
_UIDS: Final = (0x0020000D, 0x0020000E, 0x00080018, 0x00200052)
_LONG_NUMBER: Final = re.compile(r"\d{4,}")
_SHORTEST_IN_PIXELS: Final = 6  # bytes of a word that pixels hold hardly by chance


@dataclass(frozen=True, slots=True)
class Deidentification:
    """What the user chose.

    Attributes:
        key: the secret that pseudonyms, dates and UIDs follow from; empty: a new one for this export.
        pseudonyms: Patient ID → pseudonym.
        retain: options of PS3.15 E.3.
        burned_in: what becomes of images that may show text.
    """

    key: bytes = field(default=b"", repr=False)
    pseudonyms: Mapping[str, str] = field(default_factory=dict, repr=False)
    retain: frozenset[Retain] = frozenset()
    burned_in: BurnedIn = BurnedIn.KEEP


@dataclass(frozen=True, slots=True)
class _Original:
    """What must not be left of one file."""

    words: frozenset[bytes] = field(repr=False)
    texts: tuple[str, ...] = field(repr=False)
    uids: frozenset[bytes] = field(repr=False)


class _Cleaner:
    """The profile over one data set and its items."""

    def __init__(self, chosen: Deidentification, persons: Persons, person: Person, original: _Original) -> None:
        self._retain = chosen.retain
        self._persons = persons
        self._person = person
        self._original = original
        self._retained = frozenset(tag for option in chosen.retain for tag in retained(option))

    def clean(self, ds: Dataset) -> None:
        """Apply it, also within items."""
        for tag in list(ds.keys()):
            number = int(tag)
            if number in _PIXELS:
                continue
            if tag.is_private or (0x5000 <= number >> 16 < 0x5100) or number & 0xFF00FFFF in (0x60003000, 0x60004000):
                del ds[tag]
                continue
            element = ds[tag]
            if element.VR == "UN":
                del ds[tag]
            elif number in self._retained:
                self._keep(element)
            else:
                self._judge(ds, element, table().get(number))

    def _judge(self, ds: Dataset, element: DataElement, action: Action | None) -> None:
        tag = int(element.tag)
        if element.VR in ("DA", "DT") and tag not in OF_BIRTH:
            self._date(element)
        elif element.VR == "UI":
            self._uid(ds, element, action)
        elif action is Action.REMOVE:
            del ds[element.tag]
        elif action is Action.EMPTY or (element.VR == "PN" and action is None):
            element.value = Sequence() if element.VR == "SQ" else None
        elif action is Action.DUMMY:
            self._dummy(element)
        elif element.VR == "SQ":
            for item in element.value:
                self.clean(item)
        elif element.VR in _FREE and self._tells(element):
            element.value = None

    def _keep(self, element: DataElement) -> None:
        """What an option retains: unmodified (action K) or without what tells of the patient (C), items cleaned.

        Dates move with all others: that a scanner was calibrated on the day of the study would betray by how much they moved.
        """
        if element.VR == "SQ":
            for item in element.value:
                self.clean(item)
        elif element.VR in ("DA", "DT"):
            self._date(element)
        elif element.VR in _FREE and (int(element.tag) in cleaned() or self._tells(element)):
            element.value = self._cleaned(element)

    def _date(self, element: DataElement) -> None:
        if Retain.LONGITUDINAL_FULL_DATES in self._retain:
            return
        values = element.value if isinstance(element.value, MultiValue) else [element.value]
        moved = [shifted_date(str(value), self._person.days) for value in values if value]
        element.value = moved if len(moved) > 1 else (moved[0] if moved else None)

    def _uid(self, ds: Dataset, element: DataElement, action: Action | None) -> None:
        if action is Action.REMOVE and Retain.UIDS not in self._retain:
            del ds[element.tag]
        elif Retain.UIDS not in self._retain and element.keyword != "SOPClassUID":
            values = element.value if isinstance(element.value, MultiValue) else [element.value]
            new = [self._persons.uid(str(value)) for value in values if value]
            element.value = new if len(new) > 1 else (new[0] if new else None)

    def _dummy(self, element: DataElement) -> None:
        match element.VR:
            case "SQ":
                for item in element.value:
                    self.clean(item)
            case "AS":
                element.value = "000Y"
            case "TM":
                element.value = "000000"
            case "UR":
                element.value = "http://anonymized.invalid"
            case vr if vr in _TEXTS:
                element.value = "ANONYMIZED"
            case vr if vr in _NUMBERS:
                element.value = 0
            case _:
                element.value = None

    def _texts(self, element: DataElement) -> list[str]:
        values = element.value if isinstance(element.value, MultiValue) else [element.value]
        return [str(value) for value in values if value]

    def _tells(self, element: DataElement) -> bool:
        return any(word in text for text in self._texts(element) for word in self._original.texts)

    def _cleaned(self, element: DataElement) -> str | None:
        words = re.compile("|".join(map(re.escape, self._original.texts)) or r"(?!)")
        cleaned = [_LONG_NUMBER.sub("", words.sub("", text)).strip() for text in self._texts(element)]
        return "\\".join(cleaned) or None


def _original(path: Path) -> _Original:
    """What must not be left in the file: the name, the numbers and the UIDs of the patient, as they stood in it.

    Out of the bytes, since pydicom parts GBK at a second byte 0x5C, and would look for half a name.
    """
    words: set[bytes] = set()
    texts: list[str] = []
    with structure.mapped(path) as data:
        layout = structure.layout_of(data)
        declared = declared_charset(layout)
        values = [layout.value(tag) for tag in _TELLING]
        uids = {layout.value(tag).strip(b"\0 ") for tag in _UIDS}
        layout.data = b""  # the map is about to be closed
    guessed = charset.suspect(values, declared)
    for value in values:
        text = charset.decode(value, declared, guessed)
        parts = [part for part in re.split(r"[\s^=\\]+", text) if len(part) >= (2 if not part.isascii() else 5)]
        whole = re.sub(r"[\s^]+", "", text.partition("=")[0].partition("\\")[0])
        for part in dict.fromkeys((whole, *parts)):
            if len(part) >= (2 if not part.isascii() else 5):
                texts.append(part)
                words |= {part.encode("utf-8", "replace"), part.encode("gb18030", "replace")}
    texts.sort(key=len, reverse=True)
    own = frozenset(uid for uid in uids if uid and not uid.startswith(b"1.2.840.10008."))
    return _Original(frozenset(words), tuple(texts), own)


def _mark(ds: FileDataset, chosen: Deidentification, person: Person, *, was_blanked: bool) -> None:
    """Who it is now, and what was done (PS3.15 E.1.1)."""
    ds.PatientID, ds.PatientName = person.pseudonym, person.pseudonym
    if not plain(ds, "StudyID"):
        ds.StudyID = person.pseudonym
    ds.PatientIdentityRemoved = "YES"
    ds.DeidentificationMethod = f"cloudfilm {__version__}: PS3.15 {EDITION} Basic Profile"
    applied: list[str] = ["basic", *sorted(chosen.retain)]
    if Retain.LONGITUDINAL_FULL_DATES in chosen.retain:
        ds.LongitudinalTemporalInformationModified = "UNMODIFIED"
    else:
        applied.append("modified-dates")
        ds.LongitudinalTemporalInformationModified = "MODIFIED"
    if was_blanked:
        applied.append("pixels")
        ds.BurnedInAnnotation = "NO"
    codes = []
    for name in applied:
        code = Dataset()
        code.CodeValue, code.CodeMeaning = CODES[name]
        code.CodingSchemeDesignator = "DCM"
        codes.append(code)
    ds.DeidentificationMethodCodeSequence = Sequence(codes)
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    for keyword in list(ds.file_meta.keys()):  # AE titles and private information of whoever wrote it
        if keyword not in (0x00020000, 0x00020001, 0x00020002, 0x00020003, 0x00020010, 0x00020012, 0x00020013):
            del ds.file_meta[keyword]
    ds.preamble = bytes(128)


def deidentified(
    listed: Iterable[InstanceFile], folder: Path, chosen: Deidentification, persons: Persons | None = None
) -> tuple[list[InstanceFile], list[Problem]]:
    """Copies without identity, in ``folder``, and what to mind; UIDs are replaced alike in all of them.

    Args:
        listed: the instances.
        folder: to make.
        chosen: by the user.
        persons: the patients, for the key table.
    """
    folder.mkdir(parents=True)
    persons = persons or Persons(chosen.key or new_key(), chosen.pseudonyms)
    copies: list[InstanceFile] = []
    noted: dict[str, list[str]] = {}
    series: dict[str, str] = {}
    studies: dict[str, str] = {}
    whose: dict[str, tuple[str, str]] = {}  # Study Instance UID → ID and name, for files of it that lack them
    listed = list(listed)
    for item in listed:
        if item.header.patient_id:
            whose.setdefault(item.header.study_instance_uid, (item.header.patient_id, item.header.patient_name))
    for number, item in enumerate(listed):
        if item.header.sop_class_uid.startswith(_FREE_TEXT):
            noted.setdefault("reports-left-out", []).append(item.name)
            continue
        path = folder / f"{number:06}.dcm"
        patient_id, name = item.header.patient_id, item.header.patient_name
        if not patient_id:
            patient_id, name = whose.get(item.header.study_instance_uid, (patient_id, name))
        code = _deidentify_file(item, path, chosen, persons, persons.of(patient_id, name))
        if code:
            noted.setdefault(code, []).append(item.name)
        if not path.exists():
            continue
        header = dicom.header(path)
        place = series.setdefault(item.series, f"{len(series) + 1:03}")
        study = studies.setdefault(item.header.study_instance_uid, f"{len(studies) + 1:03}")
        who = persons.of(patient_id, name).pseudonym
        copy = replace(item, path=path, header=header, series=place, patient=who, study=study)
        copies.append(replace(copy, name=copy.place))
    fatal = {"identity-not-removed": True, "pixels-left-out": False, "reports-left-out": False}
    return copies, [Problem(code, tuple(names), fatal=fatal.get(code, False)) for code, names in noted.items()]


def _deidentify_file(item: InstanceFile, path: Path, chosen: Deidentification, persons: Persons, person: Person) -> str:
    """Write one copy; gives the problem's code, where there is one. What may not be taken along is not there."""
    try:
        with quiet():
            ds = read_file(item.path)
            treatment = burned_in.treatment(ds, chosen.burned_in)
            if treatment is burned_in.Treatment.LEFT_OUT:
                return "pixels-left-out"
            if treatment is burned_in.Treatment.BLANKED:
                burned_in.blank(ds)
            original = _original(item.path)
            _Cleaner(chosen, persons, person, original).clean(ds)
            _mark(ds, chosen, person, was_blanked=treatment is burned_in.Treatment.BLANKED)
            ds.save_as(path, enforce_file_format=True)
    except (CorruptInstance, NotImplementedError, RuntimeError, *PYDICOM_ERRORS):
        path.unlink(missing_ok=True)
        return "identity-not-removed"
    if _leaks(path, original, keeps_uids=Retain.UIDS in chosen.retain):
        path.unlink()
        return "identity-not-removed"
    return {burned_in.Treatment.MAY_SHOW: "pixels-may-identify", burned_in.Treatment.BLANKED: "pixels-blanked"}.get(
        treatment, ""
    )


def _leaks(path: Path, original: _Original, *, keeps_uids: bool) -> bool:
    """Whether anything of the original is found in the copy: in every byte of the tags, and, where it is long, of the pixels."""
    data = path.read_bytes()
    at = data.rfind(b"\xe0\x7f\x10\x00")
    tags, pixels = (data, b"") if at < 0 else (data[:at], data[at:])
    words = original.words if keeps_uids else original.words | original.uids
    return any(word in tags for word in words) or any(
        word in pixels for word in words if len(word) >= _SHORTEST_IN_PIXELS
    )
