"""万里云 viewers (wlycloud, nyfy): their words for a study, a series and an image, and a data set's tags made of them.

facts: fixtures/sites/wlycloud/README.md, fixtures/sites/nyfy/README.md
"""

from __future__ import annotations

import re

from providers.toolkit.tags import read_tags
from scraper.contract import Study, parse_int

CLASSES = {"CT": "2", "MR": "4", "CR": "1", "DX": "1.1", "MG": "1.2", "PT": "128", "US": "6.1"}
SEXES = {"男": "M", "女": "F"}
Json = dict[str, object]
TAGS = {
    "SpecificCharacterSet": "own.charset",
    "ImageType": "own.type",
    "SOPInstanceUID": "image.uid",
    "SeriesInstanceUID": "series.srsuid",
    "StudyInstanceUID": "own.study",
    "SOPClassUID": "own.class",
    "PatientName": "study.name",
    "PatientID": "study.patid",
    "PatientSex": "own.sex",
    "PatientAge": "study.age",
    "PatientBirthDate": "study.birthday",
    "StudyDate": "study.date",
    "StudyTime": "study.time",
    "AccessionNumber": "study.access",
    "StudyDescription": "study.des",
    "Modality": "series.modality",
    "SeriesNumber": "series.num",
    "SeriesDescription": "series.des",
    "SeriesDate": "series.date",
    "SeriesTime": "series.time",
    "Laterality": "series.laterality",
    "BodyPartExamined": "series.bodypart",
    "PatientPosition": "series.pos",
    "InstanceNumber": "image.num",
    "AcquisitionDate": "own.day",
    "AcquisitionTime": "own.time",
    "NumberOfFrames": "own.frames",
    "PatientOrientation": "image.patOrientation",
    "Rows": "own.rows",
    "Columns": "own.columns",
    "BitsAllocated": "own.allocated",
    "BitsStored": "own.stored",
    "HighBit": "own.high",
    "SamplesPerPixel": "own.samples",
    "PixelRepresentation": "own.signed",
    "PlanarConfiguration": "own.planar",
    "PhotometricInterpretation": "own.photometric",
    "PixelSpacing": "image.rowPixelSpacing image.columnPixelSpacing",
    "ImagePositionPatient": "image.posX image.posY image.posZ",
    "ImageOrientationPatient": "image.oXx image.oXy image.oXz image.oYx image.oYy image.oYz",
    "SliceLocation": "image.sliceLoc",
    "SliceThickness": "image.slicethickness",
    "WindowCenter": "image.windowCenter",
    "WindowWidth": "image.windowWidth",
    "RescaleSlope": "image.slope",
    "RescaleIntercept": "image.intercept",
}


def rows(record: Json, key: str) -> list[Json]:
    """The objects of a list; anything else is left aside."""
    found = record.get(key)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def text(record: Json, *keys: str) -> str:
    """The text of the first key that has one."""
    for key in keys:
        value = record.get(key)
        if value is not None and str(value).strip():
            return str(value).strip()
    return ""


def number(record: Json, *keys: str) -> int | None:
    """The whole number of the first key that has a text, also where it is given as ``"512"`` or ``512.0``."""
    return parse_int(text(record, *keys))


def study_uid(study: Json) -> str:
    """The Study Instance UID, which either key may hold."""
    return text(study, "sdyuid", "studyid")


def describe_study(study: Json, series: Json) -> Study:
    """The study for people."""
    return Study(
        uid=study_uid(study),
        date=text(study, "date"),
        description=text(study, "des"),
        patient_name=text(study, "name"),
        modality=text(series, "modality"),
    )


def shape(image: Json) -> tuple[int, int, int, int]:
    """Rows, columns, samples of a pixel, bytes of a sample; 0 where the viewer does not say."""
    rows, columns = number(image, "rows", "height") or 0, number(image, "columns", "width") or 0
    size, depth = number(image, "sizeInBytes", "fsz") or 0, number(image, "byte_pp") or 0
    samples = number(image, "sample_pp") or 0
    pixels = rows * columns  # sizes are those of one frame
    if not samples:
        samples = 3 if pixels and depth == 1 and size == 3 * pixels else 1
    if not depth and pixels and size % (pixels * samples) == 0:
        depth = size // (pixels * samples)
    return rows, columns, samples, depth


def tags(study: Json, series: Json, image: Json, frames: int) -> dict[str, str]:
    """What the viewer says, by keyword; dates, times and geometry that are none stay out, and no rescale is invented."""
    rows, columns, samples, item = shape(image)
    modality, stored = text(series, "modality"), number(image, "storebits") or 8 * item
    inverted = text(image, "invert").lower() in ("1", "true")
    # Where the viewer is silent, its own page reads CT as signed (protocol page nyfy).
    signed = text(image, "pixel_pre") or ("1" if modality == "CT" and item == 2 else "0")
    sex, acquired = text(study, "sex"), re.split("[ T]", text(image, "date"))
    own: dict[str, str | int] = {
        "charset": "ISO_IR 192",
        "type": "DERIVED\\SECONDARY",
        "study": study_uid(study),
        "class": "1.2.840.10008.5.1.4.1.1." + CLASSES.get(modality, "7"),
        "sex": SEXES.get(sex, sex),
        "day": acquired[0],
        "time": acquired[-1],
        "frames": frames if frames > 1 else "",
        "rows": rows or "",
        "columns": columns or "",
        "allocated": 8 * item,
        "stored": stored,
        "high": stored - 1,
        "samples": samples,
        "signed": signed,
        "planar": 0 if samples == 3 else "",
        "photometric": "RGB" if samples == 3 else "MONOCHROME1" if inverted else "MONOCHROME2",
    }
    found = read_tags(TAGS, study=study, series=series, image=image, own=own)
    if "ImageOrientationPatient" not in found:
        found.pop("ImagePositionPatient", None)  # a plane without a direction is no place (PS3.3 C.7.6.2.1.1)
    return found
