"""Copy a file for an archive with other values of some attributes, or another Transfer Syntax. Runs in a child process."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydicom import config
from pydicom.datadict import dictionary_VM, dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID
from pydicom.valuerep import validate_value

from scraper.core.errors import CorruptInstance, UsageError
from scraper.core.safe_text import visible
from scraper.dicom import charset, structure
from scraper.dicom.elements import PYDICOM_ERRORS, dataset, declared_charset, quiet, raw_texts
from scraper.dicom.reading import read_file

_NEVER: Final = frozenset(
    {
        # which object it is
        "SOPClassUID",
        "SOPInstanceUID",
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "FrameOfReferenceUID",
        "SpecificCharacterSet",
        "OriginalAttributesSequence",
        # what it is, where it lies, and what was done to it
        "ImageType",
        "PatientPosition",
        "PatientOrientation",
        "PatientIdentityRemoved",
        "DeidentificationMethod",
        "LongitudinalTemporalInformationModified",
        "CompletionFlag",
        "VerificationFlag",
    }
)
# commands, file meta, DICOMDIR, pixels; 50xx and 60xx (curves, overlays) describe pixels, too
_NEVER_GROUPS: Final = frozenset((0x0000, 0x0002, 0x0004, 0x0028, 0x7FE0))
_PATIENT: Final = 0x0010
_TEXTS: Final = frozenset(
    ["AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UR", "UT"]
)
_NUMBERS: Final = frozenset(["DS", "IS"])
_PARAGRAPHS: Final = frozenset(["LT", "ST", "UT"])  # one value, in which a backslash is a letter (PS3.5 6.2)
_LINES: Final = "\r\n\t\f"
MOST_CHARACTERS: Final = 10_240  # of one value: what LT has; UC and UT have no bound of their own


def keyword_of(name: str) -> str:
    """The keyword that ``PatientID`` or ``00100020`` names, of an attribute that may be set.

    Raises:
        UsageError: unknown, or one of those that tell objects apart, describe pixels, or were measured.
    """
    tag = tag_for_keyword(name)
    if tag is None and re.fullmatch(r"[0-9A-Fa-f]{8}", name):
        tag = int(name, 16)
    keyword = keyword_for_tag(tag) if tag is not None else ""
    if not keyword or tag is None:
        raise UsageError(f"--set {name}: no attribute of DICOM's dictionary")
    group, vr = tag >> 16, dictionary_VR(tag)
    is_measured = vr in _NUMBERS and group != _PATIENT  # a position, a spacing, a place in a series
    if keyword in _NEVER or group in _NEVER_GROUPS or group >= 0x5000 or vr not in _TEXTS or is_measured:
        raise UsageError(f"--set {keyword}: this attribute is never changed")
    return keyword


def value_of(keyword: str, value: str) -> str:
    """The value, where the attribute may have it (PS3.5 6.2): its length, its characters, how many values.

    Raises:
        UsageError: it may not; the message names the attribute, not the value.
    """
    tag = tag_for_keyword(keyword) or 0
    vr = dictionary_VR(tag)
    is_paragraph = vr in _PARAGRAPHS
    values = [value] if is_paragraph or vr == "UR" else value.split("\\")
    is_sound = len(value) <= MOST_CHARACTERS and (len(values) == 1 or dictionary_VM(tag) != "1")
    for char in value:
        is_sound &= unicodedata.category(char) not in ("Cc", "Cs") or (is_paragraph and char in _LINES)
    # marks that turn the direction of a text, and others that no eye sees
    is_sound &= visible(value, keep=_LINES) == value
    try:
        for item in values:
            validate_value(vr, item, config.RAISE)
    except ValueError:
        is_sound = False
    if not is_sound:
        raise UsageError(f"--set {keyword}: {vr}")
    return value


def copy_for_archive(path: Path, target: Path, changes: dict[str, str], syntax: str) -> str:
    """Write ``target``: the file with these values, and in this Transfer Syntax where one is given.

    What stood there before is kept in Original Attributes Sequence (PS3.3 C.12.1.1.9).

    Returns:
        why it can't be done; empty where it is.
    """
    try:
        with quiet():
            ds = read_file(path)
            own = ds.file_meta.TransferSyntaxUID
            if changes:
                _change(ds, changes, path)
            if syntax and syntax != own:
                if own.is_compressed and "PixelData" in ds:
                    ds.decompress(generate_instance_uid=False)
                ds.file_meta.TransferSyntaxUID = UID(syntax)
                wanted = UID(syntax)
                ds.save_as(
                    target,
                    implicit_vr=wanted.is_implicit_VR,
                    little_endian=wanted.is_little_endian,
                    enforce_file_format=True,
                )
            else:
                ds.save_as(target, enforce_file_format=True)
    except (*PYDICOM_ERRORS, CorruptInstance, RuntimeError, NotImplementedError) as err:
        return type(err).__name__
    return ""


def _change(ds: Dataset, changes: dict[str, str], path: Path) -> None:
    before = Dataset()
    if not all(value.isascii() for value in changes.values()):
        guessed = _actual_charset(path)
        if guessed:
            ds.SpecificCharacterSet = guessed
        ds.decode()
        ds.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in changes.items():
        tag = tag_for_keyword(keyword) or 0
        if keyword in ds:
            before.add(ds[keyword])
        else:
            before.add(DataElement(tag, dictionary_VR(tag), None))
        ds.add(DataElement(tag, dictionary_VR(tag), value))
    item = Dataset()
    item.AttributeModificationDateTime = datetime.now(UTC).strftime("%Y%m%d%H%M%S+0000")
    item.ModifyingSystem = "cloudfilm"
    item.SourceOfPreviousValues = ""
    item.ReasonForTheAttributeModification = "COERCE"
    item.ModifiedAttributesSequence = Sequence([before])
    earlier = list(ds.get("OriginalAttributesSequence") or ())
    ds.OriginalAttributesSequence = Sequence([*earlier, item])


def _actual_charset(path: Path) -> str:
    """In which characters a file's texts are written, where it names others: they are about to be written again."""
    with structure.mapped(path) as data:
        layout = structure.part10(data)
        guessed = charset.suspect(raw_texts(layout, dataset(layout)), declared_charset(layout))
        layout.data = b""  # the map is about to be closed
    return "" if guessed == "unknown" else guessed
