"""A CD's layout: unchanged files under names of eight characters, and the DICOMDIR that lists them.

Several files may share one SOP Instance UID, or lack one: each gets its own record.

Sources: PS3.10 chapter 8 (File IDs, DICOMDIR), PS3.3 F.3 (how records are linked).
"""

from __future__ import annotations

import io
import shutil
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final

from pydicom.dataset import Dataset
from pydicom.filebase import DicomIO
from pydicom.filewriter import write_dataset

from scraper.core.errors import CorruptInstance
from scraper.core.model import Problem
from scraper.core.reasons import Reason
from scraper.dicom.elements import PYDICOM_ERRORS, quiet
from scraper.dicom.headers import MEDIA_DIRECTORY
from scraper.dicom.part10 import file_meta
from scraper.dicom.structure import EXPLICIT_LITTLE
from scraper.export.gather import InstanceFile, LeftOut, problems_of
from scraper.export.records import Record, RecordSource, described, made_up_uid, of_file

_FILE_SET_ID: Final = b"CLOUDFILM "
_NEXT_AT, _LOWER_AT = (8, 30)  # bytes into a record: the values of (0004,1400) and (0004,1420), which stand first


@dataclass(slots=True)
class _Node:
    """A record, its folder on the disc, and the records below it."""

    folder: tuple[str, ...]
    data: bytes = b""
    below: dict[str, _Node] = field(default_factory=dict)


