"""明天医网 and 联众 imagecloud: one vendor's image service, its cipher, and the study as it lists it.

facts: fixtures/sites/mtywcloud/README.md, fixtures/sites/medapi/README.md
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace

from scraper.contract import (
    CheckedReply,
    Field,
    Instance,
    Number,
    Reason,
    Reply,
    Response,
    Series,
    SessionLapsed,
    SiteChanged,
    Study,
    WadoUri,
    none_last,
    read,
    with_query,
)
from scraper.protocols import ciphers

KEY, IV = b"561382DAD3AE48A89AC3003E15D75CC0", b"1234567890000000"  # AES-256-CBC; last seen to work 2026-03
SECTIONS = "SM"  # a modality whose objects another service has
# What is listed beside images and is none, by the name that its list gives it → its modality (PS3.3 C.7.3.1.1.1)
DOCUMENTS = {
    "KO": "KO",
    "KOS": "KO",
    "PR": "PR",
    "ECG": "ECG",
    "心电图": "ECG",
    "PDF": "DOC",
    "DOC": "DOC",
    "SM": SECTIONS,
}
DOCUMENTS |= {"病理": SECTIONS, "病理切片": SECTIONS, "切片": SECTIONS}
DOCUMENT_CLASSES = {"88.59": "KO", "11.": "PR", "9.": "ECG", "104.": "DOC", "77.1.6": SECTIONS}  # PS3.4 B.5
DOCUMENT_FILE = re.compile(r"(?i)\.(?:pdf|docx?|xml|html?)$")


class ServiceReply(CheckedReply):
    """What each of the services says, whatever the capitals of its keys."""

    data: object = None


class ImageReply(Reply):
    """One frame or file."""

    uid: str = Field("", alias="sopinstanceuid")
    series_uid: str = Field("", alias="seriesinstanceuid")
    study_uid: str = Field("", alias="studyinstanceuid")
    path: str = Field(alias="imagepath")
    sop_class: str = Field("", alias="sopclassuid")
    modality: str = ""
    device: str = Field("", alias="deviceid")
    tenancy: str = Field("", alias="tenancyid")
    number: Number = Field(None, alias="instancenumber")
    frame: Number = Field(None, alias="frameid")


class SeriesReply(Reply):
    """One series."""

    number: str = Field("", alias="seriesnumber")
    order: Number = Field(None, alias="seriesnumber")
    description: str = Field("", alias="seriesdescription")
    modality: str = ""
    count: Number = Field(None, alias="imagecount")
    images: tuple[ImageReply, ...] = Field((), alias="imagelist")

    @property
    def unlisted(self) -> int:
        """Images that the series counts and does not list."""
        return max((self.count or 0) - len(self.images), 0)

    def document(self, image: ImageReply) -> str:
        """The modality of an object that is no image, by what the list says of it or of its series; else empty."""
        for name in (image.modality, self.modality, self.description.strip()):
            if kind := DOCUMENTS.get(name.upper(), ""):
                return kind
        tail = image.sop_class.removeprefix("1.2.840.10008.5.1.4.1.1.")
        by_class = (kind for root, kind in DOCUMENT_CLASSES.items() if tail.startswith(root))
        return next(by_class, "DOC" if DOCUMENT_FILE.search(image.path) else "")


class StudyReply(Reply):
    """One study."""

    patient: str = Field("", alias="patientname")
    description: str = Field("", alias="studydescription")
    modality: str = Field("", alias="modalitiesinstudy")
    when: str = Field("", alias="studydatetime")
    date: str = Field("", alias="studydate")
    device: str = Field("", alias="deviceid")
    tenancy: str = Field("", alias="tenancyid")
    series: tuple[SeriesReply, ...] = Field((), alias="serieslist")


class StudiesReply(Reply):
    """All of an answer's."""

    studies: list[StudyReply]


def seal(text: str) -> str:
    """A text as the services want it: lower-case hexadecimal of its ciphertext."""
    return ciphers.cbc_sealed(text, KEY, IV).hex()


def unseal(text: object) -> str:
    """What such a text says.

    Raises:
        SiteChanged: it does not open with the key known.
    """
    try:
        return ciphers.cbc_opened(ciphers.from_hex(str(text)), KEY, IV)
    except ciphers.WrongKey as err:
        raise SiteChanged(what=Reason.KEY_CHANGED_2026_03) from err


