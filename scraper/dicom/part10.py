"""Part 10 files: recognise them, and add missing file meta."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomIO
from pydicom.filewriter import write_file_meta_info

from scraper.core.errors import CorruptInstance
from scraper.core.model import Header
from scraper.core.reasons import Reason
from scraper.core.sniff import BARE_DATA_SETS, HEAD, NAMES, Kind, sniff
from scraper.dicom import codestream, long_files, structure
from scraper.dicom.elements import dataset, describe_fault, plain
from scraper.dicom.headers import HEADER_TAGS, MEDIA_DIRECTORY, header_of_layout, identified

IMPLEMENTATION_UID: Final = "2.25.187340915028464211706138790275713204417"
IMPLEMENTATION_NAME: Final = "CLOUDFILM"


def _bare_syntax(layout: structure.Layout) -> str:
    """The Transfer Syntax of a bare data set, from its encoding, or from its first fragment.

    Raises:
        CorruptInstance: encapsulated pixels of an unknown kind.
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
    """Prepend the group length (0002,0000) where the writer left it out."""
    body = raw[132:]
    if body[:4] == b"\x02\x00\x00\x00":
        return raw
    return raw[:132] + struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(body)) + body


def missing_part(data: structure.Buffer, bounds: structure.Bounds) -> bytes:
    """The bytes to prepend to make data a Part 10 file; none where they are one.

    Raises:
        CorruptInstance: no data set, a truncated one, or one that lacks what file meta needs. WalkTooLong: it takes more
            than ``bounds``.
    """
    kind = sniff(bytes(data[:HEAD]))
    if kind is Kind.PART10:
        return b""
    if kind is not Kind.META_FIRST and kind not in BARE_DATA_SETS:
        raise CorruptInstance(what=NAMES[kind])
    if kind is Kind.META_FIRST:
        return b"\0" * 128 + (b"" if bytes(data[:4]) == b"DICM" else b"DICM")
    layout = structure.layout_of(data, bounds)
    if layout.fault is not None:
        raise CorruptInstance(what=describe_fault(layout.fault))
    ds = dataset(layout, HEADER_TAGS)
    sop_class, sop_instance = plain(ds, "SOPClassUID"), plain(ds, "SOPInstanceUID")
    syntax = _bare_syntax(layout)
    layout.data = b""
    if not sop_class or not sop_instance:
        raise CorruptInstance(what=Reason.DATA_SET_WITHOUT_IDENTITY)
    return file_meta(sop_class, sop_instance, syntax)


def normalise(path: Path) -> Header:
    """Make one served instance a Part 10 file, in place, and read its header.

    A Part 10 file is left byte for byte. A data set without preamble or file meta gets them, its own bytes unchanged.

    Raises:
        CorruptInstance: anything else (an HTML page, a picture), a truncated file, or one without identity.
    """
    _complete(path)
    try:
        return header_of_whole(path, structure.bounds_here())
    except structure.WalkTooLong:
        return long_files.header_of_whole(path)


def header_of_whole(path: Path, bounds: structure.Bounds) -> Header:
    """The header of a Part 10 file that is whole and identifies itself.

    Raises:
        CorruptInstance: it does not. WalkTooLong: it takes more than ``bounds``.
    """
    with _whole(path, bounds) as layout:
        found = identified(header_of_layout(layout))
    if not found.sop_instance_uid:
        raise CorruptInstance(what=Reason.DICOM_WITHOUT_IDENTITY)
    return found


def ensure_part10(path: Path) -> None:
    """Like ``normalise`` without reading the header, which takes half the time.

    Raises:
        CorruptInstance: as ``normalise``; unreadable values are noticed only when the header is read.
    """
    _complete(path)
    try:
        check_whole(path, structure.bounds_here())
    except structure.WalkTooLong:
        long_files.check_whole(path)


def check_whole(path: Path, bounds: structure.Bounds) -> None:
    """Check that a Part 10 file is whole and names its instance.

    Raises:
        CorruptInstance: it is not, or does not. WalkTooLong: it takes more than ``bounds``.
    """
    with _whole(path, bounds) as layout:
        if layout.meta_text(0x0002) == MEDIA_DIRECTORY:
            raise CorruptInstance(what=Reason.DICOMDIR)
        if not layout.text(0x00080018):
            raise CorruptInstance(what=Reason.DICOM_WITHOUT_IDENTITY)


def _complete(path: Path) -> None:
    """Prepend preamble and file meta to a bare data set; a Part 10 file stays unchanged.

    Raises:
        CorruptInstance: neither of the two.
    """
    with structure.mapped(path) as data:
        try:
            front = missing_part(data, structure.bounds_here())
        except structure.WalkTooLong:
            front = long_files.missing_part(path)
        if not front:
            return
        whole = path.with_name(path.name + ".settled")
        with whole.open("wb") as out:
            out.write(front)
            for at in range(0, len(data), 1 << 20):
                out.write(data[at : at + (1 << 20)])
            out.flush()
            os.fsync(out.fileno())
    whole.replace(path)


@contextmanager
def _whole(path: Path, bounds: structure.Bounds) -> Iterator[structure.Layout]:
    """The layout of a complete Part 10 file.

    Raises:
        CorruptInstance: it is truncated or broken.
    """
    with structure.mapped(path) as data:
        layout = structure.part10(data, bounds)
        try:
            if layout.fault is not None:
                raise CorruptInstance(what=describe_fault(layout.fault))
            yield layout
        finally:
            layout.data = b""  # the map is about to be closed
