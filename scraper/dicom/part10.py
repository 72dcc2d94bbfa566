"""Part 10 files: told from what they are not, given their file meta where it is missing, and read.

pydicom reads the values; ``walk`` has looked at the structure before, so that it is shallow and whole.
"""

from __future__ import annotations

import io
import math
import os
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pydicom
from pydicom import config
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import BytesLengthException
from pydicom.filebase import DicomIO
from pydicom.filewriter import write_file_meta_info
from pydicom.multival import MultiValue

from scraper.core.errors import CorruptInstance
from scraper.core.model import Header
from scraper.core.reasons import Reason
from scraper.dicom import charset, structure
from scraper.protocols import codestream
from scraper.protocols.sniff import BARE_DATA_SETS, HEAD, NAMES, Kind, sniff

# pydicom checks values against their VR and complains in the log, with the value: a patient's name may be one.
config.settings.reading_validation_mode = config.IGNORE

PYDICOM_ERRORS: Final = (
    BytesLengthException,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    EOFError,
    OSError,
    ArithmeticError,
    NotImplementedError,
    RecursionError,
    AssertionError,
    MemoryError,
    struct.error,
    zlib.error,
)
"""What pydicom raises over broken bytes."""

_QUIET: Final = threading.RLock()


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings of pydicom's. Python keeps its filters for all threads alike, so one thread at a time."""
    with _QUIET, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