def unwrap(response: Response, reply: type[ServiceReply] = ServiceReply) -> ServiceReply:
    """An answer of any of the services; its status and Content-Type say little.

    Raises:
        SessionLapsed: 401. SiteChanged: no JSON. As ``Response.refusal``: another without words.
    """
    if response.status == 401:
        raise SessionLapsed
    try:
        return read(json.dumps(_lower_keys(response.json())).encode(), reply, response.url)
    except SiteChanged as err:
        raise err if response.ok else response.refusal from err


def checked(response: Response, reply: type[ServiceReply] = ServiceReply) -> ServiceReply:
    """The same of a request that the service agreed to; raises the refusal that it says instead."""
    service = unwrap(response, reply)
    if not service.ok:
        raise service.refusal()
    return service


def studies(data: object, url: str) -> list[StudyReply]:
    """The studies of an answer's data, which may be JSON, or the text of JSON."""
    return read(json.dumps({"studies": parse_lower(data or [], url)}).encode(), StudiesReply, url).studies


def parse_lower(data: object, url: str) -> object:
    """JSON, or the text of JSON, with its keys in lower case.

    Raises:
        SiteChanged: the text is no JSON.
    """
    return _lower_keys(Response(200, {}, data.encode(), url).json() if isinstance(data, str) else data)


def describe(
    listed: list[StudyReply],
    address: str,
    query: Mapping[str, str],
    headers: Mapping[str, str] | None = None,
    key: str = "",
    **own: str,
) -> list[Series]:
    """The series in order of their numbers; an object that is listed once a frame is one instance.

    Args:
        listed: the studies.
        address: where an image is had.
        query: of its address, with ``{image.uid}``, ``{device}``, ``{tenancy}`` … in its values.
        headers: of its request.
        key: stands in for the Study Instance UID where none is given.
        own: the link's own words for the query; its ``tenancy`` counts where neither image nor study names one.
    """

    def source(study: StudyReply, image: ImageReply) -> WadoUri:
        known = {
            "device": image.device or study.device,
            "tenancy": image.tenancy or study.tenancy or own.get("tenancy", ""),
        }
        asked = {name: value.format(image=image, **{**own, **known}) for name, value in query.items()}
        return WadoUri(with_query(address, asked), headers or {})

    found = []
    for place, study in enumerate(listed):
        for at, series in enumerate(sorted(study.series, key=lambda item: none_last(item.order))):
            named, date = f"{key}/{place}" if place else key, study.when or study.date
            kinds: dict[str, list[ImageReply]] = {} if series.images else {"": []}
            for image in _objects(series):
                kinds.setdefault(series.document(image), []).append(image)
            for kind, images in kinds.items():
                study_uid = images[0].study_uid if images else ""
                described = Series(
                    study_instance_uid=study_uid,
                    series_instance_uid=images[0].series_uid if images else "",
                    key=f"{place}/{at}/{series.number}{kind}",
                    number=series.order,
                    description=series.description,
                    modality=kind or series.modality or study.modality,
                    expected=len(images) + (0 if kind else series.unlisted),
                    study=Study(study_uid, date, study.modality, study.description, study.patient, named),
                    instances=tuple(
                        Instance(image.uid, source(study, image), key=image.path, number=image.number)
                        for image in images
                    ),
                )
                if kind == SECTIONS:
                    names = [image.uid or image.path for image in images]
                    described = replace(described, expected=None, instances=())
                    described = described.without(names, Reason.PATHOLOGY_SECTIONS)
                found.append(described)
    return found


def _objects(series: SeriesReply) -> list[ImageReply]:
    """Each object once, in order of instance number and frame; as listed where there is none."""
    images: dict[tuple[str, ...], ImageReply] = {}
    for image in sorted(series.images, key=lambda item: (none_last(item.number), none_last(item.frame))):
        images.setdefault((image.path, image.device, image.tenancy), image)
    return list(images.values())


def _lower_keys(value: object) -> object:
    """The same JSON with its keys in lower case."""
    if isinstance(value, dict):
        return {str(name).lower(): _lower_keys(item) for name, item in value.items()}
    return [_lower_keys(item) for item in value] if isinstance(value, list) else value
