"""万里云 viewers (wlycloud, nyfy): their words for a study, a series and an image, and a data set's tags made of them.

facts: fixtures/sites/wlycloud/README.md, fixtures/sites/nyfy/README.md
"""

from __future__ import annotations

import re

from scraper.contract import Study, parse_int

CLASSES = {"CT": "2", "MR": "4", "CR": "1", "DX": "1.1", "MG": "1.2", "PT": "128", "US": "6.1"}
SEXES = {"男": "M", "女": "F"}
DECIMAL = re.compile(r"[-+]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][-+]?\d+)?")
Json = dict[str, object]


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
    found = {
        "SpecificCharacterSet": "ISO_IR 192",
        "ImageType": "DERIVED\\SECONDARY",
        "SOPInstanceUID": text(image, "uid"),
        "SeriesInstanceUID": text(series, "srsuid"),
        "StudyInstanceUID": study_uid(study),
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1." + CLASSES.get(modality, "7"),
        "PatientName": text(study, "name"),
        "PatientID": text(study, "patid"),
        "PatientSex": SEXES.get(sex, sex),
        "PatientAge": text(study, "age"),
        "PatientBirthDate": _date(text(study, "birthday")),
        "StudyDate": _date(text(study, "date")),
        "StudyTime": _time(text(study, "time")),
        "AccessionNumber": text(study, "access"),
        "StudyDescription": text(study, "des"),
        "Modality": modality,
        "SeriesNumber": text(series, "num"),
        "SeriesDescription": text(series, "des"),
        "SeriesDate": _date(text(series, "date")),
        "SeriesTime": _time(text(series, "time")),
        "Laterality": text(series, "laterality"),
        "BodyPartExamined": text(series, "bodypart"),
        "PatientPosition": text(series, "pos"),
        "InstanceNumber": text(image, "num"),
        "AcquisitionDate": _date(acquired[0]),
        "AcquisitionTime": _time(acquired[-1]),
        "NumberOfFrames": str(frames) if frames > 1 else "",
        "PatientOrientation": text(image, "patOrientation"),
        "Rows": str(rows or ""),
        "Columns": str(columns or ""),
        "BitsAllocated": str(8 * item),
        "BitsStored": str(stored),
        "HighBit": str(stored - 1),
        "SamplesPerPixel": str(samples),
        "PixelRepresentation": signed,
        "PlanarConfiguration": "0" if samples == 3 else "",
        "PhotometricInterpretation": "RGB" if samples == 3 else "MONOCHROME1" if inverted else "MONOCHROME2",
        "PixelSpacing": _joined(image, "rowPixelSpacing", "columnPixelSpacing", positive=True),
        "ImagePositionPatient": _joined(image, "posX", "posY", "posZ"),
        "ImageOrientationPatient": _orientation(image),
        "SliceLocation": _decimal(image, "sliceLoc"),
        "SliceThickness": _decimal(image, "slicethickness", positive=True),
        "WindowCenter": _decimal(image, "windowCenter"),
        "WindowWidth": _decimal(image, "windowWidth", positive=True),
        "RescaleSlope": _decimal(image, "slope"),
        "RescaleIntercept": _decimal(image, "intercept"),
    }
    if not (found["RescaleSlope"] and found["RescaleIntercept"]):
        found["RescaleSlope"] = found["RescaleIntercept"] = ""
    if not found["ImageOrientationPatient"]:
        found["ImagePositionPatient"] = ""  # a plane without a direction is no place (PS3.3 C.7.6.2.1.1)
    return {name: value for name, value in found.items() if value}


def _decimal(record: Json, key: str, *, positive: bool = False) -> str:
    value = text(record, key)
    return value if DECIMAL.fullmatch(value) and (not positive or float(value) > 0) else ""


def _joined(image: Json, *keys: str, positive: bool = False) -> str:
    values = [_decimal(image, key, positive=positive) for key in keys]
    return "\\".join(values) if all(values) else ""


def _orientation(image: Json) -> str:
    joined = _joined(image, "oXx", "oXy", "oXz", "oYx", "oYy", "oYz")
    return joined if any(float(text) for text in joined.split("\\") if text) else ""


def _date(value: str) -> str:
    digits = re.sub(r"[-/.]", "", value)
    sound = len(digits) == 8 and digits.isdigit() and "01" <= digits[4:6] <= "12" and "01" <= digits[6:] <= "31"
    return digits if sound else ""


def _time(value: str) -> str:
    digits, _, fraction = value.replace(":", "").partition(".")
    sound = len(digits) == 6 and digits.isdigit() and digits < "240000" and digits[2] < "6" and digits[4] < "6"
    return (digits + (f".{fraction[:6]}" if fraction.isdigit() else "")) if sound else ""
