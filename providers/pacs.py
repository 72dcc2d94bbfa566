"""An archive (PACS) by DICOM's own protocol: C-FIND says what there is, C-GET or C-MOVE brings it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from scraper.contract import (
    ArchiveSeries,
    AsyncIterator,
    Discovered,
    Field,
    ImageRow,
    MalformedArchiveLink,
    NoSuchStudy,
    Number,
    OnDemand,
    Provider,
    QueryTooWide,
    Series,
    SeriesRow,
    Session,
    ShareLink,
    Study,
    StudyRow,
    TooManyStudies,
    in_order,
)

# one of them at least: an archive is never searched as a whole
KEYS = ("StudyInstanceUID", "PatientID", "AccessionNumber")
PRINTED = r"[^*?\\\x00-\x1f]"  # wildcards would enumerate
SHAPES = {
    "StudyInstanceUID": r"[0-9.]{1,64}(?:[\\,][0-9.]{1,64})*",
    "PatientID": PRINTED + "{1,64}",
    "AccessionNumber": PRINTED + "{1,16}",
    "StudyDate": r"\d{8}|\d{8}-(?:\d{8})?|-\d{8}",  # PS3.4 C.2.2.2.5: one day, or a range
    "Modality": r"[A-Z0-9_ ]{1,16}",
    "calling": r"(?! )[ -\[\]-~]{1,16}",
    "get": "get|move",
    "listen": r"[1-9]\d{0,4}",
    "tls": "yes|no",  # the link's own words for a secured connection and its certificates (PS3.15 B.12)
    "ca": ".+",
    "cert": ".+",
    "key": ".+",
}
TITLE = "CLOUDFILM"  # of this computer, where the link gives none
PORT = 11112  # registered for DICOM
MOST_STUDIES, MOST_SERIES, MOST_INSTANCES = 200, 2000, 100_000
OF_A_STUDY = ("StudyDescription", "PatientName")
OF_A_SERIES = ("SeriesInstanceUID", "Modality", "SeriesNumber", "SeriesDescription", "NumberOfSeriesRelatedInstances")
OF_AN_INSTANCE = ("SOPInstanceUID", "SOPClassUID", "InstanceNumber", "AvailableTransferSyntaxUID")
Row = Mapping[str, str]
Fetch = Callable[[ArchiveSeries, str], Awaitable[Path]]


class StudyMatch(StudyRow):
    uid: str = Field(alias="StudyInstanceUID")
    date: str = Field("", alias="StudyDate")
    description: str = Field("", alias="StudyDescription")
    patient_name: str = Field("", alias="PatientName")


class SeriesMatch(SeriesRow):
    uid: str = Field(alias="SeriesInstanceUID")
    number: Number = Field(None, alias="SeriesNumber")
    description: str = Field("", alias="SeriesDescription")
    modality: str = Field("", alias="Modality")
    count: Number = Field(None, alias="NumberOfSeriesRelatedInstances")


class ImageMatch(ImageRow):
    uid: str = Field(alias="SOPInstanceUID")
    number: Number = Field(None, alias="InstanceNumber")
    sop_class: str = Field("", alias="SOPClassUID")
    syntaxes: str = Field("", alias="AvailableTransferSyntaxUID")


class Pacs(Provider):
    name = "pacs"
    schemes = ("pacs",)
    route = r"/?(?:\?[^#]*)?"
    when_asked = "nothing; the archive must know this computer's AE title"
    serves = "data sets as the archive sends them, in the Transfer Syntax that it stores"
    verified = "Orthanc (C-GET, C-MOVE), 2026-11"
    facts = "DICOM PS3.4 C.3 and C.4, PS3.7, PS3.8"
    distinctive_routes = (r".*",)
    example = "pacs://ARCHIVE@pacs.hospital.test:104?StudyInstanceUID=1.2.3"

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Discovered]:
        asked = _asked(link)
        archive = session.archive(
            calling=asked.get("calling", TITLE),
            listen=int(asked.get("listen", PORT)),
            move=asked.get("get") == "move",
            tls=asked if asked.get("tls") == "yes" else None,
        )
        keys = {name: asked.get(name, "") for name in (*KEYS, "StudyDate")}
        keys |= {**dict.fromkeys(OF_A_STUDY, ""), "ModalitiesInStudy": asked.get("Modality", "")}
        rows = [row for row in await archive.find("STUDY", keys, MOST_STUDIES) if _fits(row, asked)]
        if not rows:
            raise NoSuchStudy(host=link.host)
        if len(rows) > MOST_STUDIES:
            raise TooManyStudies(host=link.host, count=MOST_STUDIES)
        for number, row in enumerate(rows, 1):
            if len(rows) > 1:
                session.tell("archive-study", number=number, count=len(rows))
            above = {"StudyInstanceUID": row["StudyInstanceUID"]}
            listed = await archive.find("SERIES", above | dict.fromkeys(OF_A_SERIES, ""), MOST_SERIES)
            for place, series in enumerate(in_order(map(SeriesMatch.model_validate, listed))):
                keys = above | {"SeriesInstanceUID": series.uid} | dict.fromkeys(OF_AN_INSTANCE, "")
                found = await archive.find("IMAGE", keys, MOST_INSTANCES)
                yield _series(archive.instance, StudyMatch.model_validate(row).study, place, series, found)


def _series(fetch: Fetch, study: Study, place: int, series: SeriesMatch, found: Sequence[Row]) -> Series:
    """One series; an archive that lists fewer instances than it counts has not listed them all."""
    images = in_order(map(ImageMatch.model_validate, found))
    classes = {image.uid: image.sop_class for image in images}
    syntaxes = {name for image in images for name in image.syntaxes.split("\\") if name}
    held = ArchiveSeries(study.uid, series.uid, classes, tuple(sorted(syntaxes)), series.modality)
    each = {image.uid: image for image in images}.values()
    return series.described(study, place, images=each, source=lambda image: OnDemand(partial(fetch, held, image.uid)))


def _asked(link: ShareLink) -> dict[str, str]:
    """What the link asks for, and how.

    Raises:
        MalformedArchiveLink: a word that nobody knows, or a value of the wrong shape. QueryTooWide: no study is named.
    """
    asked = {name: value.strip() for name, value in link.params.items() if value.strip()}
    for name, value in asked.items():
        if not re.fullmatch(SHAPES.get(name, r"(?!)"), value):
            raise MalformedArchiveLink(part=name if name in SHAPES else "?…")
    if not any(asked.get(name, "") for name in KEYS):
        raise QueryTooWide
    if int(asked.get("listen", PORT)) > 65535:
        raise MalformedArchiveLink(part="listen")
    return asked | {"StudyInstanceUID": asked.get("StudyInstanceUID", "").replace(",", "\\")}


def _fits(row: Row, asked: Row) -> bool:
    """Does a match keep to the day and the modality; not every archive matches by every key."""
    modality, modalities = asked.get("Modality", ""), row["ModalitiesInStudy"]
    first, dash, last = asked.get("StudyDate", "").partition("-")
    on_time = (first or "0") <= row["StudyDate"] <= ((last or "9") if dash else (first or "9"))
    return (not row["StudyDate"] or on_time) and (not modalities or not modality or modality in modalities.split("\\"))
