"""联影 (UIH)'s ImageService: its tree of a study, its images, and the film pages that lead to its viewer.

facts: fixtures/sites/imageservice/README.md, fixtures/sites/zscloud/README.md
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from functools import partial

from scraper.contract import (
    Field,
    ImageRow,
    Number,
    Reason,
    Reply,
    Response,
    Series,
    SeriesRow,
    Session,
    SiteChanged,
    Study,
    StudyRow,
    WadoUri,
    refusal_error,
    with_query,
)

LISTED = r"(?i)/Home/ImageService\?(?:[^#]*&)?CommandType=GetHierachy(?:&|$)"  # spelt so
IMAGE = {"CommandType": "GetImage", "ContentType": "application/dicom", "includeDeleted": "false"}
TO_IMAGES = ", ".join(f"{kind}:has-text('查看影像')" for kind in ("button", "a", "[role=button]"))


class ImageReply(ImageRow):
    uid: str = Field(alias="UID")


class SeriesReply(SeriesRow):
    is_sorted = False
    uid: str = Field(alias="UID")
    description: str = Field("", alias="SeriesDes")
    number: Number = Field(None, alias="SeriesNum")
    modality: str = Field("", alias="Modality")
    images: tuple[ImageReply, ...] = Field((), alias="ImageList")


class StudyReply(StudyRow):
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

    def source(study: StudyReply, series: SeriesReply, image: ImageReply) -> WadoUri:
        named = {"ObjectUID": image.uid, "StudyUID": study.uid, "SeriesUID": series.uid, "randnum": number_once()}
        return WadoUri(with_query(service, IMAGE | named), headers)

    return [
        series.described(study_of(study.uid), place, images=series.images, source=partial(source, study, series))
        for study in tree.studies
        for place, series in enumerate(study.series)
    ]


def of_response(response: Response) -> list[Series]:
    """The same of the service's own answer, with the token that it was asked with."""
    token = response.sent.get("authorization", "")
    headers = {"Authorization": token} if token else {}
    return described(response.checked(TreeReply), response.url.partition("?")[0], headers)


async def open_examination(session: Session, pattern: str, place: int = 0) -> Response | None:
    """Press an examination's button on a film page; the list that the viewer then asks for.

    The viewer opens in a new tab, and sometimes mounts nothing until it is loaded once more. None where it asks for nothing.
    """
    before = len(session.traffic.matching(pattern))
    await session.screen.click_at(TO_IMAGES, place)
    for is_last in (False, True):
        if await session.screen.wait_for_face(lambda: session.traffic.matching(pattern)[before:]) == "called":
            return session.traffic.matching(pattern)[-1].response()
        if not is_last:
            await session.screen.reload()
    return None


def number_once() -> str:
    """A number that only keeps caches away."""
    return f"{random.random():.16f}"  # noqa: S311  # no secret
