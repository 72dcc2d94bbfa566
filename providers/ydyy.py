"""东软 M-Viewer on a phone (NeuVNA): an XML list of WADO addresses, behind a check of the ID card or a firewall.

facts:    fixtures/sites/ydyy/README.md
asks:     id_last4 (links phone-visible, and short links that lead there); nothing elsewhere
serves:   Part 10 files, one GET each
verified: emulated site only

Over 120 lines because five kinds of link lead to the list, and a firewall lets only a browser fetch it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import urlsplit
from xml.etree import ElementTree

from providers.products import mviewer
from providers.toolkit import drive_page
from providers.toolkit.envelope import told
from scraper.contract import (
    ID_LAST4,
    WECHAT_PHONE,
    AsyncIterator,
    CredentialsRefused,
    Deployment,
    Found,
    Instance,
    LinkExpired,
    NoSuchStudy,
    Problem,
    Provider,
    Reason,
    Reply,
    Request,
    Response,
    Series,
    Session,
    ShareLink,
    SiteBusy,
    SiteChanged,
    SiteUnreachable,
    Study,
    UnusableLink,
    WadoUri,
    decode_text,
    gone,
    whole,
    with_query,
)

SHORT = "/M-Viewer/shortserver/"
CHECK = "/M-Viewer/mobilebackend/qrcode/checkIdNum"
LIST = "/M-Viewer/m/NeuVnaimage/getxmltowebpacs.action"
FIREWALL_UP_TO_S = 45.0
REFUSALS = 5  # answers 400 of the page behind the firewall, before it is taken at its word
JSON = "application/json;charset=UTF-8"


class CheckReply(Reply):
    data: object = None
    message: str | None = ""
    msg: str | None = ""


class Ydyy(Provider):
    name = "ydyy"
    route = (
        r"/M-Viewer/?(?:(?<=/)shortserver/[\w-]+/?(?:\?[^#]*)?|(?:(?<=/)index\.html)?(?:\?[^#]*)?#/(?:phone-visible|redirect|info)/[^/?#]+/?(?:\?.*)?"
        r"|(?<=/)m/2D/?\?(?=.*\bcheckserialnum=[^&#]+).*)"
    )
    asks = (ID_LAST4,)
    deployments = (
        Deployment("pacs.ydyy.cn", "东软 M-Viewer（ydyy）"),
        Deployment("wis.sj-hospital.cn", "盛京医院", "沈阳"),
    )
    marks = (route,)
    example = "https://pacs.ydyy.cn:8860/M-Viewer/#/phone-visible/BUSS1?shortUrl=abc123&idType=3&sign=eyJ0"
    user_agent = WECHAT_PHONE
    mobile = True

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        referer = {"Referer": link.url}
        page = await mviewer.lengthened(link, session, SHORT)
        if asked := _check(page, session):
            _judge(await session.post(page.join(CHECK), json=asked, headers=referer), page)
        listed = await session.get(_list_address(page), headers=referer)
        for series in _described(listed, page, referer):
            yield series

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await session.open(link.url)

        async def arrived() -> bool | None:
            if SHORT not in session.page.url:
                return True
            statuses = [exchange.status for exchange in session.traffic.matching(SHORT)]
            if mviewer.FIREWALL not in statuses[-1:] and await drive_page.rests(session):
                raise LinkExpired(await drive_page.words(session), host=link.host)
            return None  # the firewall's script comes before the redirect

        if SHORT in link.path:
            await session.poll(arrived, every_s=0.5, up_to_s=FIREWALL_UP_TO_S)

    async def watch(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        page = ShareLink(session.page.url)
        if asked := _check(page, session):
            body = json.dumps(asked, ensure_ascii=False).encode()
            _judge(await _in_page(session, Request(page.join(CHECK), "POST", {"Content-Type": JSON}, body)), page)
        listed = await _in_page(session, Request(_list_address(page)))
        agent = str(await session.page.evaluate("navigator.userAgent"))
        for series in _described(listed, page, {"Referer": link.url, "User-Agent": agent}):
            yield series


async def _in_page(session: Session, request: Request) -> Response:
    """Have the page send ``request``; patient while its firewall still sets the cookies that it wants to see.

    Raises:
        UnusableLink: the firewall takes this browser for none.
    """
    window, refused = await session.window(), 0

    async def ask() -> Response | None:
        nonlocal refused
        try:
            answer = await window.fetch(request)
        except (SiteChanged, SiteUnreachable):
            return None  # the firewall's script reloads the page meanwhile
        refused += answer.status == 400
        return None if answer.status == mviewer.FIREWALL or (answer.status == 400 and refused < REFUSALS) else answer

    try:
        answer = await session.poll(ask, every_s=1.0, up_to_s=FIREWALL_UP_TO_S)
    except SiteBusy:
        answer = None
    if answer is None or answer.status == 400:
        raise UnusableLink("只能在手机浏览器中打开 (opens in a phone's browser only)", link=session.link.redacted)
    return answer


def _check(page: ShareLink, session: Session) -> dict[str, str] | None:
    """What the check's page sends, or None where the link leads past it."""
    shown, number = mviewer.page_route(page)
    params = page.params
    if "phone-visible" not in (shown, params.get("forward", "") if shown == "redirect" else ""):
        return None
    if not (params.get("shortUrl") and params.get("idType") and params.get("sign")):
        raise UnusableLink("链接不完整，请重新复制 (the link is incomplete)", link=page.redacted)
    return {
        "idNum": session.answer(ID_LAST4).upper(),  # its last character may be an X
        "bussId": number,
        "hideQrcode": params.get("hideQrcode") or "1",
        "forward": params.get("forward") or "phone-visible",
        "shortUrl": params["shortUrl"],
        "idType": params["idType"],
        "sign": params["sign"],
    }


