"""Remove the patient's identity: the Basic Application Level Confidentiality Profile (PS3.15 E.2), by a maintained library.

Attributes only: text burnt into pixels stays, with a warning. Reports and documents, whose free text
no profile can clean, are left out.
"""

from __future__ import annotations

import contextlib
import io
import secrets
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from dicomanonymizer import simpledicomanonymizer as profile  # type: ignore[import-untyped]  # no types in the wheel
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from scraper import dicom
from scraper.core.errors import CorruptInstance
from scraper.core.model import Problem
from scraper.dicom import charset, structure
from scraper.dicom.elements import PYDICOM_ERRORS, declared_charset, plain, quiet
from scraper.dicom.reading import read_file
from scraper.export.gather import Listed

_MAY_SHOW_NAMES: Final = frozenset({"US", "SC", "OT", "ES", "XC", "XA", "RF", "GM", "SM", "DOC", "IO", "OP"})
_ROOT: Final = "1.2.840.10008.5.1.4.1.1."
# SR, documents, presentation states, waveforms
_FREE_TEXT: Final = (_ROOT + "88.", _ROOT + "104.", _ROOT + "11.", _ROOT + "9.")


_OF_A_PERSON: Final = (  # PS3.15 E.1-1, action X: sequences that the library's list lacks
    "SourcePatientGroupIdentificationSequence",
    "GroupOfPatientsIdentificationSequence",
    "OtherPatientIDsSequence",
    "ReferencedPatientSequence",
    "ReferencedPatientPhotoSequence",
)
_INSIDE: Final = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "OtherPatientIDs",
    "AccessionNumber",
    "IssuerOfPatientID",
)


def _clean_inside(ds: Dataset) -> None:
    """Apply to items what the profile leaves of a person there."""
    for keyword in _OF_A_PERSON:
        if keyword in ds:
            delattr(ds, keyword)
    for element in ds:
        for item in element.value if element.VR == "SQ" else ():
            for keyword in _INSIDE:
                if keyword in item:
                    item[keyword].value = ""
            _clean_inside(item)


def _clean(ds: Dataset) -> None:
    """Apply the profile and mark the data set as de-identified (PS3.15 E.1.1)."""
    with contextlib.redirect_stdout(io.StringIO()):  # the library prints
        profile.anonymize_dataset(ds)
    _clean_inside(ds)
    ds.PatientIdentityRemoved = "YES"
    ds.DeidentificationMethod = "cloudfilm: PS3.15 Basic Profile"
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "113100", "DCM"
    code.CodeMeaning = "Basic Application Confidentiality Profile"
    ds.DeidentificationMethodCodeSequence = Sequence([code])
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID


def _new_id() -> str:
    return f"ANON{secrets.randbelow(10**8):08}"


def _key(ds: Dataset, patient_id: str) -> None:
    """Replace keys that a DICOMDIR's records need and the profile empties by dummies (PS3.15 E.1-1, action Z)."""
    if not plain(ds, "PatientID"):
        ds.PatientID = patient_id
    if not plain(ds, "StudyID"):
        ds.StudyID = patient_id


_TELLING: Final = (
    0x00100010,
    0x00100020,
    0x00080050,
    0x00101000,
    0x00102154,
)  # name, ID, accession number, other IDs, phone


def _words(path: Path) -> set[bytes]:
    """Names and numbers of the patient as the file had them, none of which may remain.

    From the bytes, since pydicom splits GBK at a second byte 0x5C, and would look for half a name.
    """
    found: set[bytes] = set()
    with structure.mapped(path) as data:
        layout = structure.layout_of(data)
        declared = declared_charset(layout)
        values = [layout.value(tag) for tag in _TELLING]
        layout.data = b""  # the map is about to be closed
    guessed = charset.suspect(values, declared)
    for value in values:
        text = charset.decode(value, declared, guessed)
        for part in text.replace("^", " ").replace("=", " ").replace("\\", " ").split():
            if len(part) >= (2 if not part.isascii() else 5):
                found |= {part.encode("utf-8"), part.encode("gb18030", "replace")}
    return found


def deidentified(listed: Iterable[Listed], folder: Path) -> tuple[list[Listed], list[Problem]]:
    """Write copies without identity to ``folder``; UIDs are replaced consistently in all of them.

    A file in which the patient's name or number can still be found is left out.
    """
    folder.mkdir(parents=True)
    clean: list[Listed] = []
    free_text, refused, burnt = [], [], []
    patients: dict[tuple[str, str], str] = {}  # Patient ID and name → the made-up ID of the copies
    profile.dictionary.clear()  # old UID to new: one mapping for one export
    series: dict[str, str] = {}
    for number, study in enumerate(listed):
        if study.header.sop_class_uid.startswith(_FREE_TEXT):
            free_text.append(study.name)
            continue
        path = folder / f"{number:06}.dcm"
        try:
            with quiet():
                ds = read_file(study.path)
                words, shown = _words(study.path), plain(ds, "BurnedInAnnotation")
                _clean(ds)
                _key(ds, patients.setdefault((study.header.patient_id, study.header.patient_name), _new_id()))
                ds.save_as(path, enforce_file_format=True)
        except (CorruptInstance, *PYDICOM_ERRORS):
            refused.append(study.name)
            path.unlink(missing_ok=True)
            continue
        tags = path.read_bytes()[: 1 << 20] if "PixelData" not in ds else _before_pixels(path)
        if any(word in tags for word in words):
            refused.append(study.name)
            path.unlink()
            continue
        if shown == "YES" or (shown != "NO" and study.header.modality in _MAY_SHOW_NAMES):
            burnt.append(study.name)
        name = series.setdefault(study.series, f"{len(series) + 1:03}")
        clean.append(replace(study, path=path, header=dicom.header(path), series=name))
    problems = (
        ("reports-left-out", free_text, False),
        ("identity-not-removed", refused, True),
        ("pixels-may-identify", burnt, False),
    )
    return clean, [Problem(code, tuple(names), fatal=fatal) for code, names, fatal in problems if names]


def _before_pixels(path: Path) -> bytes:
    data = path.read_bytes()
    at = data.rfind(b"\xe0\x7f\x10\x00")
    return data if at < 0 else data[:at]
