"""The GE Zero Footprint viewer (ZFP): a study's layout, its images asked for one by one, and their tags.

facts: fixtures/sites/cif/README.md
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from functools import partial

from providers.cif.layout import InstanceReply, Layout, SeriesReply, read_layout
from providers.cif.socket import Connection, connections
from scraper.contract import (
    CorruptInstance,
    Instance,
    OnDemand,
    Origin,
    PixelParts,
    Reason,
    Series,
    Session,
    SiteChanged,
    frame_count,
    parse_int,
)

NO_IMAGES = tuple(f"1.2.840.10008.5.1.4.1.1.{literal}" for literal in ("88.", "104.", "11.", "66"))
"""Reports, documents, presentation states, raw data: their "pixels" are text, or none (PS3.4 B.5)."""

SAME = (  # noqa: SIM905  # a list of words reads better so
    "Rows Columns SamplesPerPixel PhotometricInterpretation BitsAllocated BitsStored HighBit PixelRepresentation "
    "PlanarConfiguration PixelSpacing SliceThickness SliceLocation ImageType WindowCenter WindowWidth RescaleIntercept "
    "RescaleSlope RescaleType ExposureTime ReconstructionDiameter"
).split()
HEADER = {  # DICOM's keyword → the header's name of it
    **{name: name for name in SAME},
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


async def describe(session: Session) -> list[Series]:
    """Every series of the study that the open viewer's page asked for.

    Raises:
        SiteChanged: the page asks for no study, or no layout comes. StudyGone: refused in the site's own words.
    """
    layout = await _layout(session)
    lines: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
    for connection in await connections(session):
        lines.put_nowait(connection)
    return [_series(lines, layout, series) for series in layout.series if series.count != 0]


def _series(lines: asyncio.LifoQueue[Connection], layout: Layout, series: SeriesReply) -> Series:
    images = [item for item in series.instances if not item.sop_class.startswith(NO_IMAGES)]
    other = [item.uid for item in series.instances if item not in images]
    frames = sum(item.frames or 1 for item in series.instances)
    announced = (series.count or 0) - len(other)
    return Series(
        study_instance_uid=layout.uid,
        series_instance_uid=series.uid,
        number=series.number,
        description=series.description.strip(),
        modality=series.modality,
        expected=len(images) if series.count == frames else max(announced, len(images)),
        study=layout.study,
        instances=tuple(
            Instance(
                item.uid, OnDemand(partial(_image, lines, layout, series, item), Origin.REBUILT), number=item.number
            )
            for item in images
        ),
    ).without(other)


async def _layout(session: Session) -> Layout:
    """The layout that the page received; of several studies that it asked for, the first."""
    seen, traffic = 0, session.traffic
    while fresh := await traffic.after(seen, timeout_s=session.settings.timeout_s):
        for exchange in fresh:
            seen += 1
            is_message = exchange.kind == "websocket-in"
            if is_message and (layout := read_layout(exchange.read(), exchange.url, session)) is not None:
                return layout
    raise SiteChanged(what=Reason.NO_SERIES_LIST_OF_STUDY)


async def _image(
    lines: asyncio.LifoQueue[Connection], layout: Layout, series: SeriesReply, instance: InstanceReply
) -> PixelParts:
    """One object, of as many frames as it has."""
    frames = []
    header: Mapping[str, object] = {}
    for number in range(frame_count(instance.frames)):
        line = await lines.get()
        try:
            text, pixels = await line.ask(f"{instance.uid}#{number}")
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
    return PixelParts(_tags(layout, series, instance, header, len(frames)), tuple(frames))


def _cut(header: Mapping[str, object], pixels: bytes) -> bytes:
    """The pixels without what some servers send after them."""
    numbers = [parse_int(_text(header, name)) or 0 for name in ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated")]
    rows, columns, samples, bits = numbers
    wanted = rows * columns * (samples or 1) * -(-bits // 8)
    if not wanted or len(pixels) < wanted:
        raise CorruptInstance(what=Reason.PIXEL_BYTES.of(found=len(pixels), expected=wanted))
    return pixels[:wanted]


def _tags(
    layout: Layout, series: SeriesReply, instance: InstanceReply, header: Mapping[str, object], frames: int
) -> dict[str, str]:
    tags = {keyword: _text(header, name) for keyword, name in HEADER.items()}
    for keyword in ("ContentDate", "ContentTime"):
        tags[keyword] = _digits(tags[keyword].partition(".")[0])[: 8 if keyword == "ContentDate" else 6]
    tags |= {
        "SOPInstanceUID": instance.uid,
        "SOPClassUID": instance.sop_class or tags["SOPClassUID"],
        "SeriesInstanceUID": series.uid,
        "StudyInstanceUID": layout.uid,
        "Modality": series.modality,
        "SeriesNumber": _number(series.number),
        "SeriesDescription": series.description,
        "InstanceNumber": tags["InstanceNumber"] or _number(instance.number),
        "PatientName": str(layout.name),
        "PatientID": layout.patient,
        "PatientSex": layout.sex,
        "PatientBirthDate": _digits(layout.born)[:8],
        "AccessionNumber": layout.accession,
        "StudyDate": _digits(layout.date)[:8],
        "StudyTime": _digits(layout.time)[:6],
        "StudyDescription": layout.description,
        "NumberOfFrames": str(frames) if frames > 1 else "",
    }
    return {keyword: value for keyword, value in tags.items() if value}


def _text(header: Mapping[str, object], name: str) -> str:
    value = header.get(name)
    if isinstance(value, list):
        return "\\".join(str(item) for item in value)
    return "" if value is None else str(value).strip()


def _number(number: int | None) -> str:
    return "" if number is None else str(number)


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text.partition("T")[0])
