"""Directory records: what a DICOMDIR states of patient, study, series and file, with placeholders for absent values.

A record must hold keys that some real files lack. They are made up in the record alone, as PS3.3 F.5 leaves to the
file-set's creator; the file itself stays unchanged. Made-up values are reported.

Sources: PS3.3 F.4 (record types), F.5 (their keys); PS3.4 B.5 (SOP Classes).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence

from scraper.dicom import charset, structure
from scraper.dicom.elements import dataset, declared_charset, plain, raw_texts, sequence
from scraper.verify import is_image

_ROOT: Final = "1.2.840.10008.5.1.4.1.1."
_NO_DATE, _NO_TIME = "19000101", "000000"  # what dcmtk's dcmmkdir writes, too, where there is none
_DATES: Final = ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate", "InstanceCreationDate")
_TIMES: Final = ("StudyTime", "SeriesTime", "AcquisitionTime", "ContentTime", "InstanceCreationTime")

# SOP Class (or its root, with a dot at the end) → Directory Record Type; the first that fits (PS3.3 F.4).
_KINDS: Final = (
    ("88.59", "KEY OBJECT DOC"),
    ("88.", "SR DOCUMENT"),
    ("104.", "ENCAP DOC"),
    ("11.", "PRESENTATION"),
    ("9.", "WAVEFORM"),
    ("481.2", "RT DOSE"),
    ("481.3", "RT STRUCTURE SET"),
    ("481.5", "RT PLAN"),
    ("481.8", "RT PLAN"),
    ("481.4", "RT TREAT RECORD"),
    ("481.6", "RT TREAT RECORD"),
    ("481.7", "RT TREAT RECORD"),
    ("481.9", "RT TREAT RECORD"),
    ("66.1", "REGISTRATION"),
    ("66.3", "REGISTRATION"),
    ("66.2", "FIDUCIAL"),
    ("66.5", "SURFACE"),
    ("66.6", "TRACT"),
    ("66", "RAW DATA"),
    ("67", "VALUE MAP"),
    ("4.2", "SPECTROSCOPY"),
    ("68.", "SURFACE SCAN"),
    ("77.1.5.3", "STEREOMETRIC"),
    ("78.", "MEASUREMENT"),
    ("79.", "MEASUREMENT"),
    ("80.", "MEASUREMENT"),
    ("81.", "MEASUREMENT"),
    ("90.", "ASSESSMENT"),
)

_CONTENT_ID: Final = ("ContentLabel", "ContentDescription", "ContentCreatorName")
# Directory Record Type → keys besides Instance Number and the reference to the file (PS3.3 F.5.4 and after).
_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "IMAGE": ("ImageType",),
    "SR DOCUMENT": ("CompletionFlag", "VerificationFlag", "ContentDate", "ContentTime", "ConceptNameCodeSequence"),
    "KEY OBJECT DOC": ("ContentDate", "ContentTime", "ConceptNameCodeSequence"),
    "ENCAP DOC": (
        "ContentDate",
        "ContentTime",
        "DocumentTitle",
        "ConceptNameCodeSequence",
        "MIMETypeOfEncapsulatedDocument",
    ),
    "PRESENTATION": ("PresentationCreationDate", "PresentationCreationTime", "ReferencedSeriesSequence", *_CONTENT_ID),
    "WAVEFORM": ("ContentDate", "ContentTime"),
    "RT DOSE": ("DoseSummationType",),
    "RT STRUCTURE SET": ("StructureSetLabel", "StructureSetDate", "StructureSetTime"),
    "RT PLAN": ("RTPlanLabel", "RTPlanDate", "RTPlanTime"),
    "RT TREAT RECORD": ("TreatmentDate", "TreatmentTime"),
    "REGISTRATION": ("ContentDate", "ContentTime", *_CONTENT_ID),
    "FIDUCIAL": ("ContentDate", "ContentTime", *_CONTENT_ID),
    "SURFACE": ("ContentDate", "ContentTime", *_CONTENT_ID),
    "TRACT": ("ContentDate", "ContentTime", *_CONTENT_ID),
    "VALUE MAP": ("ContentDate", "ContentTime", *_CONTENT_ID),
    "RAW DATA": ("ContentDate", "ContentTime"),
    "SURFACE SCAN": ("ContentDate", "ContentTime"),
    "MEASUREMENT": ("ContentDate", "ContentTime"),
    "ASSESSMENT": ("InstanceCreationDate", "InstanceCreationTime"),
    "SPECTROSCOPY": (
        "ImageType",
        "ContentDate",
        "ContentTime",
        "NumberOfFrames",
        "Rows",
        "Columns",
        "DataPointRows",
        "DataPointColumns",
    ),
}
_MAY_BE_EMPTY: Final = frozenset(
    {
        "ContentDescription",
        "ContentCreatorName",
        "DocumentTitle",
        "StructureSetDate",
        "StructureSetTime",
        "RTPlanDate",
        "RTPlanTime",
        "TreatmentDate",
        "TreatmentTime",
        "PatientName",
        "StudyDescription",
        "AccessionNumber",
    }
)
_MAY_BE_ABSENT: Final = frozenset({"ImageType", "ReferencedSeriesSequence", "SeriesDescription"})
_MADE_UP: Final = {
    "CompletionFlag": "PARTIAL",
    "VerificationFlag": "UNVERIFIED",
    "DoseSummationType": "PLAN",
    "StructureSetLabel": "RTSTRUCT",
    "RTPlanLabel": "RTPLAN",
    "ContentLabel": "CONTENT",
    "MIMETypeOfEncapsulatedDocument": "application/octet-stream",
    "Modality": "OT",
    "NumberOfFrames": "1",
    "Rows": 1,
    "Columns": 1,
    "DataPointRows": 1,
    "DataPointColumns": 1,
}
_UPPER: Final = (
    "PatientID",
    "PatientName",
    "StudyInstanceUID",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDescription",
    "Modality",
)
_WANTED: Final = tuple(
    dict.fromkeys(
        (
            "SpecificCharacterSet",
            "SOPClassUID",
            "SOPInstanceUID",
            "InstanceNumber",
            *_UPPER,
            *_DATES,
            *_TIMES,
            *(keyword for keywords in _KEYS.values() for keyword in keywords),
        )
    )
)


def made_up_uid(*words: str) -> str:
    """A UID derived from the given words, always the same for the same words (PS3.5 B.2)."""
    digest = hashlib.sha256("\0".join(words).encode("utf-8", "surrogatepass")).digest()
    return "2.25." + str(int.from_bytes(digest[:16], "big"))


@dataclass(frozen=True, slots=True)
class RecordSource:
    """What the record of one file needs.

    ``texts`` holds values by keyword, decoded; ``ds`` the rest.
    """

    kind: str
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    declared: tuple[str, ...]
    texts: dict[str, str]
    ds: Dataset

    def text(self, keyword: str) -> str:
        """A value as text; empty where absent."""
        return self.texts.get(keyword, "") or plain(self.ds, keyword)

    def first_of(self, keywords: Sequence[str]) -> str:
        """The first present value."""
        return next((text for keyword in keywords if (text := self.text(keyword))), "")


def kind_of(sop_class_uid: str, *, has_pixels: bool) -> str:
    """The Directory Record Type of a file; PRIVATE for what the standard has no record for."""
    for tail, kind in _KINDS:
        root = _ROOT + tail
        if sop_class_uid == root or (root.endswith(".") and sop_class_uid.startswith(root)):
            return kind
    return "IMAGE" if has_pixels or is_image(sop_class_uid) or not sop_class_uid else "PRIVATE"


def described(path: Path) -> RecordSource:
    """Read what a record needs of a file.

    Raises:
        CorruptInstance: it can't be read. OSError: the disk.
    """
    with structure.mapped(path) as data:
        layout = structure.part10(data)
        try:
            ds = dataset(layout, list(_WANTED))
            declared = declared_charset(layout)
            guessed = charset.suspect(raw_texts(layout, ds), declared)
            texts = {}
            for keyword in _WANTED:
                tag = tag_for_keyword(keyword) or 0
                if tag in layout.elements and dictionary_VR(tag) in ("PN", "LO", "SH", "ST"):
                    text = charset.decode(layout.value(tag), declared, guessed).strip("\0 ")
                    texts[keyword] = text.partition("\\")[0] if dictionary_VR(tag) != "ST" else text
            has_pixels = any(tag in layout.elements for tag in structure.PIXEL_TAGS)
            sop_class = plain(ds, "SOPClassUID") or layout.meta_text(0x0002)
            return RecordSource(
                kind_of(sop_class, has_pixels=has_pixels),
                sop_class,
                plain(ds, "SOPInstanceUID"),
                layout.transfer_syntax_uid,
                tuple(declared),
                texts,
                ds,
            )
        finally:
            layout.data = b""  # the map is about to be closed


class Record:
    """One directory record under construction.

    Args:
        kind: its Directory Record Type.
        source: the file that its values come from.
    """

    def __init__(self, kind: str, source: RecordSource) -> None:
        self._source = source
        self.made_up: list[str] = []  # keywords whose value stands in no file
        self.ds = Dataset()
        self.ds.OffsetOfTheNextDirectoryRecord = 0
        self.ds.RecordInUseFlag = 0xFFFF
        self.ds.OffsetOfReferencedLowerLevelDirectoryEntity = 0
        self.ds.DirectoryRecordType = kind
        self._texts: list[str] = []

    def put(self, keyword: str, otherwise: object = "") -> None:
        """Add a key with the file's value; made up where required and absent."""
        vr = dictionary_VR(tag_for_keyword(keyword) or 0)
        if vr == "SQ":
            self._put_items(keyword)
            return
        text = self._source.text(keyword)
        if keyword.endswith("Date") and not (len(text) == 8 and text.isdigit()):
            text = ""
        if text:
            value: object = text if vr not in ("US", "UL") else int(text)
            if vr in ("PN", "LO", "SH", "ST"):
                self._texts.append(text)
            elif keyword == "ImageType":
                value = self._source.ds.ImageType
        elif keyword in _MAY_BE_ABSENT:
            return
        elif keyword in _MAY_BE_EMPTY:
            value = ""
        else:
            value = otherwise or self._stand_in(keyword)
            self.made_up.append(keyword)
        self.ds.add(DataElement(tag_for_keyword(keyword) or 0, vr, value))

    def _stand_in(self, keyword: str) -> object:
        if keyword.endswith("Date"):
            return self._source.first_of(_DATES) or _NO_DATE
        if keyword.endswith("Time"):
            return self._source.first_of(_TIMES) or _NO_TIME
        return _MADE_UP[keyword]

    def _put_items(self, keyword: str) -> None:
        items = [self._copied(item) for item in sequence(self._source.ds, keyword)]
        if not items and keyword == "ConceptNameCodeSequence" and self.ds.DirectoryRecordType != "ENCAP DOC":
            code = Dataset()
            code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "0", "99CLOUDFILM", "not given"
            items = [code]
            self.made_up.append(keyword)
        if items or keyword not in _MAY_BE_ABSENT:
            self.ds.add(DataElement(tag_for_keyword(keyword) or 0, "SQ", DicomSequence(items)))

    def _copied(self, item: Dataset) -> Dataset:
        """A copy of an item without the encoding that it was read in."""
        copy = Dataset()
        for element in item:
            if element.tag.is_private or element.keyword == "SpecificCharacterSet":
                continue
            if element.VR == "SQ":
                items = DicomSequence([self._copied(inner) for inner in element.value])
                copy.add(DataElement(element.tag, "SQ", items))
            else:
                copy.add(DataElement(element.tag, element.VR, element.value))
                self._texts.append(str(element.value))
        return copy

    def refer_to(self, parts: Sequence[str], sop_instance_uid: str) -> None:
        """Set the file that the record describes, by the parts of its File ID."""
        source = self._source
        self.ds.ReferencedFileID = list(parts)
        if source.sop_class_uid:
            self.ds.ReferencedSOPClassUIDInFile = source.sop_class_uid
        self.ds.ReferencedSOPInstanceUIDInFile = sop_instance_uid
        if not source.sop_instance_uid:
            self.made_up.append("SOPInstanceUID")
        if source.transfer_syntax_uid:
            self.ds.ReferencedTransferSyntaxUIDInFile = source.transfer_syntax_uid

    def finished(self) -> Dataset:
        """The finished record, its text in one character set."""
        chosen = charset.fitting(self._texts, self._source.declared)
        if any(not text.isascii() for text in self._texts) and chosen:
            self.ds.SpecificCharacterSet = chosen
        return self.ds


def of_file(source: RecordSource, parts: Sequence[str], number: int, sop_instance_uid: str) -> Record:
    """The record of one file.

    Args:
        source: the file.
        parts: of its File ID.
        number: stands in for an absent Instance Number.
        sop_instance_uid: its own, or a made-up one.
    """
    record = Record(source.kind, source)
    record.refer_to(parts, sop_instance_uid)
    record.put("InstanceNumber", str(number))
    for keyword in _KEYS.get(source.kind, ()):
        record.put(keyword)
    if source.kind == "PRIVATE":
        record.ds.PrivateRecordUID = source.sop_class_uid
    return record