IMPLEMENTATION_UID: Final = "2.25.187340915028464211706138790275713204417"
IMPLEMENTATION_NAME: Final = "CLOUDFILM"
MEDIA_DIRECTORY: Final = "1.2.840.10008.1.3.10"
_TEXT_VRS: Final = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_HEADER_TAGS: Final[list[int | str | tuple[int, int]]] = [
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


def describe_fault(fault: structure.Fault) -> str:
    """A fault of structure in words, for ``CorruptInstance(what=…)``."""
    return {
        structure.Fault.TRUNCATED: Reason.DICOM_CUT_OFF,
        structure.Fault.NESTING: Reason.DICOM_NESTED_TOO_DEEP,
        structure.Fault.BROKEN: Reason.DICOM_BROKEN,
        structure.Fault.DEFLATE: Reason.DICOM_NOT_INFLATED,
    }[fault]


def dataset(layout: structure.Layout, tags: list[int | str | tuple[int, int]] | None = None) -> Dataset:
    """The values, without pixels, of a layout whose structure is sound (or was cut off: then what stands before the cut).

    Raises:
        CorruptInstance: pydicom can't read them.
    """
    if layout.fault in {structure.Fault.NESTING, structure.Fault.BROKEN, structure.Fault.DEFLATE}:
        raise CorruptInstance(what=describe_fault(layout.fault))
    stops = [element.offset for tag, element in layout.elements.items() if tag in structure.PIXEL_TAGS]
    end = min(stops) - (8 if layout.implicit else 12) if stops else layout.end
    start = layout.start
    view = io.BytesIO(bytes(layout.data[start : max(start, end)]))
    try:
        with quiet():
            return pydicom.filereader.read_dataset(view, layout.implicit, layout.little, specific_tags=_tags(tags))
    except PYDICOM_ERRORS as err:
        raise CorruptInstance(what=Reason.DICOM_VALUES_UNREADABLE) from err


def _tags(tags: list[int | str | tuple[int, int]] | None) -> list[Any] | None:
    return None if tags is None else [pydicom.tag.Tag(tag) for tag in tags]


def raw_texts(layout: structure.Layout, ds: Dataset) -> list[bytes]:
    """The undecoded text values of the top level."""
    found = []
    for tag in layout.elements:
        vr = dictionary_vr(tag) if layout.implicit else layout.elements[tag].vr
        if vr in _TEXT_VRS and tag in ds and tag >> 16 != 0x7FE0:
            found.append(layout.value(tag))
    return found


def dictionary_vr(tag: int) -> str:
    """The Value Representation that the standard gives a tag; empty where it knows none."""
    try:
        return str(pydicom.datadict.dictionary_VR(tag))
    except KeyError:
        return ""


def declared_charset(layout: structure.Layout) -> list[str]:
    """Specific Character Set, value by value."""
    text = layout.text(0x00080005)
    return [part.strip() for part in text.split("\\")] if text else []


def first(ds: Dataset, keyword: str) -> Any:
    """The (first) value of an element, None where there is none or it can't be read."""
    try:
        value = ds.get(keyword)
    except PYDICOM_ERRORS:
        return None
    if isinstance(value, MultiValue | list | tuple):
        return value[0] if len(value) else None
    return None if value in ("", b"") else value


def numbers(ds: Dataset, keyword: str, count: int | None = None) -> tuple[float, ...] | None:
    """All values as finite floats, None where they are absent, unreadable or not ``count``."""
    try:
        value = ds.get(keyword)
        values = value if isinstance(value, MultiValue | list | tuple) else [value]
        found = tuple(float(item) for item in values if item is not None and item != "")
    except PYDICOM_ERRORS:
        return None
    if not found or not all(map(math.isfinite, found)) or (count is not None and len(found) != count):
        return None
    return found


def integer(ds: Dataset, keyword: str) -> int | None:
    """The first value as an int."""
    value = first(ds, keyword)
    try:
        return None if value is None else int(float(str(value)))
    except (ValueError, OverflowError):
        return None


def plain(ds: Dataset, keyword: str) -> str:
    """The first value as text without padding."""
    value = first(ds, keyword)
    return "" if value is None else str(value).strip("\0 ")


def sequence(ds: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence; none where absent or unreadable."""
    try:
        value = ds.get(keyword)
        return list(value) if isinstance(value, pydicom.Sequence) else []
    except PYDICOM_ERRORS:
        return []


def frame_planes(ds: Dataset) -> list[tuple[tuple[float, ...] | None, tuple[float, ...] | None]]:
    """(position, orientation) of each frame of an enhanced multi-frame image (PS3.3 C.7.6.16.2.3, .4); empty for others."""
    shared = next(iter(sequence(ds, "SharedFunctionalGroupsSequence")), Dataset())
    planes = []
    for group in sequence(ds, "PerFrameFunctionalGroupsSequence"):
        position = orientation = None
        for source in (group, shared):
            for item in sequence(source, "PlanePositionSequence"):
                position = position or numbers(item, "ImagePositionPatient", 3)
            for item in sequence(source, "PlaneOrientationSequence"):
                orientation = orientation or numbers(item, "ImageOrientationPatient", 6)
        planes.append((position, orientation))
    return planes


def _clock(text: str) -> float:
    """A TM value as seconds; -1 where there is none."""
    digits = text.replace(":", "")
    try:
        return int(digits[:2]) * 3600 + int(digits[2:4] or 0) * 60 + float(digits[4:] or 0)
    except ValueError:
        return -1.0


def _order(ds: Dataset) -> tuple[float, ...]:
    """What tells instances at one position apart: acquisition, echo, temporal position, trigger time, b-value, kind, time."""
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
    """The header from values already read; ``guessed`` is the character set that the bytes betray."""
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
    """What a Part 10 file says of itself; no pixels are read. A file that is cut off behind its identity still has a header.

    Raises:
        CorruptInstance: not a Part 10 file, unreadable, or a DICOMDIR.
    """
    with structure.mapped(path) as data:
        return _identified(_said_by(structure.part10(data)))


def anonymous_header(path: Path) -> Header:
    """As ``header``, also of a file that says nothing of what it is.

    Raises:
        CorruptInstance: not a Part 10 file, unreadable, or a DICOMDIR.
    """
    with structure.mapped(path) as data:
        return _said_by(structure.part10(data))


def _identified(found: Header) -> Header:
    if not (found.sop_instance_uid or found.sop_class_uid or found.study_instance_uid or found.rows):
        raise CorruptInstance(what=Reason.DICOM_WITHOUT_IDENTITY)
    return found


def _said_by(layout: structure.Layout) -> Header:
    """The header of a walked file whose map is about to be closed: its layout lets go of it."""
    try:
        if layout.meta_text(0x0002) == MEDIA_DIRECTORY:
            raise CorruptInstance(what=Reason.DICOMDIR)
        ds = dataset(layout, _HEADER_TAGS)
        guessed = charset.suspect(
            [layout.value(tag) for tag in (0x00100010, 0x00100020, 0x00081030, 0x0008103E)],
            declared_charset(layout),
        )
        return header_of(layout, ds, guessed)
    finally:
        layout.data = b""


def _bare_syntax(layout: structure.Layout) -> str:
    """The Transfer Syntax of a bare data set: what its encoding shows, or what its first fragment is.

    Raises:
        CorruptInstance: encapsulated pixels of a kind that can't be told.
    """
    if layout.fragments is None:
        return layout.transfer_syntax_uid
    for offset, length in layout.fragments[1:]:
        fragment = bytes(layout.data[offset : offset + length])
        if codestream.rle_segments(fragment):
            return codestream.RLE_LOSSLESS
        return codestream.read(fragment).transfer_syntax_uid
    raise CorruptInstance(what=Reason.DATA_SET_WITHOUT_PIXELS)


def file_meta(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """Preamble, prefix and group 0002 (PS3.10 7.1)."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = pydicom.uid.UID(sop_class_uid)
    meta.MediaStorageSOPInstanceUID = pydicom.uid.UID(sop_instance_uid)
    meta.TransferSyntaxUID = pydicom.uid.UID(transfer_syntax_uid)
    meta.ImplementationClassUID = pydicom.uid.UID(IMPLEMENTATION_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_NAME
    out = io.BytesIO()
    out.write(b"\0" * 128 + b"DICM")
    write_file_meta_info(DicomIO(out), meta, enforce_standard=False)
    return _with_group_length(out.getvalue())


def _with_group_length(raw: bytes) -> bytes:
    """Group length (0002,0000) in front of the rest, where the writer left it out."""
    body = raw[132:]
    if body[:4] == b"\x02\x00\x00\x00":
        return raw
    return raw[:132] + struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(body)) + body


def _missing_part(data: structure.Buffer, kind: Kind) -> bytes:
    """What has to stand before the bytes to make them a Part 10 file.

    Raises:
        CorruptInstance: the data set is cut off, or says too little of itself.
    """
    if kind is Kind.META_FIRST:
        return b"\0" * 128 + (b"" if bytes(data[:4]) == b"DICM" else b"DICM")
    layout = structure.layout_of(data)
    if layout.fault is not None:
        raise CorruptInstance(what=describe_fault(layout.fault))
    ds = dataset(layout, _HEADER_TAGS)
    sop_class, sop_instance = plain(ds, "SOPClassUID"), plain(ds, "SOPInstanceUID")
    syntax = _bare_syntax(layout)
    layout.data = b""
    if not sop_class or not sop_instance:
        raise CorruptInstance(what=Reason.DATA_SET_WITHOUT_IDENTITY)
    return file_meta(sop_class, sop_instance, syntax)


def settle(path: Path) -> Header:
    """Make what a site served as one instance a Part 10 file, in place, and read its header.

    A Part 10 file is left byte for byte. A data set without preamble or file meta gets them, its own bytes unchanged.

    Raises:
        CorruptInstance: anything else (an HTML page, a picture), a file that is cut off, or one without identity.
    """
    _complete(path)
    with _whole(path) as layout:
        found = _identified(_said_by(layout))
    if not found.sop_instance_uid:
        raise CorruptInstance(what=Reason.DICOM_WITHOUT_IDENTITY)
    return found


def admit(path: Path) -> None:
    """As ``settle``, for whom somebody else reads the header later: half the work.

    Raises:
        CorruptInstance: as ``settle``; values that can't be read are left to that later look.
    """
    _complete(path)
    with _whole(path) as layout:
        if layout.meta_text(0x0002) == MEDIA_DIRECTORY:
            raise CorruptInstance(what=Reason.DICOMDIR)
        if not layout.text(0x00080018):
            raise CorruptInstance(what=Reason.DICOM_WITHOUT_IDENTITY)


def _complete(path: Path) -> None:
    """Put preamble and file meta in front of a data set that came without; a Part 10 file stays as it is.

    Raises:
        CorruptInstance: neither of the two.
    """
    with structure.mapped(path) as data:
        kind = sniff(bytes(data[:HEAD]))
        if kind is Kind.PART10:
            return
        if kind is not Kind.META_FIRST and kind not in BARE_DATA_SETS:
            raise CorruptInstance(what=NAMES[kind])
        whole = path.with_name(path.name + ".settled")
        front = _missing_part(data, kind)
        with whole.open("wb") as out:
            out.write(front)
            for at in range(0, len(data), 1 << 20):
                out.write(data[at : at + (1 << 20)])
            out.flush()
            os.fsync(out.fileno())
    whole.replace(path)


@contextmanager
def _whole(path: Path) -> Iterator[structure.Layout]:
    """The layout of a Part 10 file to its last byte.

    Raises:
        CorruptInstance: it is cut off or broken.
    """
    with structure.mapped(path) as data:
        layout = structure.part10(data)
        try:
            if layout.fault is not None:
                raise CorruptInstance(what=describe_fault(layout.fault))
            yield layout
        finally:
            layout.data = b""  # the map is about to be closed
