"""联众 数字影像 (medapi), eWorld's imagecloud as hospitals run it."""

from __future__ import annotations

import secrets
from urllib.parse import parse_qsl, urljoin, urlsplit

from providers.products import imagecloud
from providers.toolkit import envelope
from scraper.contract import (
    Deployment,
    Field,
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
    refusal_error,
    with_query,
)

VISITOR = {
    "client_id": "eworld.spa.imagecloud",
    "response_type": "id_token token",
    "scope": "openid api-operate api-imaging api-archive api-idcas api-ability api-pacs-common",
    "indicator": "sharevisit",
}
CALLBACK = "/oidc/login-callback.html"
REDIRECTS = (301, 302, 303, 307, 308)
SHORT, LOGIN = "/api/api-operate/short-url/", "/oauth/connect/authorize"
VIEW, PARAMS = "/api/api-idcas/Observations/image-web-view-url", "/api/api-imaging/Params/GetSearchParams"
INFO, FILE = "/api/api-imaging/study/studyinfo", "/api/api-imaging/Dicom/File"
MAX_HOPS = 12
SEALED = "10"


class MedapiReply(imagecloud.ServiceReply):
    good = ("0", SEALED)


class ExtrasReply(Reply):
    observation_id: str = ""
    observation: str = Field("", alias="observationid")
    business_id: str = ""
    business: str = Field("", alias="businessid")

    @property
    def exam(self) -> str:
        return self.observation or self.observation_id or self.business or self.business_id


class NamedReply(Reply):
    """The share's own study, by any of the names that it goes under."""

    hash_id: str = ""
    observation_id: str = ""
    extras: object = None


class Medapi(Provider):
    name = "medapi"
    route = (
        r"/s/(?P<short>[\w-]+)/?(?:[?#].*)?",
        r"/(?:sharevisit/mobile/digitalimage/index|redirect/index)(?:\.html)?/?\?(?:[^#]*&)?sid=(?P<sid>[^&#]+).*",
    )
    deployments = (Deployment("medapi.dsrmyy.cn", "联众 数字影像"),)
    distinctive_routes = (r"/(?:sharevisit/mobile/digitalimage|redirect)/index(?:\.html)?/?\?(?:[^#]*&)?sid=[^&#]+.*",)
    behind = (r"[^/]+/(?:sharevisit/mobile|oidc)/.*",)
    study_list_call = rf"(?i){INFO}\?"
    example = "http://medapi.dsrmyy.cn:9088/s/AbC123"

    async def discover(self, link: ShareLink, session: Session) -> list[Series]:
        share, exam = await _share(link, session)
        try:
            return await _series(link, session, share, exam)
        except SessionLapsed:  # a token may lapse at any step: one more is fetched, once
            return await _series(link, session, share, exam)

    async def describe(self, link: ShareLink, session: Session, response: Response) -> list[Series]:
        asked = imagecloud.unseal(ShareLink(response.url).params.get("data", ""))
        return _described(link, response, asked, {"Authorization": response.sent.get("authorization", "")})


async def _share(link: ShareLink, session: Session) -> tuple[str, str]:
    """The share's inner number, and the examination's."""
    sid = link.params["sid"] if "sid" in link.named else link["short"]
    response = imagecloud.unwrap(await session.get(link.join(f"{SHORT}{sid}")))
    named = envelope.nested(response.data or {}, NamedReply, link.url)
    if not named.hash_id:
        raise refusal_error(response.site_message, or_else=StudyGone if response.site_message else LinkExpired)
    extras = imagecloud.parse_lower(named.extras, link.url) if named.extras else {}
    exam = named.observation_id or envelope.nested(extras, ExtrasReply, link.url).exam
    if not exam:
        raise NoSuchStudy
    return named.hash_id, exam


async def _log_in(link: ShareLink, session: Session, share: str) -> dict[str, str]:
    """The visitor's token; it travels only in the fragment of a redirect, which no request carries."""
    once = {"state": secrets.token_hex(16), "nonce": secrets.token_hex(16)}
    here = with_query(link.join(LOGIN), {**VISITOR, **once, "redirect_uri": f"{link.origin}{CALLBACK}", "sid": share})
    for _ in range(MAX_HOPS):
        response = await session.request(Request(here), hops=0)
        location = response.headers.get("location", "")
        if response.status not in REDIRECTS or not location:
            if response.status >= 500 or response.status in (404, 429):
                raise response.refusal
            raise refusal_error(envelope.visible_message(response)[: envelope.LONGEST_MESSAGE])
        target = urljoin(here, location)
        given = dict(parse_qsl(urlsplit(target).fragment))
        if token := given.get("access_token"):
            return {"Authorization": f"Bearer {token}"}
        if refusal := given.get("error_description") or given.get("error"):
            raise StudyGone(refusal)
        await session.http.check_hop(here, target)
        here = target
    raise SiteChanged(what=Reason.LOGIN_LEADS_NOWHERE)


async def _series(link: ShareLink, session: Session, share: str, exam: str) -> list[Series]:
    bearer = await _log_in(link, session, share)
    asked = {"business_id": exam, "hide_download": "true", "client_kind": "5"}
    view = imagecloud.checked(await session.get(link.join(VIEW), params=asked, headers=bearer), MedapiReply).data
    params = await session.post(link.join(PARAMS), params={"hashId": str(view)}, headers=bearer)
    text = imagecloud.unseal(imagecloud.checked(params, MedapiReply).data)
    info = await session.post(link.join(INFO), params={"data": imagecloud.seal(text)}, headers=bearer)
    return _described(link, info, text, bearer)


def _described(link: ShareLink, response: Response, asked: str, bearer: dict[str, str]) -> list[Series]:
    service = imagecloud.checked(response, MedapiReply)
    data = imagecloud.unseal(service.data) if service.code == SEALED else service.data
    params = dict(parse_qsl(asked))

    def source(study: imagecloud.StudyReply, image: imagecloud.ImageReply) -> WadoUri:
        tenancy = image.tenancy or study.tenancy or params.get("tenancy_id", "")
        named = {"ImagePath": image.path, "DeviceID": image.device or study.device, "TenancyID": tenancy}
        return WadoUri(with_query(link.join(FILE), named), bearer)

    key = params.get("BusinessId", "") or params.get("AccessionNumber", "")
    return imagecloud.describe(imagecloud.studies(data, response.url), source, key)
