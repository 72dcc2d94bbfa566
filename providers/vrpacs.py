"""VRPACS (Vietnam): a viewer's link whose parameter is the question that its list of images is asked with."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urljoin

from providers.toolkit import envelope
from scraper.contract import (
    CheckedReply,
    Field,
    Instance,
    Number,
    Provider,
    Reply,
    Response,
    Series,
    Session,
    ShareLink,
    SiteChanged,
    StudyRow,
    WadoUri,
    refusal_error,
)
from scraper.protocols import ciphers

LIST = "/vrpacs-file/get-share-patient-image"
AT_VIEWER = "/vrpacs-scu/"  # image addresses that belong to the viewer's origin; the others are the list's


class SeriesReply(Reply):
    number: Number = Field(None, alias="seriesNumber")
    images: tuple[str, ...] = Field((), alias="imageIds")


class StudyReply(StudyRow):
    uid: str = Field("", alias="studyUID")
    date: str = Field("", alias="studyDate")
    listed: tuple[SeriesReply, ...] = Field((), alias="seriesList")


class ListReply(CheckedReply):
    patient: str = Field("", alias="data.pName")
    studies: tuple[StudyReply, ...] = Field((), alias="data.studyList")


class Vrpacs(Provider):
    name = "vrpacs"
    route = r"/(?:[^?#]*/)?(?:viewershare|vrviewer)[^?]*\?(?:.*&)?params=[^&#]+.*"
    distinctive_routes = (route,)
    study_list_call = re.escape(LIST)
    on_any_host = True
    example = "https://pacs.hospital.vn:740/vrviewer?params=eyJsaW5rIjoiQTEifQ%3D%3D"

    async def discover(self, link: ShareLink, session: Session) -> list[Series]:
        """The list lies on the viewer's origin, or on that of the address which the parameter holds."""
        asked = envelope.in_link(link, lambda: ciphers.from_base64(link.params["params"]), "link")
        named = ShareLink(urljoin(link.origin, str(asked["link"])))
        if named.origin != link.origin:
            with contextlib.suppress(SiteChanged):  # a service on another port answers 200 and nothing
                return await self.describe(link, session, await session.post(link.origin + LIST, json=asked))
        return await self.describe(link, session, await session.post(named.origin + LIST, json=asked))

    async def describe(self, link: ShareLink, session: Session, response: Response) -> list[Series]:
        found = response.checked(ListReply)
        if not found.studies:
            raise refusal_error(found.site_message)
        return [
            Series(key=f"{study.uid}/{place}", number=series.number, instances=files, expected=len(files), study=about)
            for study in found.studies
            for about in [replace(study.study, patient_name=found.patient)]
            for place, series in enumerate(study.listed, 1)
            if (files := tuple(_instances(link, response.url, series)))
        ]


def _instances(link: ShareLink, listed_at: str, series: SeriesReply) -> Iterator[Instance]:
    """The objects; a multi-frame one stands in the list with each of its frames."""
    paths = (re.sub(r"(?:(?<=\?)|&)frame=\d+&?", "", name.removeprefix("wadouri:")) for name in series.images)
    for path in dict.fromkeys(paths):
        base = link.origin if path.startswith(AT_VIEWER) else ShareLink(listed_at).origin
        yield Instance("", WadoUri(urljoin(base + "/", path)), key=path)
