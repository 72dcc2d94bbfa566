"""The GE Zero Footprint viewer (ZFP): a study's layout, its images asked for one by one, and their tags.

facts: fixtures/sites/cif/README.md
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from functools import partial

from providers.cif.layout import Layout, SeriesReply, SopReply, of_message
from providers.cif.socket import Line, opened
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
    SiteChanged,
    Study,
    frame_count,
    whole,
)

NO_IMAGES = tuple(f"1.2.840.10008.5.1.4.1.1.{literal}" for literal in ("88.", "104.", "11.", "66"))
"""Reports, documents, presentation states, raw data: their "pixels" are text, or none (PS3.4 B.5)."""

HEADER = {  # DICOM's keyword → the header's name of it
    **{
        name: name
        for name in (
            "Rows",
            "Columns",
            "SamplesPerPixel",
            "PhotometricInterpretation",
            "BitsAllocated",
            "BitsStored",
            "HighBit",
            "PixelRepresentation",
            "PlanarConfiguration",
            "PixelSpacing",
            "SliceThickness",
            "SliceLocation",
            "ImageType",
            "WindowCenter",
            "WindowWidth",
            "RescaleIntercept",
            "RescaleSlope",
            "RescaleType",
            "ExposureTime",
            "ReconstructionDiameter",
        )
    },
    "ImagePositionPatient": "ImagePosition",
    "ImageOrientationPatient": "ImageOrientation",
    "SpacingBetweenSlices": "SliceSpacing",
    "InstanceNumber": "ImageNumber",
    "FrameOfReferenceUID": "FrameOfReferenceUid",
    "KVP": "Kvp",
    "XRayTubeCurrent": "XrayTubeCurrent",
    "ContentDate": "ImageDate",
    "ContentTime": "ImageTime",
    "SOPClassUID": "SopClassUid",
    "SOPInstanceUID": "SopInstanceUid",
}


async def series(session: Session) -> AsyncIterator[Series]:
    """Every series of the study that the open viewer's page asked for.

    Raises:
        SiteChanged: the page asks for no study, or no layout comes. StudyGone: refused in the site's own words.
    """
    layout = await _layout(session)
    lines: asyncio.LifoQueue[Line] = asyncio.LifoQueue()
    for line in await opened(session):
        lines.put_nowait(line)
    study = Study(
        uid=layout.uid,
        date=_digits(layout.date)[:8],
        description=(layout.description or "").strip(),
        patient_name=str(layout.name or ""),
    )
    for item in layout.series:
        if whole(item.count) == 0:
            continue
        sops = item.sops or []
        images = [sop for sop in sops if not (sop.sop_class or "").startswith(NO_IMAGES)]
        other = tuple(sop.uid for sop in sops if sop not in images)
        frames = sum(whole(sop.frames) or 1 for sop in sops)
        announced = (whole(item.count) or 0) - len(other)
        yield Series(
            study_instance_uid=layout.uid,
            series_instance_uid=item.uid,
            number=whole(item.number),
            description=(item.description or "").strip(),
            modality=item.modality or "",
            expected=len(images) if whole(item.count) == frames else max(announced, len(images)),
            study=study,
            instances=tuple(
                Instance(
                    sop.uid,
                    Asked(partial(_image, lines, layout, item, sop), Origin.REBUILT),
                    number=whole(sop.number),
                )
                for sop in images
            ),
            left_out=(Problem("left-out", other, fatal=False),) if other else (),
        )


# ---- the layout


async def _layout(session: Session) -> Layout:
    """What the page was told of its study; of several that it asked for, the first."""
    seen, traffic = 0, session.traffic
    while fresh := await traffic.after(seen, timeout_s=session.settings.timeout_s):
        for exchange in fresh:
            seen += 1
            if (
                exchange.kind == "websocket-in"
                and (found := of_message(exchange.read(), exchange.url, session)) is not None
            ):
                return found
    raise SiteChanged(host=session.link.host, what=Reason.NO_SERIES_LIST_OF_STUDY)


# ---- an image


async def _image(lines: asyncio.LifoQueue[Line], layout: Layout, told: SeriesReply, sop: SopReply) -> PixelParts:
    """One object, of as many frames as it has."""
    frames = []
    header: Mapping[str, object] = {}
    for number in range(frame_count(sop.frames)):
        line = await lines.get()
        try:
            text, pixels = await line.ask(f"{sop.uid}#{number}")
        finally:
            lines.put_nowait(line)
        try:
            item = json.loads(text)
        except ValueError:
            raise CorruptInstance(what=Reason.TAGS_NO_JSON) from None
        if not isinstance(item, dict):
            raise CorruptInstance(what=Reason.TAGS_NO_LIST)
        header = header or item
        frames.append(_cut(item, pixels))
    return PixelParts(_tags(layout, told, sop, header, len(frames)), tuple(frames))


def _cut(header: Mapping[str, object], pixels: bytes) -> bytes:
    """The pixels without what some servers send after them."""
    numbers = [whole(_text(header, name)) or 0 for name in ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated")]
    rows, columns, samples, bits = numbers
    wanted = rows * columns * (samples or 1) * -(-bits // 8)
    if not wanted or len(pixels) < wanted:
        raise CorruptInstance(what=Reason.PIXEL_BYTES.of(found=len(pixels), expected=wanted))
    return pixels[:wanted]


def _tags(
    layout: Layout, told: SeriesReply, sop: SopReply, header: Mapping[str, object], frames: int
) -> dict[str, str]:
    tags = {keyword: _text(header, name) for keyword, name in HEADER.items()}
    for keyword in ("ContentDate", "ContentTime"):
        tags[keyword] = _digits(tags[keyword].partition(".")[0])[: 8 if keyword == "ContentDate" else 6]
    tags |= {
        "SOPInstanceUID": sop.uid,
        "SOPClassUID": sop.sop_class or tags["SOPClassUID"],
        "SeriesInstanceUID": told.uid,
        "StudyInstanceUID": layout.uid,
        "Modality": told.modality or "",
        "SeriesNumber": told.number or "",
        "SeriesDescription": told.description or "",
        "InstanceNumber": tags["InstanceNumber"] or sop.number or "",
        "PatientName": str(layout.name or ""),
        "PatientID": layout.patient or "",
        "PatientSex": layout.sex or "",
        "PatientBirthDate": _digits(layout.born)[:8],
        "AccessionNumber": layout.accession or "",
        "StudyDate": _digits(layout.date)[:8],
        "StudyTime": _digits(layout.time)[:6],
        "StudyDescription": layout.description or "",
        "NumberOfFrames": str(frames) if frames > 1 else "",
    }
    return {keyword: value for keyword, value in tags.items() if value}


def _text(header: Mapping[str, object], name: str) -> str:
    value = header.get(name)
    if isinstance(value, list):
        return "\\".join(str(item) for item in value)
    return "" if value is None else str(value).strip()


def _digits(text: str | None) -> str:
    return re.sub(r"\D", "", (text or "").partition("T")[0])