class _Disc:
    """The tree of records of one disc.

    Args:
        made: the disc's folder on this computer.
    """

    def __init__(self, made: Path) -> None:
        self._made = made
        self.root = _Node(())
        self.files = 0
        self.completed: dict[str, list[str]] = {}  # keyword → files for whose record it was made up

    def add(self, instance: InstanceFile, source: RecordSource, patient_id: str) -> None:
        """Copy a file to its place, and write its record and the records above it.

        Raises:
            PYDICOM_ERRORS: a record can't be written; nothing was added then.
        """
        uid = source.sop_instance_uid or made_up_uid("instance", instance.name)
        file_record = of_file(source, ("IM000000",), instance.index, uid)
        encoded(file_record.finished())
        node = self.root
        for prefix, key, record in self._above(source, patient_id):
            if key not in node.below:
                data = encoded(record.finished())
                node.below[key] = _Node((*node.folder, f"{prefix}{len(node.below):06}"), data)
                self._note(record, instance.name)
            node = node.below[key]
        name = f"IM{len(node.below):06}"
        file_record.ds.ReferencedFileID = [*node.folder, name]
        node.below[name] = _Node((), encoded(file_record.finished()))
        self._note(file_record, instance.name)
        target = self._made.joinpath(*node.folder, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(instance.path, target)
        self.files += 1

    def _note(self, record: Record, name: str) -> None:
        for keyword in record.made_up:
            self.completed.setdefault(keyword, []).append(name)

    def _above(self, source: RecordSource, patient_id: str) -> Iterator[tuple[str, str, Record]]:
        """The prefix of the folder, key and record of patient, study and series, from the top."""
        whose = patient_id or f"={source.text('PatientName')}"
        patient = Record("PATIENT", source)
        patient.put("PatientName")
        patient.put("PatientID", patient_id or _made_up_id(whose))
        yield "PT", whose, patient
        uid = source.text("StudyInstanceUID")
        study_uid = uid or made_up_uid("study", whose, source.text("StudyDate"), source.text("StudyID"))
        study = Record("STUDY", source)
        for keyword in ("StudyDate", "StudyTime", "StudyDescription"):
            study.put(keyword)
        study.put("StudyInstanceUID", study_uid)
        study.put("StudyID", study_uid[-8:].strip("."))
        study.put("AccessionNumber")
        yield "ST", study_uid, study
        modality = source.text("Modality")
        series_uid = source.text("SeriesInstanceUID") or made_up_uid("series", study_uid, modality)
        series = Record("SERIES", source)
        series.put("Modality")
        series.put("SeriesInstanceUID", series_uid)
        series.put("SeriesNumber", str(int(made_up_uid(series_uid)[5:]) % 9000 + 1000))
        series.put("SeriesDescription")
        yield "SE", series_uid, series


def _made_up_id(whose: str) -> str:
    """A meaningless Patient ID, the same for one patient."""
    return "NOID" + made_up_uid("patient", whose)[5:13]


def file_set(listed: Iterable[InstanceFile], made: Path) -> tuple[int, list[Problem]]:
    """Copy the files and write the DICOMDIR; returns the number of files on the disc, and the problems."""
    disc = _Disc(made)
    left_out: list[LeftOut] = []
    read: list[tuple[InstanceFile, RecordSource]] = []
    patient_of: dict[str, str] = {}  # Study Instance UID → Patient ID, for files of the study that lack it
    for item in listed:
        try:
            source = described(item.path)
        except (CorruptInstance, OSError) as err:
            why = err.cause if isinstance(err, CorruptInstance) else err.strerror
            left_out.append(LeftOut(item.name, why or Reason.UNREADABLE_FILE))
            continue
        read.append((item, source))
        if source.text("PatientID") and source.text("StudyInstanceUID"):
            patient_of.setdefault(source.text("StudyInstanceUID"), source.text("PatientID"))
    with quiet():
        for item, source in read:
            own = source.text("PatientID") or patient_of.get(source.text("StudyInstanceUID"), "")
            try:
                disc.add(item, source, own)
            except PYDICOM_ERRORS:
                left_out.append(LeftOut(item.name, Reason.RECORD_NOT_WRITABLE))
        made.mkdir(exist_ok=True)
        (made / "DICOMDIR").write_bytes(_directory(disc.root))
    problems = problems_of(left_out)
    if disc.completed:
        names = tuple(name for names in disc.completed.values() for name in names)
        what = ", ".join(sorted(disc.completed))
        problems.append(Problem("directory-completed", names, {"what": what}, fatal=False))
    return disc.files, problems


def encoded(record: Dataset) -> bytes:
    """A record as encoded in the sequence, without its item's head."""
    out = io.BytesIO()
    writer = DicomIO(out)
    writer.is_implicit_VR, writer.is_little_endian = False, True
    write_dataset(writer, record)
    return out.getvalue()


def _flat(nodes: Iterable[_Node]) -> Iterator[_Node]:
    """Every record; each stands before those below it."""
    for node in nodes:
        yield node
        yield from _flat(node.below.values())


def _directory(root: _Node) -> bytes:
    """Encode the DICOMDIR: each record linked to the next of its level and to the first below it."""
    front = file_meta(
        MEDIA_DIRECTORY, made_up_uid(*(node.data.hex() for node in _flat(root.below.values()))), EXPLICIT_LITTLE
    )
    head_length = (8 + len(_FILE_SET_ID)) + 12 + 12 + 10 + 12  # the elements before the first record
    offsets: dict[int, int] = {}
    at = len(front) + head_length
    for node in _flat(root.below.values()):
        offsets[id(node)] = at
        at += 8 + len(node.data)
    items = bytearray()
    following: dict[int, int] = {}
    _link(root.below.values(), offsets, following)
    for node in _flat(root.below.values()):
        data = bytearray(node.data)
        lower = next(iter(node.below.values()), None)
        struct.pack_into("<I", data, _NEXT_AT, following.get(id(node), 0))
        struct.pack_into("<I", data, _LOWER_AT, offsets[id(lower)] if lower is not None else 0)
        items += struct.pack("<HHI", 0xFFFE, 0xE000, len(data)) + data
    top = list(root.below.values())
    first, last = (offsets[id(top[0])], offsets[id(top[-1])]) if top else (0, 0)
    head = struct.pack("<HH2sH", 4, 0x1130, b"CS", len(_FILE_SET_ID)) + _FILE_SET_ID
    head += struct.pack("<HH2sHI", 4, 0x1200, b"UL", 4, first) + struct.pack("<HH2sHI", 4, 0x1202, b"UL", 4, last)
    head += struct.pack("<HH2sHH", 4, 0x1212, b"US", 2, 0)
    head += struct.pack("<HH2sHI", 4, 0x1220, b"SQ", 0, len(items))
    return front + head + bytes(items)


def _link(nodes: Iterable[_Node], offsets: dict[int, int], following: dict[int, int]) -> None:
    """Set each record's offset of the next one of its level."""
    level = list(nodes)
    for node, after in pairwise(level):
        following[id(node)] = offsets[id(after)]
    for node in level:
        _link(node.below.values(), offsets, following)
