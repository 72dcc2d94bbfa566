"""What is known of the eUnity viewer's images: its wrappers, its state and its decoder's calls, as tags and series.

facts: fixtures/sites/gjwlyy/README.md
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Mapping
from functools import partial
from urllib.parse import parse_qs

from providers.gjwlyy.images import Shown
from providers.gjwlyy.viewer import State
from scraper.contract import (
    Asked,
    CorruptInstance,
    Instance,
    Origin,
    PixelParts,
    Problem,
    Reason,
    Series,
    Session,
    Study,
    whole,
)
from scraper.protocols import amf3

IMAGES = r"/e/CustomImageServlet"
WRAPPER = b"CLOHEADERZ01"  # then four reserved bytes and zlib
MAX_WRAPPER = 16 * 2**20
CLASSES = {
    "CT": "2",
    "MR": "4",
    "CR": "1",
    "DX": "1.1",
    "MG": "1.2",
    "PT": "128",
    "US": "6.1",
    "NM": "20",
    "XA": "12.1",
}
SEEN = (
    "Rows",
    "Columns",
    "BitsAllocated",
    "PixelRepresentation",
)  # of the decoder, whatever the wrapper says


def wrappers(session: Session) -> dict[str, dict[str, object]]:
    """What the viewer was told of its images, by SOP Instance UID."""
    found: dict[str, dict[str, object]] = {}
    for exchange in session.traffic.matching(IMAGES):
        asked = parse_qs((exchange.request_body or b"").decode("latin-1"))
        body = exchange.read() if asked.get("requestType") == ["CLOWRAPPER"] else b""
        if not body.startswith(WRAPPER):
            continue
        try:
            value = amf3.read(zlib.decompressobj().decompress(body[len(WRAPPER) + 4 :], MAX_WRAPPER))
        except (zlib.error, CorruptInstance):
            continue
        if isinstance(value, dict):
            found[asked.get("objectUID", [""])[0]] = dict(value)
    return found


def described(
    state: State,
    known: Mapping[str, str],
    shown: Mapping[str, Shown],
    told_of: Mapping[str, dict[str, object]],
) -> list[Series]:
    """The series that were shown; those of the list that show no image are named with the first. ``known``: by keyword."""
    by_series: dict[str, dict[str, list[Shown]]] = {}
    for item in shown.values():
        by_series.setdefault(item.selected.series, {}).setdefault(item.selected.instance, []).append(item)
    study = state.studies[0] if state.studies else None
    absent = tuple(series.uid for series in state.series if series.uid not in by_series)
    found: list[Series] = []
    for uid, instances in by_series.items():
        first = next(iter(instances.values()))[0]
        told = _plain(told_of.get(first.selected.instance, {}))
        study_uid = first.selected.study or (study.uid if study else "") or known.get("StudyInstanceUID", "")
        found.append(
            Series(
                study_instance_uid=study_uid,
                series_instance_uid=uid,
                number=whole(told.get("SeriesNumber")),
                description=told.get("SeriesDescription", ""),
                modality=told.get("Modality", ""),
                expected=len(instances),
                study=Study(
                    uid=study_uid,
                    description=known.get("StudyDescription") or (study.description if study else "") or "",
                    patient_name=_name(state, known),
                    date=told.get("StudyDate", ""),
                ),
                left_out=(Problem("left-out", absent, fatal=False),) if absent and not found else (),
                instances=tuple(
                    Instance(
                        name,
                        Asked(partial(_parts, state, known, frames, told_of.get(name, {})), Origin.REBUILT),
                        number=whole(frames[0].selected.number),
                    )
                    for name, frames in instances.items()
                ),
            )
        )
    return found


async def _parts(
    state: State, known: Mapping[str, str], frames: list[Shown], wrapper: Mapping[str, object]
) -> PixelParts:
    frames = sorted(frames, key=lambda item: whole(item.selected.frame) or 1)
    samples = []
    for shown in frames:
        if shown.path is None:
            raise CorruptInstance(what=Reason.IMAGE_REDUCED_OR_PARTIAL)
        samples.append(await asyncio.to_thread(shown.path.read_bytes))
    return PixelParts(_tags(state, known, frames, wrapper), tuple(samples))


def _tags(state: State, known: Mapping[str, str], frames: list[Shown], wrapper: Mapping[str, object]) -> dict[str, str]:
    first, told = frames[0], _plain(wrapper)
    patient = state.patient
    sex = known.get("PatientSex") or (patient.gender if patient else "") or ""
    decoded = first.decoded
    tile = decoded.tiles[-1] if decoded and decoded.tiles else None
    lut = decoded.lut if decoded else ()
    bits = 8 * (tile.sample if tile else 2)
    stored = told.get("BitsStored") or (str(int(lut[2])) if len(lut) > 2 and 0 < lut[2] <= bits else str(bits))
    signed = tile.signed if tile and tile.signed is not None else bool(lut[1]) if len(lut) > 1 else False
    modality = told.get("Modality") or known.get("Modality", "")
    rescale = decoded.rescale if decoded else ()
    tags = {
        **known,
        "ImageType": "DERIVED\\PRIMARY",
        "SOPInstanceUID": first.selected.instance,
        "SeriesInstanceUID": first.selected.series,
        "StudyInstanceUID": first.selected.study or known.get("StudyInstanceUID", ""),
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1." + CLASSES.get(modality, "7"),
        "Modality": modality,
        "PatientName": _name(state, known),
        "PatientID": (patient.patient if patient else "") or known.get("PatientID", ""),
        "PatientSex": sex if sex in ("M", "F", "O") else "",
        "InstanceNumber": first.selected.number or "",
        "Rows": str(first.rows),
        "Columns": str(first.columns),
        "BitsAllocated": str(bits),
        "BitsStored": stored,
        "HighBit": str((whole(stored) or 1) - 1),
        "PixelRepresentation": str(int(signed)),
        "SamplesPerPixel": "1",
        "PhotometricInterpretation": "MONOCHROME2",
        "NumberOfFrames": str(len(frames)) if len(frames) > 1 else "",
        "RescaleSlope": _number(rescale, 0),
        "RescaleIntercept": _number(rescale, 1),
        "WindowCenter": _number(lut, 3),
        "WindowWidth": _number(lut, 4),
    }
    tags |= {name: value for name, value in told.items() if value and name not in SEEN}
    return {name: value for name, value in tags.items() if value}


def _number(values: tuple[float, ...], place: int) -> str:
    return f"{values[place]:g}" if len(values) > place else ""


def _plain(wrapper: Mapping[str, object]) -> dict[str, str]:
    """The wrapper's own names as DICOM's keywords; the extra ones bear these names already."""
    names = {
        "modality": "Modality",
        "bitsAllocated": "BitsAllocated",
        "bitsStored": "BitsStored",
        "windowCenter": "WindowCenter",
        "windowWidth": "WindowWidth",
        "rescaleSlope": "RescaleSlope",
        "rescaleIntercept": "RescaleIntercept",
    }
    found = {keyword: _word(wrapper.get(name)) for name, keyword in names.items()}
    if isinstance(signed := wrapper.get("isSigned"), bool):
        found["PixelRepresentation"] = str(int(signed))
    calibration = wrapper.get("calibration")
    if isinstance(calibration, dict):
        across, down = _word(calibration.get("pixelSpacingX")), _word(calibration.get("pixelSpacingY"))
        found["PixelSpacing"] = f"{down}\\{across}" if across and down else ""
    extra = wrapper.get("extraImageMetadata")
    if isinstance(extra, dict):
        found |= {name: _word(value) for name, value in extra.items() if re.fullmatch(r"[A-Z]\w+", name)}
    return {name: value for name, value in found.items() if value}


def _word(value: object) -> str:
    if isinstance(value, list):
        return "\\".join(_word(item) for item in value)
    if isinstance(value, float):
        return f"{value:.10g}"
    return "" if value is None or isinstance(value, dict) else str(value)


def _name(state: State, known: Mapping[str, str]) -> str:
    """The viewer puts a suffix behind the name."""
    shown = (state.patient.name if state.patient else "") or ""
    return known.get("PatientName") or shown.partition(" :")[0].strip()
