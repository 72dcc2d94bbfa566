"""De-identify files by the Basic Application Level Confidentiality Profile (PS3.15 E.2) with its options.

Attributes only: what is burnt into pixels is named, and left out or blanked where the user says so. Reports and documents, whose
free text no profile can clean, are left out. A file in which a name, a number or a UID of the original is still found is not
taken along.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as DicomSequence

from scraper import __version__, dicom
from scraper.core.errors import CorruptInstance
from scraper.core.model import Header, Problem
from scraper.core.settings import BurnedIn, Retain
from scraper.dicom import elements
from scraper.dicom.elements import PYDICOM_ERRORS, plain, quiet
from scraper.dicom.frames import count_frames
from scraper.dicom.reading import read_file
from scraper.export import burned_in
from scraper.export.gather import InstanceFile
from scraper.export.persons import Person, Persons, shifted_date
from scraper.export.profile import CODES, EDITION, OF_BIRTH, Action, cleaned, retained, table
from scraper.export.traces import Original, leaks, original_of
from scraper.verify import Inspector

_ROOT: Final = "1.2.840.10008.5.1.4.1.1."
# SR, documents, presentation states, waveforms
_FREE_TEXT: Final = (_ROOT + "88.", _ROOT + "104.", _ROOT + "11.", _ROOT + "9.")
_TEXTS: Final = frozenset(["AE", "AS", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"])
_FREE: Final = frozenset(["LO", "LT", "SH", "ST", "UC", "UT"])
_NUMBERS: Final = frozenset(["DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"])
_BYTES: Final = frozenset(["OB", "OW", "OF", "OD", "OL", "OV", "OB or OW"])
# groups whose bytes describe pixels, segments and surfaces; elsewhere they may hold a document, or anything (FFFC,FFFC)
_BYTE_GROUPS: Final = frozenset((0x0028, 0x0066, 0x7FE0))
_PIXELS: Final = frozenset((0x7FE00008, 0x7FE00009, 0x7FE00010))
_LONG_NUMBER: Final = re.compile(r"\d{4,}")
NOT_REMOVED: Final = "identity-not-removed"
LEFT_OUT: Final = frozenset((NOT_REMOVED, "pixels-left-out"))
_AT_ONCE: Final = 64  # files that are waited for at the same time


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
class FileTreatment:
    """What becomes of one person's file; crosses to the process that works on it.

    Attributes:
        key: the secret that UIDs follow from.
        retain: options of PS3.15 E.3.
        burned_in: what becomes of images that may show text.
        pseudonym: of the person.
        days: that dates move.
    """

    key: bytes = field(repr=False)
    retain: frozenset[Retain]
    burned_in: BurnedIn
    pseudonym: str
    days: int


class _Cleaner:
    """The profile over one data set and its items."""

    def __init__(self, treatment: FileTreatment, original: Original) -> None:
        self._retain = treatment.retain
        self._persons = Persons(treatment.key)
        self._days = treatment.days
        self._original = original
        self._retained = frozenset(tag for option in treatment.retain for tag in retained(option))

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
            if element.VR == "UN" or (element.VR in _BYTES and number >> 16 not in _BYTE_GROUPS):
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
            element.value = DicomSequence() if element.VR == "SQ" else None
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
        moved = [shifted_date(str(value), self._days) for value in values if value]
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
        texts = [text.casefold() for text in self._texts(element)]
        return any(word.casefold() in text for text in texts for word in self._original.texts)

    def _cleaned(self, element: DataElement) -> str | None:
        words = re.compile("|".join(map(re.escape, self._original.texts)) or r"(?!)", re.IGNORECASE)
        cleaned = [_LONG_NUMBER.sub("", words.sub("", text)).strip() for text in self._texts(element)]
        return "\\".join(cleaned) or None


def _mark(ds: FileDataset, chosen: FileTreatment, *, was_blanked: bool) -> None:
    """Who it is now, and what was done (PS3.15 E.1.1)."""
    ds.PatientID, ds.PatientName = chosen.pseudonym, chosen.pseudonym
    if not plain(ds, "StudyID"):
        ds.StudyID = chosen.pseudonym
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
    ds.DeidentificationMethodCodeSequence = DicomSequence(codes)
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    for keyword in list(ds.file_meta.keys()):  # AE titles and private information of whoever wrote it
        if keyword not in (0x00020000, 0x00020001, 0x00020002, 0x00020003, 0x00020010, 0x00020012, 0x00020013):
            del ds.file_meta[keyword]
    ds.preamble = bytes(128)


def _persons_of(listed: Sequence[InstanceFile], persons: Persons) -> Callable[[InstanceFile], Person]:
    """Whose an instance is; one without Patient ID is taken for the one whose study it is of."""
    whose: dict[str, tuple[str, str]] = {}  # Study Instance UID → ID and name
    for item in listed:
        if item.header.patient_id:
            whose.setdefault(item.header.study_instance_uid, (item.header.patient_id, item.header.patient_name))

    def person_of(item: InstanceFile) -> Person:
        own = item.header.patient_id, item.header.patient_name
        return persons.of(*(own if own[0] else whose.get(item.header.study_instance_uid, own)))

    return person_of


async def deidentified(
    listed: Iterable[InstanceFile], folder: Path, chosen: Deidentification, persons: Persons, inspector: Inspector
) -> tuple[list[InstanceFile], list[Problem]]:
    """Copies without identity, in ``folder``, and what to mind; UIDs are replaced alike in all of them.

    Args:
        listed: the instances.
        folder: to make.
        chosen: by the user; ``key`` is the one of ``persons``.
        persons: the patients, for the key table.
        inspector: whose processes read the files, and may write into the folder.
    """
    folder.mkdir(parents=True)
    copies: list[InstanceFile] = []
    noted: dict[str, list[str]] = {}
    series: dict[str, str] = {}
    studies: dict[str, str] = {}
    listed = list(listed)
    person_of = _persons_of(listed, persons)

    async def made(number: int, item: InstanceFile) -> tuple[Path, str]:
        path, person = folder / f"{number:06}.dcm", person_of(item)
        wanted = FileTreatment(chosen.key, chosen.retain, chosen.burned_in, person.pseudonym, person.days)
        code = await inspector.apart(deidentify_file, item.path, path, wanted)
        is_short = code not in LEFT_OUT and _header(path) is None
        if code is None or is_short or code in LEFT_OUT:  # what a process left that died over it
            path.unlink(missing_ok=True)
        return path, NOT_REMOVED if code is None or is_short else code

    for item in listed:
        if item.header.sop_class_uid.startswith(_FREE_TEXT):
            noted.setdefault("reports-left-out", []).append(item.name)
    rest = [item for item in listed if not item.header.sop_class_uid.startswith(_FREE_TEXT)]
    for start in range(0, len(rest), _AT_ONCE):
        some = rest[start : start + _AT_ONCE]
        done = await asyncio.gather(*(made(start + place, item) for place, item in enumerate(some)))
        for item, (path, code) in zip(some, done, strict=True):
            if code:
                noted.setdefault(code, []).append(item.name)
            header = _header(path)
            if header is None:
                continue
            place = series.setdefault(item.series, f"{len(series) + 1:03}")
            study = studies.setdefault(item.header.study_instance_uid, f"{len(studies) + 1:03}")
            who = person_of(item).pseudonym
            copy = replace(item, path=path, header=header, series=place, patient=who, study=study)
            copies.append(replace(copy, name=copy.place))
    fatal = {NOT_REMOVED: True, "pixels-left-out": False, "reports-left-out": False}
    return copies, [Problem(code, tuple(names), fatal=fatal.get(code, False)) for code, names in noted.items()]


def _header(path: Path) -> Header | None:
    """The header of a copy; None where there is none."""
    if path.is_symlink() or not path.is_file():
        return None
    try:
        return dicom.header(path)
    except CorruptInstance:
        return None


def deidentify_file(source: Path, path: Path, chosen: FileTreatment) -> str:
    """Write one copy; gives the problem's code, where there is one. What may not be taken along is not there.

    Runs in a child process: the file is a stranger's, and blanking takes the codecs, which are C.
    """
    try:
        with quiet():
            ds = read_file(source)
            treatment = burned_in.treatment(ds, chosen.burned_in)
            if treatment is burned_in.Treatment.LEFT_OUT:
                return "pixels-left-out"
            if treatment is burned_in.Treatment.BLANKED:
                burned_in.blank(ds)
            original = original_of(source)
            _Cleaner(chosen, original).clean(ds)
            _cut_behind_pixels(ds)
            _mark(ds, chosen, was_blanked=treatment is burned_in.Treatment.BLANKED)
            ds.save_as(path, enforce_file_format=True)
            del ds  # its pixels; the copy's are about to be looked at
    except (CorruptInstance, NotImplementedError, RuntimeError, *PYDICOM_ERRORS):
        path.unlink(missing_ok=True)
        return NOT_REMOVED
    if leaks(path, original, keeps_uids=Retain.UIDS in chosen.retain):
        path.unlink()
        return NOT_REMOVED
    return {burned_in.Treatment.MAY_SHOW: "pixels-may-identify", burned_in.Treatment.BLANKED: "pixels-blanked"}.get(
        treatment, ""
    )


def _cut_behind_pixels(ds: FileDataset) -> None:
    """Take away what stands behind the last pixel of native pixel data: no viewer shows it, and it may be anything."""
    if "PixelData" not in ds or ds.file_meta.TransferSyntaxUID.is_compressed:
        return
    names = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated")
    rows, columns, samples, bits = (elements.integer(ds, name) or 0 for name in names)
    length = -(-rows * columns * samples * bits * count_frames(ds) // 8)
    length += length % 2
    if 0 < length < len(ds.PixelData):
        ds["PixelData"].value = ds.PixelData[:length]
