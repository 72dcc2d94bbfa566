"""联影 (UIH) uCloud: the ImageService of any host, and film pages whose viewer asks it."""

from __future__ import annotations

from functools import partial

from providers.products import uih_archive
from providers.toolkit import choose_study
from scraper.contract import (
    Call,
    Deployment,
    NeedsBrowser,
    PageBehindLink,
    Provider,
    Reason,
    Response,
    Series,
    Session,
    ShareLink,
    SiteChanged,
    refusal_error,
    route,
)

LIST = Call("{path}", params={"CommandType": "GetHierachy", "StudyUID": "{StudyUID}"})
LIST_LINK = r"(?i:/(?:[^?#]*/)?Home/ImageService\?(?:[^#]*&)?StudyUID=[\d.]++.*)"
FILM_LINK = r"/film/?(?:index\.html)?#/(?=[A-Za-z]*\d)[\w-]{4,64}/?"


class Imageservice(Provider):
    name = "imageservice"
    when_asked = "nothing; the film is named in the link"
    deployments = (Deployment("uicloud.com", "联影 uCloud", "全国"),)
    distinctive_routes = (LIST_LINK, FILM_LINK)
    study_list_call = uih_archive.LISTED
    on_any_host = True
    example = "https://uicloud.com/film/#/7d5fA3"

    @route(LIST_LINK)
    async def by_list(self, link: ShareLink, session: Session) -> list[Series]:
        """The address of the service itself, as it stands in a viewer's traffic."""
        response = await LIST.send(link, session)
        if response.status in (401, 403):  # a page's own session is wanted
            raise PageBehindLink(link=link.redacted)
        return await self.describe(link, session, response)

    @route(FILM_LINK)
    async def by_film(self, link: ShareLink, session: Session) -> list[Series]:
        raise session.only_in_page(Reason.CHECK_OF_ITS_PAGE, NeedsBrowser(host=link.host))

    async def watch(self, link: ShareLink, session: Session) -> list[Series]:
        """The study that the viewer shows, or each examination of the film's list."""
        called = partial(session.traffic.matching, self.study_list_call)
        match await session.screen.wait_for_face(called, examinations=uih_archive.TO_IMAGES):
            case "called":
                return uih_archive.of_response(called()[-1].response())
            case "examinations":
                count = await session.screen.count(uih_archive.TO_IMAGES)
                places = {str(place + 1): partial(self._examination, link, session, place) for place in range(count)}
                return await choose_study.list_all(places)
        raise refusal_error(await session.screen.message())

    async def _examination(self, link: ShareLink, session: Session, place: int) -> list[Series]:
        if place:
            await session.open(link.url)
            await session.which(examinations=uih_archive.TO_IMAGES)
        listed = await uih_archive.open_examination(session, self.study_list_call, place)
        if listed is None:
            raise SiteChanged(what=Reason.NO_SERIES_LIST_OF_STUDY, host=link.host)
        return uih_archive.of_response(listed)

    async def describe(self, link: ShareLink, session: Session, response: Response) -> list[Series]:
        return uih_archive.of_response(response)
