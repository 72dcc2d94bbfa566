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

from providers.gjwlyy.images import ShownImage
from providers.gjwlyy.viewer import State, StudyReply
from scraper.contract import (
    CorruptInstance,
    Field,
    Instance,
    OnDemand,
    Origin,
    PixelParts,
    Reason,
    Reply,
    Series,
    Session,
    Study,
    parse_int,
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
Wrapper = Mapping[str, object]
SEEN = ("Rows", "Columns", "BitsAllocated", "PixelRepresentation")  # of the decoder, whatever the wrapper says


class ReportReply(Reply):
    """What the report's page says."""

    name: str = Field("", alias="data.hPatientName")
    patient: str = Field("", alias="data.hPatientId")
    sex: str = Field("", alias="data.hPatientSex")
    born: str = Field("", alias="data.hPatientDob")
    accession: str = Field("", alias="data.hAccessionNumber")
    studies: str = Field("", alias="data.hStudiesInstUId")
    item: str = Field("", alias="data.hServiceExaminealias")
    modalities: str = Field("", alias="data.serviceModalities")

    @property
    def tags(self) -> dict[str, str]:
        """The same by DICOM's keywords."""
        known = {
            "PatientName": self.name,
            "PatientID": self.patient,
            "PatientSex": self.sex,
            "PatientBirthDate": Study(date=self.born).date,
            "AccessionNumber": self.accession,
            "StudyInstanceUID": self.studies,
            "StudyDescription": self.item,
            "Modality": self.modalities.split(",")[0].strip(),
        }
        return {name: value for name, value in known.items() if value}


def read_wrappers(session: Session) -> dict[str, Wrapper]:
    """What the viewer received about its images, by SOP Instance UID."""
    found: dict[str, Wrapper] = {}
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


def describe(
    state: State, known: Mapping[str, str], shown: Mapping[str, ShownImage], wrappers: Mapping[str, Wrapper]
) -> list[Series]:
    """The series that were shown; those of the list that show no image are named with the first. ``known``: by keyword."""
    by_series: dict[str, dict[str, list[ShownImage]]] = {}
    for item in shown.values():
        by_series.setdefault(item.selected.series, {}).setdefault(item.selected.instance, []).append(item)
    study = state.studies[0] if state.studies else StudyReply.empty()
    found = [_series(uid, instances, study, state, known, wrappers) for uid, instances in by_series.items()]
    absent = [series.uid for series in state.series if series.uid not in by_series]
    return [series.without(absent) for series in found[:1]] + found[1:]


def _series(  # what three parts of the viewer say
    uid: str,
    instances: Mapping[str, list[ShownImage]],
    study: StudyReply,
    state: State,
    known: Mapping[str, str],
    wrappers: Mapping[str, Wrapper],
) -> Series:
    first = next(iter(instances.values()))[0]
    tags = _plain(wrappers.get(first.selected.instance, {}))
    study_uid = first.selected.study or study.uid or known.get("StudyInstanceUID", "")
    description, date = known.get("StudyDescription") or study.description, tags.get("StudyDate", "")
    return Series(
        study_instance_uid=study_uid,
        series_instance_uid=uid,
        number=parse_int(tags.get("SeriesNumber")),
        description=tags.get("SeriesDescription", ""),
        modality=tags.get("Modality", ""),
        expected=len(instances),
        study=Study(study_uid, date, "", description, _name(state, known)),
        instances=tuple(
            Instance(
                name,
                OnDemand(partial(_parts, state, known, frames, wrappers.get(name, {})), Origin.REBUILT),
                number=frames[0].selected.number,
            )
            for name, frames in instances.items()
        ),
    )


async def _parts(state: State, known: Mapping[str, str], frames: list[ShownImage], wrapper: Wrapper) -> PixelParts:
    frames = sorted(frames, key=lambda item: item.selected.frame or 1)
    samples = []
    for shown in frames:
        if shown.path is None:
            raise CorruptInstance(what=Reason.IMAGE_REDUCED_OR_PARTIAL)
        samples.append(await asyncio.to_thread(shown.path.read_bytes))
    return PixelParts(_tags(state, known, frames, wrapper), tuple(samples))


def _tags(state: State, known: Mapping[str, str], frames: list[ShownImage], wrapper: Wrapper) -> dict[str, str]:
    first, own = frames[0], _plain(wrapper)
    sex = known.get("PatientSex") or state.gender
    decoded = first.decoded
    tile = decoded.tiles[-1] if decoded and decoded.tiles else None
    lut = decoded.lut if decoded else ()
    bits = 8 * (tile.sample if tile else 2)
    stored = own.get("BitsStored") or (str(int(lut[2])) if len(lut) > 2 and 0 < lut[2] <= bits else str(bits))
    signed = tile.signed if tile and tile.signed is not None else bool(lut[1]) if len(lut) > 1 else False
    modality = own.get("Modality") or known.get("Modality", "")
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
        "PatientID": state.patient_id or known.get("PatientID", ""),
        "PatientSex": sex if sex in ("M", "F", "O") else "",
        "InstanceNumber": "" if first.selected.number is None else str(first.selected.number),
        "Rows": str(first.rows),
        "Columns": str(first.columns),
        "BitsAllocated": str(bits),
        "BitsStored": stored,
        "HighBit": str((parse_int(stored) or 1) - 1),
        "PixelRepresentation": str(int(signed)),
        "SamplesPerPixel": "1",
        "PhotometricInterpretation": "MONOCHROME2",
        "NumberOfFrames": str(len(frames)) if len(frames) > 1 else "",
        "RescaleSlope": _number(rescale, 0),
        "RescaleIntercept": _number(rescale, 1),
        "WindowCenter": _number(lut, 3),
        "WindowWidth": _number(lut, 4),
    }
    tags |= {name: value for name, value in own.items() if value and name not in SEEN}
    return {name: value for name, value in tags.items() if value}


def _number(values: tuple[float, ...], place: int) -> str:
    return f"{values[place]:g}" if len(values) > place else ""


def _plain(wrapper: Wrapper) -> dict[str, str]:
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
    return known.get("PatientName") or state.patient_name.partition(" :")[0].strip()
