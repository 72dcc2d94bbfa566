"""Copy a file for an archive with other values of some attributes, or another Transfer Syntax. Runs in a child process."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

from scraper.core.errors import UsageError
from scraper.dicom.elements import PYDICOM_ERRORS, quiet
from scraper.dicom.reading import read_file

_NEVER: Final = frozenset(
    {
        "SOPClassUID",
        "SOPInstanceUID",
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "FrameOfReferenceUID",
        "SpecificCharacterSet",
        "OriginalAttributesSequence",
    }
)
_TEXTS: Final = frozenset(
    ["AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UR", "UT"]
)


def keyword_of(name: str) -> str:
    """The keyword that ``PatientID`` or ``00100020`` names, of an attribute that may be set.

    Raises:
        UsageError: unknown, or one of those that tell objects apart or describe pixels.
    """
    tag = tag_for_keyword(name)
    if tag is None and len(name) == 8:
        try:
            tag = int(name, 16)
        except ValueError:
            tag = None
    keyword = keyword_for_tag(tag) if tag is not None else ""
    if not keyword or tag is None:
        raise UsageError(f"--set {name}: no attribute of DICOM's dictionary")
    group = tag >> 16
    if keyword in _NEVER or group in (0x0002, 0x0028, 0x7FE0) or dictionary_VR(tag) not in _TEXTS:
        raise UsageError(f"--set {keyword}: this attribute is never changed")
    return keyword


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
                _change(ds, changes)
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
    except (*PYDICOM_ERRORS, RuntimeError, NotImplementedError) as err:
        return type(err).__name__
    return ""


def _change(ds: Dataset, changes: dict[str, str]) -> None:
    before = Dataset()
    if not all(value.isascii() for value in changes.values()):
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
