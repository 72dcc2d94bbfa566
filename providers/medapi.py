"""联众 数字影像 (medapi), eWorld's imagecloud as hospitals run it."""

from __future__ import annotations

import secrets
from urllib.parse import parse_qsl, urlsplit

from providers.products import imagecloud
from providers.toolkit import envelope
from scraper.contract import (
    Call,
    Deployment,
    Field,
    LinkExpired,
    NoSuchStudy,
    Provider,
    Reason,
    Reply,
    Response,
    Series,
    Session,
    SessionLapsed,
    ShareLink,
    SiteChanged,
    StudyGone,
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
SHARE, LOGIN = Call("/api/api-operate/short-url/{sid|short}"), "/oauth/connect/authorize"
BEARER = {"Authorization": "Bearer {token}"}
VIEW = Call(
    "/api/api-idcas/Observations/image-web-view-url",
    params={"business_id": "{exam}", "hide_download": "true", "client_kind": "5"},
    headers=BEARER,
)
PARAMS = Call("/api/api-imaging/Params/GetSearchParams", {"hashId": "{view}"}, headers=BEARER, method="POST")
INFO = Call("/api/api-imaging/study/studyinfo", {"data": "{sealed}"}, headers=BEARER, method="POST")
FILE = "/api/api-imaging/Dicom/File"
QUERY = {"ImagePath": "{image.path}", "DeviceID": "{device}", "TenancyID": "{tenancy}"}
MAX_HOPS = 12
SEALED = "10"


class MedapiReply(imagecloud.ServiceReply):
    good = ("0", SEALED)


class ExtrasReply(Reply):
    exam: str = Field("", alias="observationid|observation_id|businessid|business_id")


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
    study_list_call = f"(?i){INFO.pattern}"
    example = "http://medapi.dsrmyy.cn:9088/s/AbC123"

    async def discover(self, link: ShareLink, session: Session) -> list[Series]:
        share, exam = await _share(link, session)
        try:
            return await self._series(link, session, share, exam)
        except SessionLapsed:  # a token may lapse at any step: one more is fetched, once
            return await self._series(link, session, share, exam)

    async def describe(self, link: ShareLink, session: Session, response: Response) -> list[Series]:
        service = imagecloud.checked(response, MedapiReply)
        data = imagecloud.unseal(service.data) if service.code == SEALED else service.data
        params = dict(parse_qsl(imagecloud.unseal(ShareLink(response.url).param("data"))))
        bearer = {"Authorization": response.sent.get("authorization", "")}
        key = params.get("BusinessId", "") or params.get("AccessionNumber", "")
        listed = imagecloud.studies(data, response.url)
        return imagecloud.describe(listed, link.join(FILE), QUERY, bearer, key, tenancy=params.get("tenancy_id", ""))

    async def _series(self, link: ShareLink, session: Session, share: str, exam: str) -> list[Series]:
        token = await _log_in(link, session, share)
        view = imagecloud.checked(await VIEW.send(link, session, token=token, exam=exam), MedapiReply).data
        params = imagecloud.checked(await PARAMS.send(link, session, token=token, view=str(view)), MedapiReply).data
        sealed = imagecloud.seal(imagecloud.unseal(params))
        return await self.describe(link, session, await INFO.send(link, session, token=token, sealed=sealed))


async def _share(link: ShareLink, session: Session) -> tuple[str, str]:
    """The share's inner number, and the examination's."""
    response = imagecloud.unwrap(await SHARE.send(link, session))
    named = envelope.nested(response.data or {}, NamedReply, link.url)
    if not named.hash_id:
        raise refusal_error(response.site_message, or_else=StudyGone if response.site_message else LinkExpired)
    exam = named.observation_id or envelope.nested(named.extras or {}, ExtrasReply, link.url).exam
    if not exam:
        raise NoSuchStudy
    return named.hash_id, exam


async def _log_in(link: ShareLink, session: Session, share: str) -> str:
    """The visitor's token; it travels only in the fragment of a redirect, which no request carries."""
    once = {"state": secrets.token_hex(16), "nonce": secrets.token_hex(16)}
    start = with_query(link.join(LOGIN), {**VISITOR, **once, "redirect_uri": f"{link.origin}{CALLBACK}", "sid": share})
    async for response, target in session.hops(start, most=MAX_HOPS):
        if not target and (response.status >= 500 or response.status in (404, 429)):
            raise response.refusal
        if not target:
            raise refusal_error(envelope.visible_message(response)[: envelope.LONGEST_MESSAGE])
        given = dict(parse_qsl(urlsplit(target).fragment))
        if token := given.get("access_token"):
            return token
        if refusal := given.get("error_description") or given.get("error"):
            raise StudyGone(refusal)
    raise SiteChanged(what=Reason.LOGIN_LEADS_NOWHERE)
