"""明天医网 and 联众 imagecloud: one vendor's image service, its cipher, and the study as it lists it.

facts: fixtures/sites/mtywcloud/README.md, fixtures/sites/medapi/README.md
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from scraper.contract import (
    Field,
    Instance,
    Reason,
    Reply,
    Response,
    Series,
    SessionLapsed,
    ShareLink,
    SiteChanged,
    Study,
    WadoUri,
    read,
    whole,
)
from scraper.protocols import ciphers

KEY, IV = b"561382DAD3AE48A89AC3003E15D75CC0", b"1234567890000000"  # AES-256-CBC; last seen to work 2026-03


class Answer(Reply):
    """What each of the services says, whatever the capitals of its keys."""

    success: bool | None = None
    code: str = ""
    msg: str | None = ""
    message: str | None = ""
    data: object = None

    @property
    def said(self) -> str:
        """Its own words."""
        return self.msg or self.message or ""


class Image(Reply):
    """One frame or file."""

    uid: str | None = Field("", alias="sopinstanceuid")
    series_uid: str | None = Field("", alias="seriesinstanceuid")
    study_uid: str | None = Field("", alias="studyinstanceuid")
    path: str = Field(alias="imagepath")
    device: str | None = Field("", alias="deviceid")
    tenancy: str | None = Field("", alias="tenancyid")
    number: str | None = Field("", alias="instancenumber")
    frame: str | None = Field("", alias="frameid")


class Listed(Reply):
    """One series."""

    number: str | None = Field("", alias="seriesnumber")
    description: str | None = Field("", alias="seriesdescription")
    images: list[Image] | None = Field(None, alias="imagelist")


class Told(Reply):
    """One study."""

    patient: str | None = Field("", alias="patientname")
    description: str | None = Field("", alias="studydescription")
    modality: str | None = Field("", alias="modalitiesinstudy")
    when: str | None = Field("", alias="studydatetime")
    date: str | None = Field("", alias="studydate")
    accession: str | None = Field("", alias="accessionnumber")
    device: str | None = Field("", alias="deviceid")
    tenancy: str | None = Field("", alias="tenancyid")
    series: list[Listed] | None = Field(None, alias="serieslist")


class Studies(Reply):
    """All of an answer's."""

    studies: list[Told]


def sealed(text: str) -> str:
    """A text as the services want it: lower-case hexadecimal of its ciphertext."""
    return ciphers.cbc_sealed(text, KEY, IV).hex()


def opened(text: object, host: str) -> str:
    """What such a text says.

    Raises:
        SiteChanged: it does not open with the key known.
    """
    try:
        return ciphers.cbc_opened(ciphers.from_hex(str(text)), KEY, IV)
    except ciphers.WrongKey as err:
        raise SiteChanged(host=host, what=Reason.KEY_CHANGED_2026_03) from err


def told(answer: Response) -> Answer:
    """An answer of any of the services; its status and Content-Type tell little.

    Raises:
        SessionLapsed: 401. SiteChanged: no JSON. As ``Response.refusal``: another without words.
    """
    if answer.status == 401:
        raise SessionLapsed(host=ShareLink(answer.url).host)
    try:
        return read(json.dumps(_lowered(answer.json())).encode(), Answer, answer.url)
    except SiteChanged as err:
        if not answer.ok:
            raise answer.refusal from err
        raise


def studies(data: object, url: str) -> list[Told]:
    """The studies of an answer's data, which may be JSON, or the text of JSON."""
    return read(json.dumps({"studies": parsed(data, url)}).encode(), Studies, url).studies


def parsed(data: object, url: str) -> object:
    """JSON, or the text of JSON, with its keys in lower case.

    Raises:
        SiteChanged: the text is no JSON.
    """
    return _lowered(Response(200, {}, data.encode(), url).json() if isinstance(data, str) else data)


def described(listed: list[Told], source: Callable[[Told, Image], WadoUri], key: str) -> list[Series]:
    """The series in order of their numbers; an object that is listed once a frame is one instance.

    Args:
        listed: the studies.
        source: where an image is had.
        key: stands in for the Study Instance UID where none is given.
    """
    found = []
    for place, study in enumerate(listed):
        for at, series in enumerate(sorted(study.series or [], key=lambda item: _rank(item.number))):
            images = _objects(series)
            study_uid = (images[0].study_uid or "") if images else ""
            found.append(
                Series(
                    study_instance_uid=study_uid,
                    series_instance_uid=(images[0].series_uid or "") if images else "",
                    key=f"{place}/{at}/{series.number or ''}",
                    number=whole(series.number),
                    description=series.description or "",
                    modality=study.modality or "",
                    expected=len(images),
                    study=Study(
                        uid=study_uid,
                        date=re.sub(r"\D", "", study.when or study.date or "")[:8],
                        modality=study.modality or "",
                        description=study.description or "",
                        patient_name=study.patient or "",
                        key=f"{key}/{place}" if place else key,
                    ),
                    instances=tuple(
                        Instance(image.uid or "", source(study, image), key=image.path, number=whole(image.number))
                        for image in images
                    ),
                )
            )
    return found


def _objects(series: Listed) -> list[Image]:
    """Each object once, in order of instance number and frame; as listed where there is none."""
    images: dict[tuple[str | None, ...], Image] = {}
    for image in sorted(series.images or [], key=lambda item: (_rank(item.number), _rank(item.frame))):
        images.setdefault((image.path, image.device, image.tenancy), image)
    return list(images.values())


def _rank(number: str | None) -> int:
    known = whole(number)
    return 2**31 if known is None else known


def _lowered(value: object) -> object:
    """The same JSON with its keys in lower case."""
    if isinstance(value, dict):
        return {str(name).lower(): _lowered(item) for name, item in value.items()}
    return [_lowered(item) for item in value] if isinstance(value, list) else value
