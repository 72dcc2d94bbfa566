"""海纳医信 (Hinacom) miShare: shares with a password, health-commission pages, hospital lists; one viewer behind all.

facts:    fixtures/sites/hinacom/README.md
asks:     password (links /t/…); phone_last4 or id_last4 (lists); nothing elsewhere
serves:   rebuilt: lossless JPEG 2000 or raw pixels, with the original's tags
verified: emulated site only

Over 120 lines because four unlike doors lead to the one viewer, which itself stands in families/zfp.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import partial

from providers.products import zfp
from providers.toolkit import choose_study
from scraper.contract import (
    ID_LAST4,
    PASSWORD,
    PHONE_LAST4,
    AsyncIterator,
    CredentialsRefused,
    Deployment,
    Field,
    Found,
    NoSuchStudy,
    NotThereYet,
    Page,
    PageBehindLink,
    Provider,
    Question,
    Reason,
    Reply,
    Response,
    Series,
    Session,
    SessionLapsed,
    ShareCancelled,
    ShareLink,
    SiteBusy,
    SiteChanged,
    StudyGone,
    gone,
    unescaped,
)

STAGING = "原始影像数据资料较大"
STAGING_EVERY_S, STAGING_UP_TO_S = 6.0, 180.0
QUESTIONS: Mapping[str, Question] = {"Mobile": PHONE_LAST4, "IdCard": ID_LAST4}
AT_ONCE, MOST_PAGES = 50, 20
LIST_FORM = {"PageSize": str(AT_ONCE), "DateFrom": "2000-01-01", "DateTo": "2030-12-31"}


class CheckData(Reply):
    extend: str = ""


class CheckReply(Reply):
    code: str
    message: str | None = ""
    data: CheckData | None = None


class ItemReply(Reply):
    id: str = Field(alias="Id")
    accession: str | None = Field("", alias="AccessionNumber")
    modality: str | None = Field("", alias="ModalityName")
    description: str | None = Field("", alias="StudyDescription")

    @property
    def name(self) -> str:
        """What a person knows it by."""
        return " ".join(part for part in (self.modality, self.accession, self.description, self.id) if part)


class ItemsReply(Reply):
    success: bool = Field(alias="Success")
    items: list[ItemReply] = Field(default_factory=list, alias="Items")


class Hinacom(Provider):
    name = "hinacom"
    route = (
        r"(?P<prefix>(?:/[\w.-]+)*?)/?(?:"
        r"/t/(?P<share>\w+)/?(?:[?#].*)?"
        r"|/h5/(?:\?[^#]*)?#/share/detail\?(?P<check>.+)"
        r"|/Study/ViewImage\?(?P<image>.+)|/Study/StudyView\?(?P<study>.+)|/Study/StandAloneReport\?(?P<report>.+)"
        r"|/ImageViewer/StudyView\?(?P<viewer>.+)|/[\w.-]+\?(?P<back>(?:[^#]*&)?(?i:returnUrl)=[^&#]*/?ViewImage.*)"
        r"|/r/(?P<identifier>[^/?#]+)/(?P<kind>\w+)/?|/Account/ViewListLoginFree/(?P<number>[^/?#]+)\?idType=(?P<type>\w+))"
    )
    asks = (PASSWORD, PHONE_LAST4, ID_LAST4)
    deployments = (
        Deployment("*.medicalimagecloud.com", "海纳医信 miShare（含北京 114）", "全国"),
        Deployment("mdmis.cq12320.cn", "重庆市卫生健康委员会", "重庆"),
        Deployment("cyemis.bjcyh.mobi", "cyemis"),
        Deployment("cloudpacs.jdyfy.com", "jdyfy"),
    )
    marks = (
        r"/{1,2}t/[0-9a-fA-F]{8,40}",
        r".*/(?:Study/(?:ViewImage|StudyView|StandAloneReport)|ImageViewer/StudyView)\?.*",
        r"/r/[^/?#]+/accessionnumber/?",
        r".*/Account/ViewListLoginFree/.*",
        r"[^?#]*/h5/(?:\?[^#]*)?#/share/detail\?.*",
    )
    calls = zfp.LISTED
    example = "https://demo.medicalimagecloud.com:10808/t/0a1b2c3d4e5f"

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        if "identifier" in link.named or "number" in link.named:
            for series in await choose_study.listed(await _list(link, session), has_documents=True):
                yield series
        else:
            for series in await zfp.read(session, await _viewer(link, session)):
                yield series

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await session.open(link.url)
        face = await session.which(
            login="input[type=password]",
            check="input[name=AuthorityCode]",
            viewer="canvas",
            report="a[href*=ViewImage]",
            cancelled="text=/取消|失效|过期|不存在/",
        )
        if face == "cancelled":
            raise ShareCancelled(host=link.host)
        page = session.page
        if face == "login":
            await page.fill("input[type=password]", session.answer(PASSWORD))
            async with page.expect_navigation():
                await page.press("input[type=password]", "Enter")
        if face == "check":
            chosen = await page.input_value("input[name=AuthorityType]:checked")
            await page.fill("input[name=AuthorityCode]", session.answer(QUESTIONS.get(chosen, PHONE_LAST4)))
            async with page.expect_navigation():
                await page.press("input[name=AuthorityCode]", "Enter")
        if face != "viewer":
            match = re.search(
                r"(?<![\w./-])[\w.-]*+(/[\w./-]*/?Study/ViewImage\?studyId=[^\"'<>\s]+)", await page.content()
            )
            if match is None:
                raise CredentialsRefused(PASSWORD.name if face == "login" else PHONE_LAST4.name, host=link.host)
            await session.open(ShareLink(page.url).join(unescaped(match.group(1))))
        await session.which(viewer="canvas")

    async def watch(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        del link
        listed = await session.seen(zfp.LISTED, zfp.ImageSet)
        call = await session.traffic.wait_for(zfp.LISTED, timeout_s=1)
        for series in zfp.describe(
            session, call.url.partition("/ImageViewer/")[0], await zfp.cache_key(session), listed
        ):
            yield series


async def _viewer(link: ShareLink, session: Session) -> Response:
    """The viewer's page of the one study behind the link, by whichever door it names."""
    named = link.named
    if "share" in named:
        return await zfp.enter(session, await _password(link, session))
    if "check" in named:
        return await _commission(link, session)
    if "report" in named:
        raise PageBehindLink(link=link.redacted)
    if "study" in named:
        page = await session.get(link.url)
        study = Page(page.text).attribute("input#StudyId, input[name=StudyId]", "value")
        if not study:
            raise PageBehindLink(link=link.redacted)
        return await zfp.enter(session, link.join(f"{link['prefix']}/Study/ViewImage?studyId={study}"))
    back = next((value for name, value in link.params.items() if name.lower() == "returnurl"), "")
    if back:
        return await zfp.enter(session, link.join(back))
    viewer = await zfp.enter(session, link.url.partition("#")[0])
    try:
        zfp.known(viewer)
    except SessionLapsed:  # the address of somebody's running session
        raise PageBehindLink(link=link.redacted) from None
    return viewer