def _judge(answer: Response, page: ShareLink) -> None:
    reply = told(answer, CheckReply)
    if str(reply.data).lower() == "true":
        return
    said = reply.message or reply.msg or ""
    error = gone(said, host=page.host)
    raise error if error.code == "link-expired" else CredentialsRefused(ID_LAST4.name, said, host=page.host)


def _list_address(page: ShareLink) -> str:
    number = page.params.get("checkserialnum") or mviewer.page_route(page)[1]
    return with_query(page.join(LIST), {"checkserialnum": number, "mo": "true"})


def _described(listed: Response, page: ShareLink, headers: Mapping[str, str]) -> list[Series]:
    text = decode_text(listed.body)
    start, end = text.find("<patient"), text.rfind("</patient>")
    if listed.status == mviewer.FIREWALL:
        raise SiteChanged(host=page.host, what=Reason.FIREWALL)
    if start < 0 and not listed.ok:
        raise listed.refusal
    if start < 0 or "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise NoSuchStudy(host=page.host)
    try:
        root = ElementTree.fromstring(text[start : end + len("</patient>")] if end > 0 else text[start:])  # noqa: S314  # no DTD
    except ElementTree.ParseError as err:
        raise SiteChanged(host=page.host, what=Reason.NO_SOUND_XML.of(path=LIST)) from err
    found = []
    for item in root.iter("study"):
        study = Study(
            item.get("uid", ""),
            "".join(filter(str.isdigit, item.get("studytime", "")))[:8],
            item.get("devicetypename", ""),
            patient_name=item.get("patientname", ""),
            key=item.get("checkserialnum", ""),
        )
        found += [_series(element, place, study, page, headers) for place, element in enumerate(item.iter("series"))]
    if not found:
        raise NoSuchStudy(host=page.host)
    return found


def _series(
    series: ElementTree.Element, place: int, study: Study, page: ShareLink, headers: Mapping[str, str]
) -> Series:
    """One series over all its storages; objects of another type than DICOM are named and left out."""
    objects = [(storage, im) for storage in series.iter("storage") for im in storage.iter("im")]
    objects.sort(key=lambda item: _place(item[1]))
    instances, others, uid = [], [], ""
    for at, (storage, im) in enumerate(objects):
        query = (im.text or "").strip().lstrip("?&")
        named = ShareLink(f"http://x/?{query}").params
        name = named.get("objectUID", "")
        if im.get("type", "dicom").lower() != "dicom":
            others.append(name or f"{place}/{at}")
            continue
        uid = uid or named.get("seriesUID", "")
        address = _outside(storage.get("httpurl0", ""), page.origin)
        address += ("" if address.endswith(("?", "&")) else "&" if "?" in address else "?") + query
        instances.append(Instance(name, WadoUri(address, headers), f"{place}/{at}", whole(im.get("num"))))
    left_out = Problem("left-out", tuple(others), {"count": len(others), "what": "no DICOM"}, fatal=False)
    return Series(
        study.uid,
        uid,
        tuple(instances),
        max((whole(series.get("imagecount")) or 0) - len(others), len(instances)),
        whole(series.get("seriesnumber")),
        series.get("seriesdescription", ""),
        study.modality,
        f"{study.key}/{place}",
        study,
        (left_out,) if others else (),
    )


def _place(im: ElementTree.Element) -> tuple[bool, int]:
    number = whole(im.get("num"))
    number = whole(im.get("index")) if number is None else number
    return number is None, number or 0


def _outside(address: str, origin: str) -> str:
    """An address inside the hospital's network, as the page's own host passes it on."""
    before, marker, rest = address.partition("/vnaHttp/")
    if marker:
        return f"{origin}/M-Viewer/m/vnaHttp/{rest}"
    parts = urlsplit(before)
    return f"{origin}/M-Viewer/m/{parts.path.lstrip('/')}" + (f"?{parts.query}" if "?" in before else "")
