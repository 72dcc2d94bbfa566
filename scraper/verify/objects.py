"""The kind of object that an instance is, and whether it holds what that kind requires.

Source: PS3.3 annex A (the IODs' module tables) and PS3.4 B.5 (the SOP Classes).
"""

from __future__ import annotations

from typing import Final

from pydicom.dataset import Dataset

from scraper.dicom import structure
from scraper.dicom.elements import plain, sequence

_ROOT: Final = "1.2.840.10008.5.1.4.1.1."

# SOP Class (or its root, with a dot at the end) → elements of which all must be there, with what they are in words.
_REQUIRED: Final[tuple[tuple[str, tuple[str, ...], str], ...]] = (
    (_ROOT + "88.59", ("ContentSequence", "ConceptNameCodeSequence"), "key object selection"),  # A.35.4
    (_ROOT + "88.", ("ConceptNameCodeSequence",), "structured report"),  # A.35
    (_ROOT + "104.", ("EncapsulatedDocument",), "encapsulated document"),  # A.45
    (_ROOT + "11.", ("PresentationCreationDate",), "presentation state"),  # A.33
    (_ROOT + "66.4", ("SegmentSequence",), "segmentation"),  # A.51
    (_ROOT + "67", ("ReferencedImageRealWorldValueMappingSequence",), "real world value mapping"),  # A.46
    (_ROOT + "481.3", ("StructureSetROISequence",), "RT structure set"),  # A.19
    (_ROOT + "481.5", ("RTPlanLabel",), "RT plan"),  # A.20
    (_ROOT + "9.", ("WaveformSequence",), "waveform"),  # A.34
)
# Roots of SOP Classes that carry pixels: PS3.4 B.5.
_IMAGE_TAILS: Final = """
    1 1.1 1.1.1 1.2 1.2.1 1.3 1.3.1 2 2.1 2.2 3.1 4 4.1 4.3 4.4 6.1 6.2 7 7.1 7.2 7.3 7.4 12.1 12.1.1 12.2 12.2.1
    13.1.1 13.1.2 13.1.3 13.1.4 13.1.5 14.1 14.2 20 30 66.4 77.1.1 77.1.1.1 77.1.2 77.1.2.1 77.1.4 77.1.4.1 77.1.5.1
    77.1.5.2 77.1.5.4 77.1.6 128 128.1 130 481.1 481.2
"""
_IMAGES: Final = frozenset(_ROOT + tail for tail in _IMAGE_TAILS.split())
# CT, MR, PET: Image Plane is mandatory
CROSS_SECTIONAL: Final = frozenset(_ROOT + tail for tail in ("2", "4", "128"))
# the same as enhanced images: it is in the functional groups of their frames (PS3.3 C.7.6.16)
ENHANCED: Final = frozenset(_ROOT + tail for tail in ("2.1", "4.1", "130", "2.2", "4.4", "128.1"))
PET: Final = _ROOT + "128"
WHOLE_SLIDE: Final = _ROOT + "77.1.6"


_REFERENCES: Final = (
    "ReferencedSOPSequence",
    "ReferencedImageSequence",
    "ReferencedInstanceSequence",
    "ContourImageSequence",
)


def is_image(sop_class_uid: str) -> bool:
    """Whether the SOP Class is one of images."""
    return sop_class_uid in _IMAGES


def lacking(sop_class_uid: str, ds: Dataset, layout: structure.Layout) -> tuple[str, str] | None:
    """The kind of object and what it lacks; None where it lacks nothing, or its kind is unknown."""
    for root, keywords, kind in _REQUIRED:
        if sop_class_uid == root or (root.endswith(".") and sop_class_uid.startswith(root)):
            absent = [keyword for keyword in keywords if keyword not in ds]
            if not absent and kind == "encapsulated document" and not document_is_whole(ds):
                absent = ["EncapsulatedDocument"]
            if not absent and "." + sop_class_uid.rsplit(".", 1)[1] == ".59" and not sequence(ds, "ContentSequence"):
                absent = ["ContentSequence"]
            return (kind, ", ".join(absent)) if absent else None
    if is_image(sop_class_uid) and not any(tag in layout.elements for tag in structure.PIXEL_TAGS):
        return ("image", "PixelData")
    if plain(ds, "PhotometricInterpretation") == "PALETTE COLOR" and "PaletteColorLookupTableUID" not in ds:
        tables = [f"{colour}PaletteColorLookupTable" for colour in ("Red", "Green", "Blue")]
        absent = [
            table + "Data" for table in tables if table + "Data" not in ds and f"Segmented{table}Data" not in ds
        ]  # PS3.3 C.7.9
        return ("image", ", ".join(absent)) if absent else None
    return None


def references(ds: Dataset) -> tuple[str, ...]:
    """SOP Instance UIDs of its own study that a key object, a presentation state, contours or a segmentation refer to.

    Source: PS3.3 C.17.6.2 (Current Requested Procedure Evidence), C.11.11 (Presentation State Relationship), C.8.8.5 (Structure
    Set), C.12.1.1.1 (Common Instance Reference).
    """
    own = plain(ds, "StudyInstanceUID")
    holders = [
        evidence
        for evidence in sequence(ds, "CurrentRequestedProcedureEvidenceSequence")
        if plain(evidence, "StudyInstanceUID") == own
    ]
    if "PresentationCreationDate" in ds or "SegmentSequence" in ds:
        holders.append(ds)
    holders += [
        study
        for frame in sequence(ds, "ReferencedFrameOfReferenceSequence")
        for study in sequence(frame, "RTReferencedStudySequence")
        if plain(study, "ReferencedSOPInstanceUID") == own
    ]
    found = []
    for holder in holders:
        listed = (*sequence(holder, "ReferencedSeriesSequence"), *sequence(holder, "RTReferencedSeriesSequence"))
        for series in listed:
            for keyword in _REFERENCES:
                found += [plain(item, "ReferencedSOPInstanceUID") for item in sequence(series, keyword)]
    return tuple(dict.fromkeys(uid for uid in found if uid))


def document_is_whole(ds: Dataset) -> bool:
    """Whether an encapsulated PDF has its begin and its end (PS3.3 C.24.2)."""
    try:
        raw = bytes(ds.EncapsulatedDocument)
    except (AttributeError, TypeError, ValueError):
        return False
    if str(ds.get("MIMETypeOfEncapsulatedDocument", "")).strip() != "application/pdf":
        return bool(raw)
    return raw[:1024].lstrip().startswith(b"%PDF-") and b"%%EOF" in raw.rstrip(b"\0")[-1024:]
