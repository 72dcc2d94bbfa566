"""联影 (UIH)'s ImageService: its tree of a study, its images, and the film pages that lead to its viewer.

facts: fixtures/sites/imageservice/README.md, fixtures/sites/zscloud/README.md
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from scraper.contract import (
    Field,
    Instance,
    Number,
    Reason,
    Reply,
    Response,
    Series,
    Session,
    SiteChanged,
    Study,
    WadoUri,
    refusal_error,
    with_query,
)

LISTED = r"(?i)/Home/ImageService\?(?:[^#]*&)?CommandType=GetHierachy(?:&|$)"  # spelt so
IMAGE = {"CommandType": "GetImage", "ContentType": "application/dicom", "includeDeleted": "false"}
TO_IMAGES = ", ".join(f"{kind}:has-text('查看影像')" for kind in ("button", "a", "[role=button]"))


class ImageReply(Reply):
    uid: str = Field(alias="UID")


class SeriesReply(Reply):
    uid: str = Field(alias="UID")
    description: str = Field("", alias="SeriesDes")
    number: Number = Field(None, alias="SeriesNum")
    modality: str = Field("", alias="Modality")
    images: tuple[ImageReply, ...] = Field((), alias="ImageList")


class StudyReply(Reply):
    uid: str = Field(alias="UID")
    series: tuple[SeriesReply, ...] = Field((), alias="SeriesList")


class HeadReply(Reply):
    studies: tuple[StudyReply, ...] = Field((), alias="StudyList")


class TreeReply(Reply):
    head: HeadReply = Field(default_factory=HeadReply.empty, alias="PatientInfo")
    msg: str = ""
    message: str = ""

    @property
    def studies(self) -> tuple[StudyReply, ...]:
        """The studies below the head; raises what the service says, or SiteChanged, where there is no head."""
        if "head" not in self.model_fields_set:
            message = self.message or self.msg
            raise refusal_error(message) if message else SiteChanged(what=Reason.NO_SERIES_LIST_OF_STUDY)
        return self.head.studies


def described(
    tree: TreeReply, service: str, headers: Mapping[str, str], study_of: Callable[[str], Study] = Study
) -> list[Series]:
    """Every series of a tree, its images at the address of the service."""

    def instance(study: StudyReply, series: SeriesReply, uid: str) -> Instance:
        asked = {**IMAGE, "ObjectUID": uid, "StudyUID": study.uid, "SeriesUID": series.uid, "randnum": number_once()}
        return Instance(uid, WadoUri(with_query(service, asked), headers))

    return [
        Series(
            series_instance_uid=series.uid,
            number=series.number,
            description=series.description,
            modality=series.modality,
            expected=len(series.images),
            study=study_of(study.uid),
            instances=tuple(instance(study, series, image.uid) for image in series.images),
        )
        for study in tree.studies
        for series in study.series
    ]


async def open_examination(session: Session, pattern: str, place: int = 0) -> tuple[Response, dict[str, str]] | None:
    """Press an examination's button on a film page; the list that the viewer then asks for, and the token it is asked with.

    The viewer opens in a new tab, and sometimes mounts nothing until it is loaded once more. None where it asks for nothing.
    """
    before = len(session.traffic.matching(pattern))
    await session.screen.click_at(TO_IMAGES, place)
    for is_last in (False, True):
        if await session.screen.wait_for_face(lambda: session.traffic.matching(pattern)[before:]) == "called":
            return last_list(session, pattern)
        if not is_last:
            await session.screen.reload()
    return None


def last_list(session: Session, pattern: str) -> tuple[Response, dict[str, str]]:
    """The newest list that the page received, and the token that it was asked with."""
    exchange = session.traffic.matching(pattern)[-1]
    token = exchange.request_headers.get("authorization", "")
    return exchange.response(), {"Authorization": token} if token else {}


def number_once() -> str:
    """A number that only keeps caches away."""
    return f"{random.random():.16f}"  # noqa: S311  # no secret
