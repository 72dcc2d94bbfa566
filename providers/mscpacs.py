"""VietMy / MSC PACS (Vietnam): a shared study's page shows pictures; the originals stand beside them in its list."""

from __future__ import annotations

import re

from providers.toolkit import envelope
from scraper.contract import (
    Call,
    Field,
    Instance,
    NoSuchStudy,
    NotOriginalDicom,
    Provider,
    Reason,
    Reply,
    Series,
    Session,
    ShareLink,
    SiteChanged,
    Study,
    WadoUri,
)

LIST = Call("/WS/ws.asmx/GetListImageFileInfo", json={"caseStudyId": "{case}", "sToken": "{stoken}"})
IDS = '() => ({texts: [...document.querySelectorAll("[id^=series]")].map(node => node.id)})'
SERIES_ID = re.compile(r"series(?P<case>.+)_\d+")


class FileReply(Reply):
    lan: str = Field("", alias="filePath")
    wan: str = Field("", alias="wanFilePath")

    @property
    def originals(self) -> list[str]:
        """Addresses of the object itself, the one for the outside first."""
        return [path for path in dict.fromkeys((self.wan, self.lan)) if path]

    def instance(self, link: ShareLink) -> Instance:
        first, *others = (link.join(re.sub(r"^(?i:ws/)", "/ws/", path)) for path in self.originals)  # below the site
        return Instance("", WadoUri(first, fallback="".join(others)), key=self.originals[0])


class SeriesReply(Reply):
    files: tuple[FileReply, ...] = Field((), alias="fileList")


class ListReply(Reply):
    series: tuple[SeriesReply, ...] = Field((), alias="seriesList")


class ServiceReply(Reply):
    d: object = None


class TextsReply(Reply):
    texts: list[str]


class Mscpacs(Provider):
    name = "mscpacs"
    route = r"(?i:/(?:[^?#]*/)?Pages/ShareStudy\.aspx\?(?:[^#]*&)?stoken=[^&#]+.*)"
    distinctive_routes = (route,)
    example = "https://pacs.hospital.vn/Pages/ShareStudy.aspx?stoken=0a1b2c3d"

    async def discover(self, link: ShareLink, session: Session) -> list[Series]:
        response = await session.get(link.without_fragment)
        if not response.ok:
            raise response.refusal
        ids = [node.attributes.get("id") or "" for node in response.page().all("[id^=series]")]
        if not any(map(SERIES_ID.fullmatch, ids)):
            raise envelope.page_refusal(response) or SiteChanged(what=Reason.NO_SERIES_LIST_OF_STUDY, host=link.host)
        return await _listed(link, session, ids)

    async def watch(self, link: ShareLink, session: Session) -> list[Series]:
        if not await session.screen.has_called(LIST.pattern):  # the page says why, or is no viewer
            return await self.discover(link, session)
        return await _listed(link, session, TextsReply.model_validate(await session.screen.evaluate(IDS)).texts)


async def _listed(link: ShareLink, session: Session, ids: list[str]) -> list[Series]:
    """The series of each case that the page's elements name."""
    found: list[Series] = []
    for case in dict.fromkeys(match["case"] for name in ids if (match := SERIES_ID.fullmatch(name))):
        response = await LIST.send(link, session, case=case)
        listed = envelope.nested(response.checked(ServiceReply).d or {}, ListReply, response.url)
        found += [_series(link, case, place, series) for place, series in enumerate(listed.series, 1)]
    if not any(series.expected for series in found):
        raise NoSuchStudy(host=link.host)
    if not any(series.instances for series in found):
        raise NotOriginalDicom(host=link.host)
    return found


def _series(link: ShareLink, case: str, place: int, series: SeriesReply) -> Series:
    instances = tuple(file.instance(link) for file in series.files if file.originals)
    return Series(key=f"{case}_{place}", study=Study(key=case), instances=instances, expected=len(series.files))
