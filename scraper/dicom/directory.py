"""Read a DICOMDIR: the list of files that must exist, with their study and series.

Sources: PS3.10 chapter 8 (file-sets, File IDs), PS3.3 F.3 (directory records and how they are linked).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Final

from pydicom.dataset import Dataset

from scraper.core.errors import CorruptInstance
from scraper.core.reasons import Reason
from scraper.dicom import charset, structure
from scraper.dicom.elements import dataset, integer, plain, quiet, sequence

MOST_RECORDS: Final = 500_000
_NOT_IN_USE: Final = 0


@dataclass(frozen=True, slots=True)
class ListedFile:
    """One record that refers to a file: its path from the DICOMDIR's folder, its UID, and its patient."""

    file: str
    sop_instance_uid: str
    patient_id: str = ""
    patient_name: str = ""
    study_instance_uid: str = ""
    series_instance_uid: str = ""
    modality: str = ""


def read_directory(path: Path) -> list[ListedFile]:
    """The files that a DICOMDIR refers to; records that are not in use are left out.

    Raises:
        CorruptInstance: no readable DICOMDIR.
    """
    with structure.mapped(path) as data, quiet():
        layout = structure.part10(data)
        start = layout.start
        try:
            ds = dataset(layout)
        finally:
            layout.data = b""  # the map is about to be closed
        if "DirectoryRecordSequence" not in ds:
            raise CorruptInstance(what=Reason.DICOMDIR_WITHOUT_RECORDS)
        records = sequence(ds, "DirectoryRecordSequence")
        if len(records) > MOST_RECORDS:
            raise CorruptInstance(what=Reason.DICOMDIR_TOO_LARGE)
        return list(_linked(ds, records, start))


def directory_rows(path: str) -> list[list[str]] | None:
    """Like ``read_directory``, in a form that passes between processes; None where unreadable."""
    try:
        return [list(astuple(record)) for record in read_directory(Path(path))]
    except (CorruptInstance, OSError):
        return None


def _linked(ds: Dataset, records: Sequence[Dataset], start: int) -> Iterator[ListedFile]:
    """The records along their links, then the unlinked ones, in file order."""
    by_offset = {int(getattr(record, "seq_item_tell", None) or -1) + start: record for record in records}
    seen: set[int] = set()
    root = integer(ds, "OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity") or 0
    waiting = [(root, ListedFile("", ""))]
    while waiting:
        offset, above = waiting.pop()
        record = by_offset.get(offset)
        if record is None or id(record) in seen:
            continue
        seen.add(id(record))
        waiting.append((integer(record, "OffsetOfTheNextDirectoryRecord") or 0, above))
        if integer(record, "RecordInUseFlag") == _NOT_IN_USE:
            continue
        here = _described(record, above)
        if here.file:
            yield here
        waiting.append((integer(record, "OffsetOfReferencedLowerLevelDirectoryEntity") or 0, _owner(here)))
    yield from _unlinked([record for record in records if id(record) not in seen])


def _unlinked(records: Sequence[Dataset]) -> Iterator[ListedFile]:
    above = ListedFile("", "")
    for record in records:
        if integer(record, "RecordInUseFlag") == _NOT_IN_USE:
            continue
        if plain(record, "DirectoryRecordType") == "PATIENT":
            above = ListedFile("", "")
        above = _described(record, above)
        if above.file:
            yield above
        above = _owner(above)


def _owner(record: ListedFile) -> ListedFile:
    """The owner that a record names for those below it."""
    return replace(record, file="", sop_instance_uid="")


def _described(record: Dataset, above: ListedFile) -> ListedFile:
    return ListedFile(
        _file_id(record),
        plain(record, "ReferencedSOPInstanceUIDInFile"),
        plain(record, "PatientID") or above.patient_id,
        _name(record) or above.patient_name,
        plain(record, "StudyInstanceUID") or above.study_instance_uid,
        plain(record, "SeriesInstanceUID") or above.series_instance_uid,
        plain(record, "Modality") or above.modality,
    )


def _name(record: Dataset) -> str:
    """The Patient's Name, from its bytes where these are available: pydicom splits GBK at a second byte 0x5C."""
    try:
        element = record.get_item("PatientName")
    except (KeyError, ValueError, TypeError):
        return ""
    raw = getattr(element, "value", None)
    if isinstance(raw, bytes):
        declared = plain(record, "SpecificCharacterSet")
        return charset.decode(raw, [declared] if declared else []).strip()
    return plain(record, "PatientName")


def _file_id(record: Dataset) -> str:
    """The path from the DICOMDIR's folder, parts separated by ``/``; empty where the record refers to no file."""
    value = record.get("ReferencedFileID")
    if value in (None, ""):
        return ""
    parts = [value] if isinstance(value, str) else list(value)
    return "/".join(str(part).strip() for part in parts if str(part).strip())
