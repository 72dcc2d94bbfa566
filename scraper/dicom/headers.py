"""Read the header of a Part 10 file: identity, geometry and order, without pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydicom.dataset import Dataset

from scraper.core.errors import CorruptInstance
from scraper.core.model import Header
from scraper.core.reasons import Reason
from scraper.dicom import charset, long_files, structure
from scraper.dicom.elements import dataset, declared_charset, frame_planes, integer, numbers, plain

MEDIA_DIRECTORY: Final = "1.2.840.10008.1.3.10"
HEADER_TAGS: Final[list[int | str | tuple[int, int]]] = [
    "SpecificCharacterSet",
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "PatientID",
    "PatientName",
    "StudyDate",
    "StudyDescription",
    "SeriesNumber",
    "SeriesDescription",
    "InstanceNumber",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "AcquisitionNumber",
    "EchoNumbers",
    "EchoTime",
    "TemporalPositionIdentifier",
    "TriggerTime",
    "DiffusionBValue",
    "AcquisitionTime",
    "ImageType",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]


def _clock(text: str) -> float:
    """A TM value in seconds; -1 where absent."""
    digits = text.replace(":", "")
    try:
        return int(digits[:2]) * 3600 + int(digits[2:4] or 0) * 60 + float(digits[4:] or 0)
    except ValueError:
        return -1.0


def _order(ds: Dataset) -> tuple[float, ...]:
    """The key that orders instances at one position: acquisition, echo, temporal position, trigger time, b-value, kind, time."""
    ordered = [
        (numbers(ds, keyword) or (-1.0,))[0]
        for keyword in (
            "TemporalPositionIdentifier",
            "AcquisitionNumber",
            "EchoNumbers",
            "EchoTime",
            "TriggerTime",
            "DiffusionBValue",
        )
    ]
    return (*ordered, _clock(plain(ds, "AcquisitionTime")))


def header_of(layout: structure.Layout, ds: Dataset, guessed: str = "") -> Header:
    """The header from values already read; ``guessed`` is the character set that the bytes really have."""
    declared = declared_charset(layout)

    def text(tag: int) -> str:
        return charset.decode(layout.value(tag), declared, guessed).strip("\0 ")

    position = numbers(ds, "ImagePositionPatient", 3)
    orientation = numbers(ds, "ImageOrientationPatient", 6)
    if position is None and "PerFrameFunctionalGroupsSequence" in ds:
        planes = frame_planes(ds)
        position, orientation = planes[0] if planes else (None, None)
    return Header(
        sop_instance_uid=plain(ds, "SOPInstanceUID"),
        sop_class_uid=plain(ds, "SOPClassUID"),
        series_instance_uid=plain(ds, "SeriesInstanceUID"),
        study_instance_uid=plain(ds, "StudyInstanceUID"),
        transfer_syntax_uid=layout.transfer_syntax_uid,
        modality=plain(ds, "Modality"),
        patient_id=text(0x00100020),
        patient_name=text(0x00100010),
        study_date=plain(ds, "StudyDate"),
        study_description=text(0x00081030),
        series_number=integer(ds, "SeriesNumber"),
        series_description=text(0x0008103E),
        instance_number=integer(ds, "InstanceNumber"),
        rows=integer(ds, "Rows"),
        columns=integer(ds, "Columns"),
        frames=integer(ds, "NumberOfFrames"),
        position=position,  # type: ignore[arg-type]  # numbers() counted them
        orientation=orientation,  # type: ignore[arg-type]
        order=_order(ds),
    )


def header(path: Path) -> Header:
    """Read a Part 10 file's header without pixels; a file truncated after its identity still has one.

    Raises:
        CorruptInstance: not a Part 10 file, unreadable, or a DICOMDIR.
    """
    return identified(anonymous_header(path))


def anonymous_header(path: Path) -> Header:
    """Like ``header``, also for a file without identity.

    Raises:
        CorruptInstance: not a Part 10 file, unreadable, or a DICOMDIR.
    """
    try:
        return header_within(path, structure.bounds_here())
    except structure.WalkTooLong:
        return long_files.header(path)


def header_within(path: Path, bounds: structure.Bounds) -> Header:
    """The same, of a file that takes no more than ``bounds``.

    Raises:
        CorruptInstance: as ``header``. WalkTooLong: it takes more.
    """
    with structure.mapped(path) as data:
        return header_of_layout(structure.part10(data, bounds))


def identified(found: Header) -> Header:
    """The header itself.

    Raises:
        CorruptInstance: it identifies nothing.
    """
    if not (found.sop_instance_uid or found.sop_class_uid or found.study_instance_uid or found.rows):
        raise CorruptInstance(what=Reason.DICOM_WITHOUT_IDENTITY)
    return found


def header_of_layout(layout: structure.Layout) -> Header:
    """The header of a mapped file that is about to be closed; its layout releases the map."""
    try:
        if layout.meta_text(0x0002) == MEDIA_DIRECTORY:
            raise CorruptInstance(what=Reason.DICOMDIR)
        ds = dataset(layout, HEADER_TAGS)
        guessed = charset.suspect(
            [layout.value(tag) for tag in (0x00100010, 0x00100020, 0x00081030, 0x0008103E)], declared_charset(layout)
        )
        return header_of(layout, ds, guessed)
    finally:
        layout.data = b""