async def _password(link: ShareLink, session: Session) -> str:
    """A: the share's login page, then the report that names the study."""
    login = await session.get(link.join(re.sub("^/+", "/", link.path)))
    if Page(login.text).find("input[type=password], form") is None:
        over = gone(Page(login.text).words("body")[:80], host=link.host)
        raise over if type(over) is not StudyGone else ShareCancelled(over.said, host=link.host)
    guid = login.url.partition("?")[0].rstrip("/").rpartition("/")[2]
    report = await session.post(
        login.url, form={"id": guid, "Password": session.answer(PASSWORD)}, headers={"Referer": login.url}
    )
    match = re.search(r"(?<![\w./:-])[\w./:-]*/Study/ViewImage\?studyId=[^\"'<>\s]+", report.text)
    if match is None:
        said = Page(report.text).words("body")[:80]
        over = gone(said, host=link.host)
        if type(over) is not StudyGone and "密码" not in said:
            raise over
        raise CredentialsRefused(PASSWORD.name, host=link.host)
    return ShareLink(report.url).join(unescaped(match.group()))


async def _commission(link: ShareLink, session: Session) -> Response:
    """B: a health commission's page; large studies are staged first."""
    page = link.url.partition("#")[0]
    await session.get(page)
    asked = {"content": link.params.get("content", ""), "share_id": link.params.get("share_id", "")}
    checked = await session.post(
        link.join("api/share/check/time"), json=asked, reply=CheckReply, headers={"Referer": page}
    )
    if checked.code != "200" or checked.data is None:
        raise gone(checked.message or "", host=link.host)
    try:
        extend = json.loads(checked.data.extend)
        query = {
            "hospitalCode": str(extend["hospital_code"]),
            "studyPrimaryId": str(extend["study_primary_id"]),
        }
    except (ValueError, KeyError, TypeError):
        raise SiteChanged(host=link.host, what="share/check/time, data.extend") from None
    entry = link.join("api/qinming_h5/api/ch/report/PacsEntry.aspx")

    async def staged() -> Response | None:
        answer = await session.get(entry, params=query)
        return None if STAGING in answer.text else answer

    try:
        answer = await session.poll(staged, every_s=STAGING_EVERY_S, up_to_s=STAGING_UP_TO_S)
    except SiteBusy:
        raise NotThereYet(host=link.host) from None
    target = Page(answer.text).variable("TARGET_URL")
    if not target:
        raise SiteChanged(host=link.host, what=Reason.NO_TARGET_URL)
    return await zfp.enter(session, ShareLink(answer.url).join(target))


