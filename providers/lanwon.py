"""蓝网 (LanWon)'s older line: a viewer of many hospitals, a patient site with a code on paper, report links of 30 minutes."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Sequence
from itertools import product

from providers.toolkit.gate import PageGate
from scraper.contract import (
    ACCESS_CODE,
    CheckedReply,
    CloudfilmError,
    Discovered,
    Field,
    ImageRow,
    NeedsBrowser,
    NoSuchStudy,
    NotOriginalDicom,
    Number,
    Provider,
    Reason,
    Reply,
    Response,
    Series,
    SeriesRow,
    Session,
    ShareLink,
    SiteChanged,
    Study,
    StudyGone,
    StudyRow,
    UnusableLink,
    route,
)

API = "/wadoOrFap/"
UID = re.compile(r"(?<![\d.])\d+(?:\.\d+){2,}")
TO_IMAGES = ", ".join(f"{kind}:has-text('影像')" for kind in ("a", "button", "[role=button]"))
VERIFIED, INSPECTED, LISTED = r"/api/shareCodeVerify", r"/api/inspection", r"/wadoOrFap/dicom[?/]"
CODE_GATE = PageGate(called=VERIFIED, asks=ACCESS_CODE)
REPORT_GATE = PageGate(called=LISTED, control=TO_IMAGES)


class LanwonReply(CheckedReply):
    good = ("200",)

    msg: str = Field("", alias="message|msg")


class VerifyReply(LanwonReply):
    checks = ACCESS_CODE


class InspectionReply(LanwonReply):
    uid: str = Field("", alias="data.inspection.imageStudyuid")
    other: str = Field("", alias="data.inspection.imageStudyId")
    report: str = Field("", alias="data.inspection.reportStudyuid")


class ImageReply(ImageRow):
    uid: str = Field(alias="imageId")


class SeriesReply(SeriesRow):
    address = "image/{study.uid}/{series.uid}/{image.uid}/"
    uid: str = Field("", alias="seriesInstanceUID")
    number: Number = Field(None, alias="seriesNumber")
    description: str = Field("", alias="seriesDescription")
    images: tuple[ImageReply, ...] = Field((), alias="instanceList")


class ListReply(LanwonReply, StudyRow):
    uid: str = Field("", alias="data.studyId|data.studyuid")
    series: tuple[SeriesReply, ...] = Field((), alias="data.seriesList")


class VideoSeriesReply(Reply):
    videos: tuple[ImageReply, ...] = Field((), alias="instanceVideoList")


class VideosReply(Reply):
    series: tuple[VideoSeriesReply, ...] = Field((), alias="seriesVideoList|data.seriesVideoList")


class Lanwon(Provider):
    name = "lanwon"
    asks = (ACCESS_CODE,)
    when_asked = "access_code, on the patient site: the four characters on the paper"
    distinctive_routes = (
        r"(?:/[^?#]*)?/clinicWebPacsView(?:Pc|Mobile)/[^#]*#.+",
        r"(?:/[^?#]*)?/html/report\.html\?(?:[^#]*&)?reportToken=.+",
        r"(?:/[^?#]*)?/viewer/mobile\.html\?(?:[^#]*&)?study(?:Id|uid)=[\d.]++.*",
        r"/quickLogin/?(?:[?#].*)?",
    )
    behind = (r"[^/]+/(?:[^?#]*/)?(?:clinicWebPacsView(?:Pc|Mobile)/|html/report\.html).*",)
    study_list_call = LISTED
    on_any_host = True
    example = "https://film.hospital.cn/clinicWebPacsViewPc/index.html#1.2.840.1.2.3#0a1b"

    @route(
        r"(?P<base>(?:/[^?#]*)?)/clinicWebPacsView(?:Pc|Mobile)/[^#]*#(?P<marks>.+)",
        r"(?P<base>(?:/[^?#]*)?)/viewer/mobile\.html\?(?:[^#]*&)?study(?:Id|uid)=(?P<marks>[\d.]++).*",
    )
    async def by_viewer(self, link: ShareLink, session: Session) -> list[Series]:
        """The study's UID and the user stand in the link, in either order."""
        uids = [mark for mark in link["marks"].split("#") if UID.fullmatch(mark)]
        if not uids:
            raise UnusableLink(link=link.redacted)
        await session.get(link.without_fragment)  # a cookie, where the viewer sets one
        return await self._listed(link, session, uids, (link["base"],))

    @route(r"/quickLogin/?(?:[?#].*)?", r"(?:/[^?#]*)?/html/report\.html\?(?:[^#]*&)?reportToken=.+")
    async def by_page(self, link: ShareLink, session: Session) -> list[Series]:
        if _asks(link):
            session.answer(ACCESS_CODE)
        raise session.only_in_page(Reason.CHECK_OF_ITS_PAGE, NeedsBrowser(host=link.host))

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await session.open(link.url)
        if _asks(link):
            await CODE_GATE.enter(session)
        elif "/html/report" in link.path:
            await REPORT_GATE.enter(session)

    async def watch(self, link: ShareLink, session: Session) -> Sequence[Discovered]:
        if not _asks(link):
            return await self._watch(link, session)
        await session.seen(VERIFIED, VerifyReply)
        found = await session.seen(INSPECTED, InspectionReply)
        series = await self._listed(link, session, [uid for uid in (found.uid, found.other) if uid], ("", "/api"))
        return [*series[:-1], series[-1].without(filter(None, [found.report]), Reason.REPORT)]

    async def describe(self, link: ShareLink, session: Session, response: Response) -> list[Series]:
        listed = response.checked(ListReply)
        base, _, asked = response.url.partition(API)
        about = Study(listed.uid or next(iter(UID.findall(asked)), ""))
        found = [series for series in listed.described(f"{base}{API}", about=about) if series.expected]
        videos = VideosReply.empty()
        with contextlib.suppress(CloudfilmError):  # a version without videos
            videos = await session.get(f"{base}{API}video/{about.uid}/", reply=VideosReply)
        names = [video.uid for series in videos.series for video in series.videos]
        if not found:
            raise NotOriginalDicom if names else NoSuchStudy
        return [*found[:-1], found[-1].without(names, Reason.VIDEO)]

    async def _listed(
        self, link: ShareLink, session: Session, uids: Iterable[str], bases: Iterable[str]
    ) -> list[Series]:
        """The study by the list of either version; the error of the first that says why not."""
        errors: list[CloudfilmError] = []
        for base, uid in product(bases, uids):
            for path in (f"dicom?studyId={uid}", f"dicom/{uid}/"):
                try:
                    return await self.describe(link, session, await session.get(link.join(f"{base}{API}{path}")))
                except (StudyGone, SiteChanged) as err:
                    errors.append(err)
        raise min(errors, key=lambda err: not err.detail, default=NoSuchStudy())


def _asks(link: ShareLink) -> bool:
    return link.path.startswith("/quickLogin")
