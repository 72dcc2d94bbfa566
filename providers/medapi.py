"""联众 数字影像 (medapi), eWorld's imagecloud as hospitals run it.

facts:    fixtures/sites/medapi/README.md
asks:     nothing
serves:   Part 10 files, one GET each
verified: emulated site only

Over 120 lines because the share is opened in six steps, a visitor's login among them.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from urllib.parse import parse_qsl, urljoin, urlsplit

from providers.products import imagecloud
from providers.toolkit import envelope
from scraper.contract import (
    AsyncIterator,
    Deployment,
    Field,
    Found,
    LinkExpired,
    NoSuchStudy,
    Provider,
    Reason,
    Reply,
    Request,
    Response,
    Series,
    Session,
    SessionLapsed,
    ShareLink,
    SiteChanged,
    StudyGone,
    WadoUri,
    gone,
    with_query,
)

CLIENT = "eworld.spa.imagecloud"
SCOPE = "openid api-operate api-imaging api-archive api-idcas api-ability api-pacs-common"
MAX_HOPS = 12
INFO = r"(?i)/api/api-imaging/study/studyinfo\?"
GOOD = {"0", "10"}


class Named(Reply):
    """The share's own study, by any of the names that it goes under."""

    hash_id: str | None = ""
    observation_id: str | None = ""
    extras: object = None


class Extras(Reply):
    observation_id: str | None = ""
    observation: str | None = Field("", alias="observationid")
    business_id: str | None = ""
    business: str | None = Field("", alias="businessid")


class Medapi(Provider):
    name = "medapi"
    route = (
        r"/s/(?P<short>[\w-]+)/?(?:[?#].*)?"
        r"|/(?:sharevisit/mobile/digitalimage/index|redirect/index)(?:\.html)?/?\?(?:[^#]*&)?sid=(?P<sid>[^&#]+).*"
    )
    deployments = (Deployment("medapi.dsrmyy.cn", "联众 数字影像"),)
    marks = (r"/(?:sharevisit/mobile/digitalimage|redirect)/index(?:\.html)?/?\?(?:[^#]*&)?sid=[^&#]+.*",)
    behind = (r"[^/]+/(?:sharevisit/mobile|oidc)/.*",)
    example = "http://medapi.dsrmyy.cn:9088/s/AbC123"

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        share, exam = await _share(link, session)
        try:
            found = await _listed(link, session, await _token(link, session, share), exam)
        except SessionLapsed:  # a token may lapse at any step: one more is fetched, once
            found = await _listed(link, session, await _token(link, session, share), exam)
        for series in found:
            yield series

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await session.open(link.url)

    async def watch(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        answer = await envelope.heard(session, INFO)
        if answer is None:
            # the page waits for a person, or says why not: asked directly, the site says so too
            async for series in self.discover(link, session):
                yield series
            return
        call = await session.traffic.wait_for(INFO, timeout_s=session.settings.timeout_s)
        asked = imagecloud.opened(ShareLink(call.url).params.get("data", ""), link.host)
        authorization = call.request_headers.get("authorization", "")
        for series in _described(link, answer, asked, {"Authorization": authorization}):
            yield series


async def _share(link: ShareLink, session: Session) -> tuple[str, str]:
    """The share's inner number, and the examination's."""
    sid = link.params["sid"] if "sid" in link.named else link["short"]
    answer = imagecloud.told(await session.get(link.join(f"/api/api-operate/short-url/{sid}")))
    named = envelope.nested(answer.data or {}, Named, link.url)
    if not named.hash_id:
        raise gone(answer.said, host=link.host) if answer.said else LinkExpired(host=link.host)
    extras = imagecloud.parsed(named.extras, link.url) if named.extras else {}
    inner = envelope.nested(extras, Extras, link.url)
    exam = named.observation_id or inner.observation or inner.observation_id or inner.business or inner.business_id
    if not exam:
        raise NoSuchStudy(host=link.host)
    return named.hash_id, exam


async def _token(link: ShareLink, session: Session, share: str) -> dict[str, str]:
    """The visitor's token; it travels only in the fragment of a redirect, which no request carries."""
    asked = {
        "client_id": CLIENT,
        "redirect_uri": f"{link.origin}/oidc/login-callback.html",
        "response_type": "id_token token",
        "scope": SCOPE,
        "state": secrets.token_hex(16),
        "nonce": secrets.token_hex(16),
        "indicator": "sharevisit",
        "sid": share,
    }
    here = with_query(link.join("/oauth/connect/authorize"), asked)
    for _ in range(MAX_HOPS):
        answer = await session.request(Request(here), hops=0)
        location = answer.headers.get("location", "")
        if answer.status not in (301, 302, 303, 307, 308) or not location:
            if answer.status >= 500 or answer.status in (404, 429):
                raise answer.refusal
            raise gone(envelope.shown(answer)[: envelope.LONGEST_SAID], host=link.host)
        target = urljoin(here, location)
        given = dict(parse_qsl(urlsplit(target).fragment))
        if token := given.get("access_token"):
            return {"Authorization": f"Bearer {token}"}
        if refusal := given.get("error_description") or given.get("error"):
            raise StudyGone(refusal, host=link.host)
        await session.http.check_hop(here, target)
        here = target
    raise SiteChanged(host=link.host, what=Reason.LOGIN_LEADS_NOWHERE)


async def _listed(link: ShareLink, session: Session, bearer: Mapping[str, str], exam: str) -> list[Series]:
    asked = {"business_id": exam, "hide_download": "true", "client_kind": "5"}
    call = with_query(link.join("/api/api-idcas/Observations/image-web-view-url"), asked)
    view = _good(link, imagecloud.told(await session.get(call, headers=bearer)))
    call = with_query(link.join("/api/api-imaging/Params/GetSearchParams"), {"hashId": str(view)})
    params = _good(link, imagecloud.told(await session.post(call, headers=bearer)))
    text = imagecloud.opened(params, link.host)
    call = with_query(link.join("/api/api-imaging/study/studyinfo"), {"data": imagecloud.sealed(text)})
    return _described(link, await session.post(call, headers=bearer), text, bearer)


def _described(link: ShareLink, answer: Response, asked: str, bearer: Mapping[str, str]) -> list[Series]:
    """The series of an answer; Code 10 says that its data is sealed."""
    told = imagecloud.told(answer)
    data = _good(link, told)
    if told.code == "10":
        data = imagecloud.opened(data, link.host)
    params = dict(parse_qsl(asked))

    def source(study: imagecloud.Told, image: imagecloud.Image) -> WadoUri:
        asked = {
            "ImagePath": image.path,
            "DeviceID": image.device or study.device or "",
            "TenancyID": image.tenancy or study.tenancy or params.get("tenancy_id", ""),
        }
        return WadoUri(with_query(link.join("/api/api-imaging/Dicom/File"), asked), bearer)

    key = params.get("BusinessId", "") or params.get("AccessionNumber", "")
    return imagecloud.described(imagecloud.studies(data or [], answer.url), source, key)


def _good(link: ShareLink, answer: imagecloud.Answer) -> object:
    if answer.code not in GOOD or answer.success is False:
        raise gone(answer.said or answer.code, host=link.host)
    return answer.data