async def _list(link: ShareLink, session: Session) -> dict[str, choose_study.Listing]:
    """D: a check of four digits, then the list; the studies of the link's accession number, or all."""
    login = await session.get(link.url)
    page = Page(unescaped(login.text), login.url)
    kinds = [node.attributes.get("value") or "" for node in page.all("input[name=AuthorityType]")]
    chosen = page.attribute("input[name=AuthorityType][checked]", "value") or next(iter(kinds), "Mobile")
    given = [kind for kind in kinds if kind in QUESTIONS and session.given(QUESTIONS[kind])]
    if given and chosen not in given:
        chosen = given[0]
    question = QUESTIONS.get(chosen, PHONE_LAST4)
    account = page.attribute("input[name=AccountId]", "value")
    form = {"AuthorityType": chosen, "AuthorityCode": session.answer(question), "AccountId": account}
    answer = await session.post(login.url, form=form, headers={"Referer": login.url})
    if "fail-msg" in answer.text:
        raise CredentialsRefused(question.name, Page(answer.text).words(".fail-msg"), host=link.host)
    identifier = link.named.get("identifier") or link["number"]
    is_accession = (link.named.get("kind") or link["type"]).lower() == "accessionnumber"
    wanted: dict[str, ItemReply] = {}
    for page_index in range(1, MOST_PAGES + 1):
        listed = await session.post(
            ShareLink(answer.url).join(f"{link['prefix']}/Study/SearchStudies"),
            form={
                "PageIndex": str(page_index),
                **LIST_FORM,
                "Keyword": identifier if is_accession else "",
            },
            headers={"X-Requested-With": "XMLHttpRequest", "Referer": answer.url},
            reply=ItemsReply,
        )
        fresh = {item.id: item for item in listed.items if item.id not in wanted}
        wanted |= {id_: item for id_, item in fresh.items() if not is_accession or item.accession == identifier}
        if len(listed.items) < AT_ONCE or not fresh:
            break
    if not wanted:
        raise NoSuchStudy(host=link.host)

    async def listed_by(address: str) -> list[Series]:
        return await zfp.read(session, await zfp.enter(session, address))

    return {
        item.name: partial(listed_by, link.join(f"{link['prefix']}/Study/ViewImage?studyId={item.id}"))
        for item in wanted.values()
    }
