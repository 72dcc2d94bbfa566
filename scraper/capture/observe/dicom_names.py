"""Translate a site's own names of tags (``imagePosition``, ``cols``) to DICOM JSON.

Source: PS3.6 (keywords), PS3.18 annex F (DICOM JSON); protocol page ws_frames.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

from scraper.dicom import values

MAX_DEPTH: Final = 20
MAX_CONTEXTS: Final = 50_000
_ALIASES: Final = {
    "SOPInstanceUID": "sopuid sop instanceuid objectuid imageuid sopiuid",
    "SOPClassUID": "classuid sopclass",
    "StudyInstanceUID": "studyuid studyiuid",
    "SeriesInstanceUID": "seriesuid seriesiuid",
    "Rows": "row height imageheight imgheight",
    "Columns": "cols column col width imagewidth imgwidth",
    "BitsAllocated": "bits bitallocated bitsperpixel bpp",
    "BitsStored": "bitstored stored",
    "HighBit": "highbits",
    "PixelRepresentation": "signed issigned pixelrep",
    "SamplesPerPixel": "samples spp samplepixel",
    "PhotometricInterpretation": "photometric pmi",
    "PlanarConfiguration": "planar planarconfig",
    "RescaleSlope": "slope",
    "RescaleIntercept": "intercept",
    "WindowCenter": "wc wl windowlevel",
    "WindowWidth": "ww",
    "PixelSpacing": "pixelspace",
    "SliceThickness": "thickness",
    "ImagePositionPatient": "imageposition ipp",
    "ImageOrientationPatient": "imageorientation iop",
    "FrameOfReferenceUID": "frameofreference foruid",
    "InstanceNumber": "instanceno instno imageno imagenumber instnumber",
    "SeriesNumber": "seriesno",
    "SeriesDescription": "seriesdesc",
    "StudyDescription": "studydesc",
    "PatientBirthDate": "birthdate birthday",
    "NumberOfFrames": "nframes",
    "SpecificCharacterSet": "charset",
}
_WANTED: Final = (
    "PatientName",
    "PatientID",
    "PatientSex",
    "PatientAge",
    "StudyDate",
    "StudyTime",
    "SeriesDate",
    "SeriesTime",
    "AcquisitionDate",
    "AcquisitionTime",
    "ContentDate",
    "ContentTime",
    "AccessionNumber",
    "StudyID",
    "Modality",
    "Manufacturer",
    "ManufacturerModelName",
    "InstitutionName",
    "BodyPartExamined",
    "SliceLocation",
    "SpacingBetweenSlices",
    "KVP",
    "ImageType",
    "LossyImageCompression",
    "TransferSyntaxUID",
    "AcquisitionNumber",
    "ProtocolName",
    "ConvolutionKernel",
    "EchoTime",
    "RepetitionTime",
    "GantryDetectorTilt",
    "PatientPosition",
    "RescaleType",
    "SmallestImagePixelValue",
    "LargestImagePixelValue",
    "PixelPaddingValue",
    "VOILUTFunction",
    "ImagerPixelSpacing",
)
_GEOMETRY: Final = {  # how many numbers (PS3.3 C.7.6.2); fewer, or a word like "HFS", is something else of a like name
    "ImagePositionPatient": 3,
    "ImageOrientationPatient": 6,
    "PixelSpacing": 2,
}
_TAG: Final = re.compile(r"[0-9A-Fa-f]{8}")
_THUMB: Final = re.compile(r"thumb|preview|icon|缩略|预览", re.IGNORECASE)


@cache
def _keywords() -> dict[str, str]:
    """A name without case and separators → the keyword."""
    found = {keyword.lower(): keyword for keyword in (*_WANTED, *_ALIASES)}
    for keyword, names in _ALIASES.items():
        found |= dict.fromkeys(names.split(), keyword)
    return found


def keyword_of(name: str) -> str | None:
    """The DICOM keyword that a site's name stands for; None where it stands for none."""
    return _keywords().get(re.sub(r"[^a-z]", "", name.lower()))


def contexts(value: Any) -> Iterator[dict[str, Any]]:
    """Every object of a JSON value, with what stands around it and in the plain objects inside it; the nearest wins."""
    waiting: list[tuple[Any, dict[str, Any], int]] = [(value, {}, 0)]
    count = 0
    while waiting and count < MAX_CONTEXTS:
        entry, around, depth = waiting.pop()
        if depth > MAX_DEPTH:
            continue
        if isinstance(entry, list):
            waiting += [(inner, around, depth + 1) for inner in entry if isinstance(inner, (Mapping, list))]
        elif isinstance(entry, Mapping):
            count += 1
            own = {str(name): inner for name, inner in entry.items() if _is_value(inner)}
            inside: dict[str, Any] = {}
            for inner in entry.values():
                if isinstance(inner, Mapping) and not _is_element(inner):
                    inside |= {str(name): item for name, item in inner.items() if _is_value(item)}
            merged = {**around, **inside, **own}
            yield merged
            waiting += [
                (inner, {**around, **own}, depth + 1)
                for inner in entry.values()
                if isinstance(inner, (Mapping, list)) and not _is_value(inner)
            ]


def _is_element(value: Mapping[str, Any]) -> bool:
    return isinstance(value.get("vr"), str) and len(value["vr"]) == 2


def _is_value(value: Any) -> bool:
    """A plain value, a list of such, or an element of DICOM JSON."""
    if isinstance(value, Mapping):
        return _is_element(value)
    if isinstance(value, list):
        return bool(value) and not any(isinstance(inner, (Mapping, list)) for inner in value)
    return value is not None


def _is_number(value: Any) -> bool:
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError):
        return False


def is_thumbnail(fields: Mapping[str, Any]) -> bool:
    """Whether the site itself calls it a small picture."""
    return any(
        (isinstance(value, str) and len(value) < 40 and _THUMB.search(value)) or (value is True and _THUMB.search(name))
        for name, value in fields.items()
    )


def dicom_json(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Tags by ``GGGGEEEE`` as DICOM JSON; names that are no DICOM are left out."""
    found: dict[str, Any] = {}
    for name, value in fields.items():
        if _TAG.fullmatch(name):
            found[name.upper()] = value if isinstance(value, Mapping) else {"vr": "UN", "Value": [value]}
            continue
        keyword = keyword_of(name)
        tag = values.tag_of(keyword) if keyword else None
        if tag is None or isinstance(value, Mapping):
            continue
        listed = value if isinstance(value, list) else value.split("\\") if isinstance(value, str) else [value]
        plain = [int(item) if isinstance(item, bool) else item for item in listed]
        if len(plain) != _GEOMETRY.get(keyword or "", len(plain)) or (
            keyword in _GEOMETRY and not all(map(_is_number, plain))
        ):
            continue
        exact = name.lower() == (keyword or "").lower()
        if exact or f"{tag:08X}" not in found:
            found[f"{tag:08X}"] = {"vr": values.vr_of(tag, "", signed=False), "Value": plain}
    return found
