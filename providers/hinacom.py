"""海纳医信 (Hinacom) miShare: shares with a password, health-commission pages, hospital lists; one viewer behind all.

Long because four unlike doors lead to the one viewer, which itself is described in products/zfp.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial

from providers.products import zfp
from providers.toolkit import choose_study, envelope
from scraper.contract import (
    ID_LAST4,
    PASSWORD,
    PHONE_LAST4,
    Call,
    CheckedReply,
    CredentialsRefused,
    Deployment,
    Field,
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
    refusal_error,
    route,
    unescape_html,
)

STAGING = "原始影像数据资料较大"
STAGING_EVERY_S, STAGING_UP_TO_S = 6.0, 180.0
QUESTIONS: Mapping[str, Question] = {"Mobile": PHONE_LAST4, "IdCard": ID_LAST4}
AT_ONCE, MOST_PAGES = 50, 20
SEARCH = Call(
    "{prefix}/Study/SearchStudies",
    form={
        "PageIndex": "{page}",
        "PageSize": str(AT_ONCE),
        "DateFrom": "2000-01-01",
        "DateTo": "2030-12-31",
        "Keyword": "{keyword}",
    },
    headers={"X-Requested-With": "XMLHttpRequest", "Referer": "{url}"},
)
AT = r"(?P<prefix>(?:/[\w.-]+)*?)/?"  # a hospital may run it below a path of its own
TO_IMAGES = r"(?<![\w./:-])[\w./:-]*/Study/ViewImage\?studyId=[^\"'<>\s]+"
CHECK = Call("api/share/check/time", json={"content": "{content}", "share_id": "{share_id}"})
ENTRY = "api/qinming_h5/api/ch/report/PacsEntry.aspx"
FACES = {
    "login": "input[type=password]",
    "check": "input[name=AuthorityCode]",
    "viewer": "canvas",
    "report": "a[href*=ViewImage]",
    "cancelled": "text=/取消|失效|过期|不存在/",
}


class CheckReply(CheckedReply):
    good = ("200",)
    extend: str = Field("", alias="data.extend")


class ExtendReply(Reply):
    hospital: str = Field(alias="hospital_code")
    study: str = Field(alias="study_primary_id")


class ItemReply(Reply):
    id: str = Field(alias="Id")
    accession: str = Field("", alias="AccessionNumber")
    modality: str = Field("", alias="ModalityName")
    description: str = Field("", alias="StudyDescription")

    @property
    def name(self) -> str:
        """What a person knows it by."""
        return " ".join(part for part in (self.modality, self.accession, self.description, self.id) if part)


class ItemsReply(Reply):
    success: bool = Field(alias="Success")
    items: tuple[ItemReply, ...] = Field((), alias="Items")


class Hinacom(Provider):
    name = "hinacom"
    asks = (PASSWORD, PHONE_LAST4, ID_LAST4)
    when_asked = "password (links /t/…); phone_last4 or id_last4 (lists); nothing elsewhere"
    serves = "rebuilt: lossless JPEG 2000 or raw pixels, with the original's tags"
    deployments = (
        Deployment("*.medicalimagecloud.com", "海纳医信 miShare（含北京 114）", "全国"),
        Deployment("mdmis.cq12320.cn", "重庆市卫生健康委员会", "重庆"),
        Deployment("cyemis.bjcyh.mobi", "cyemis"),
        Deployment("cloudpacs.jdyfy.com", "jdyfy"),
    )
    distinctive_routes = (
        r"/{1,2}t/[0-9a-fA-F]{8,40}",
        r".*/(?:Study/(?:ViewImage|StudyView|StandAloneReport)|ImageViewer/StudyView)\?.*",
        r"/r/[^/?#]+/accessionnumber/?",
        r".*/Account/ViewListLoginFree/.*",
        r"[^?#]*/h5/(?:\?[^#]*)?#/share/detail\?.*",
    )
    study_list_call = zfp.LISTED
    on_any_host = True
    example = "https://demo.medicalimagecloud.com:10808/t/0a1b2c3d4e5f"

    @route(AT + r"/t/(?P<share>\w+)/?(?:[?#].*)?")
    async def by_password(self, link: ShareLink, session: Session) -> list[Series]:
        """The share's login page, then the report that names the study."""
        login = await session.get(link.join(re.sub("^/+", "/", link.path)))
        if login.page().find(f"{FACES['login']}, form") is None:
            raise refusal_error(login.page().words("body")[:80], or_else=ShareCancelled)
        guid = login.url.partition("?")[0].rstrip("/").rpartition("/")[2]
        form = {"id": guid, "Password": session.answer(PASSWORD)}
        report = await session.post(login.url, form=form, headers={"Referer": login.url})
        match = re.search(TO_IMAGES, report.text)
        if match is None:
            message = report.page().words("body")[:80]
            raise refusal_error(
                "" if "密码" in message else message, or_else=partial(CredentialsRefused, PASSWORD.name)
            )
        return await _read(session, ShareLink(report.url).join(unescape_html(match.group())))

    @route(AT + r"/h5/(?:\?[^#]*)?#/share/detail\?.+")
    async def by_commission(self, link: ShareLink, session: Session) -> list[Series]:
        """A health commission's page; large studies are staged first."""
        await session.get(link.without_fragment)
        checked = (await CHECK.send(link, session)).checked(CheckReply)
        extend = envelope.nested(checked.extend, ExtendReply, link.url)
        query = {"hospitalCode": extend.hospital, "studyPrimaryId": extend.study}

        async def staged() -> Response | None:
            response = await session.get(link.join(ENTRY), params=query)
            return None if STAGING in response.text else response

        try:
            response = await session.poll(staged, every_s=STAGING_EVERY_S, up_to_s=STAGING_UP_TO_S)
        except SiteBusy:
            raise NotThereYet from None
        target = response.page().variable("TARGET_URL")
        if not target:
            raise SiteChanged(what=Reason.NO_TARGET_URL)
        return await _read(session, ShareLink(response.url).join(target))

    @route(AT + r"/Study/StandAloneReport\?.+")
    async def by_report(self, link: ShareLink, session: Session) -> list[Series]:
        raise PageBehindLink(link=link.redacted)

    @route(AT + r"/Study/StudyView\?.+")
    async def by_study_page(self, link: ShareLink, session: Session) -> list[Series]:
        page = await session.get(link.url)
        study = page.page().attribute("input#StudyId, input[name=StudyId]", "value")
        if not study:
            raise PageBehindLink(link=link.redacted)
        return await _read(session, link.join(f"{link['prefix']}/Study/ViewImage?studyId={study}"))

    @route(AT + r"/[\w.-]+\?(?:[^#]*&)?(?i:returnUrl)=[^&#]*/?ViewImage.*")
    async def by_way_back(self, link: ShareLink, session: Session) -> list[Series]:
        return await _read(session, link.join(link.param("returnUrl")))

    @route(AT + r"/Study/ViewImage\?.+", AT + r"/ImageViewer/StudyView\?.+")
    async def by_viewer(self, link: ShareLink, session: Session) -> list[Series]:
        viewer = await zfp.enter(session, link.without_fragment)
        try:
            zfp.variables(viewer)
        except SessionLapsed:  # the address of somebody's running session
            raise PageBehindLink(link=link.redacted) from None
        return await zfp.read(session, viewer)

    @route(
        AT + r"/r/(?P<identifier>[^/?#]+)/(?P<kind>\w+)/?",
        AT + r"/Account/ViewListLoginFree/(?P<identifier>[^/?#]+)\?idType=(?P<kind>\w+)",
    )
    async def by_list(self, link: ShareLink, session: Session) -> list[Series]:
        """A check of four digits, then the list; the studies of the link's accession number, or all."""
        page = await _pass_check(link, session)
        identifier, is_accession = link["identifier"], link["kind"].lower() == "accessionnumber"
        here, keyword = ShareLink(page.url), identifier if is_accession else ""
        wanted: dict[str, ItemReply] = {}
        for index in range(1, MOST_PAGES + 1):
            response = await SEARCH.send(here, session, page=str(index), keyword=keyword, prefix=link["prefix"])
            listed = response.checked(ItemsReply)
            fresh = {item.id: item for item in listed.items if item.id not in wanted}
            wanted |= {uid: item for uid, item in fresh.items() if not is_accession or item.accession == identifier}
            if len(listed.items) < AT_ONCE or not fresh:
                break
        to_images = link.join(f"{link['prefix']}/Study/ViewImage?studyId=")
        listings = {item.name: partial(_read, session, to_images + item.id) for item in wanted.values()}
        return await choose_study.list_all(listings, has_documents=True)

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await session.open(link.url)
        face, screen = await session.which(timeout_s=None, **FACES), session.screen
        if face == "cancelled":
            raise ShareCancelled
        question = PASSWORD
        if face == "check":
            question = QUESTIONS.get(await screen.value("input[name=AuthorityType]:checked"), PHONE_LAST4)
        if face in ("login", "check"):
            await screen.fill(FACES[face], session.answer(question))
            await screen.submit(FACES[face])
        if face != "viewer":
            match = re.search(TO_IMAGES, await screen.html())
            if match is None:
                raise CredentialsRefused(question.name)
            await session.open(ShareLink(screen.url).join(unescape_html(match.group())))
        await session.which(viewer="canvas")

    async def describe(self, link: ShareLink, session: Session, response: Response) -> list[Series]:
        base = response.url.partition("/ImageViewer/")[0]
        return zfp.describe(session, base, await zfp.cache_key(session), response.checked(zfp.ImageSet))


async def _read(session: Session, view_image: str) -> list[Series]:
    return await zfp.read(session, await zfp.enter(session, view_image))


async def _pass_check(link: ShareLink, session: Session) -> Response:
    """Give the four digits that the list's page asks for: of the kind that was given, else of the one that it has chosen."""
    login = await session.get(link.url)
    page = Page(unescape_html(login.text), login.url)
    kinds = [node.attributes.get("value") or "" for node in page.all("input[name=AuthorityType]")]
    chosen = page.attribute("input[name=AuthorityType][checked]", "value") or next(iter(kinds), "Mobile")
    given = [kind for kind in kinds if kind in QUESTIONS and session.given(QUESTIONS[kind])]
    chosen = given[0] if given and chosen not in given else chosen
    question = QUESTIONS.get(chosen, PHONE_LAST4)
    account = page.attribute("input[name=AccountId]", "value")
    form = {"AuthorityType": chosen, "AuthorityCode": session.answer(question), "AccountId": account}
    response = await session.post(login.url, form=form, headers={"Referer": login.url})
    if "fail-msg" in response.text:
        raise CredentialsRefused(question.name, response.page().words(".fail-msg"))
    return response
