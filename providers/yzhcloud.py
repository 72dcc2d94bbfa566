"""医众数字云影像 (yzhcloud), a film cloud that many hospitals use.

facts:    fixtures/sites/yzhcloud/README.md
asks:     nothing
serves:   Part 10 files, one GET each, from an object store; single pictures are named and left out
verified: emulated site only

Over 120 lines because two doors lead to the one list, and pictures are told from images.
"""

from __future__ import annotations

import re
from urllib.parse import urljoin

from scraper.contract import (
    WECHAT_PHONE,
    AsyncIterator,
    Deployment,
    Field,
    Found,
    Instance,
    LinkExpired,
    NoSuchStudy,
    NotOriginalDicom,
    Page,
    Problem,
    Provider,
    Reason,
    Reply,
    Response,
    Series,
    Session,
    ShareLink,
    SiteChanged,
    Study,
    WadoUri,
    whole,
)

VIEWER = "/w_viewer_2/index.php/home/index/ajax_get_patient_study"
LANDING = "/dicom_2020/index.php/home/index/ajax_get_study"
TO_VIEWER = "a[href*='dicom_2020'][href*='org_id=']"
EITHER_CALL = r"/home/index/ajax_get_(?:patient_)?study\?"


class SeriesReply(Reply):
    number: str | None = Field(None, alias="series_number")
    description: str | None = Field("", alias="series_description")
    ids: str | None = Field("", alias="instance_ids")


class StudyReply(Reply):
    patient_name: str | None = ""
    checkitems: str | None = ""
    study_date: str | None = ""
    storage: str | None = ""
    series: list[SeriesReply] | None = None


class Yzhcloud(Provider):
    name = "yzhcloud"
    route = (
        r"/w_viewer_2/?(?:index\.php)?\?(?=[^#]*study_instance_uid=[\d.]+)[^#]*(?:#.*)?"
        r"|(?P<landing>/pocketfilm/(?:index\.php)?\?(?=[^#]*\ba=itemdetails)[^#]*token=[^#]*)(?:#.*)?"
    )
    deployments = (Deployment("m.yzhcloud.com", "医众数字云影像", "全国"),)
    marks = (r"/w_viewer_2/.*study_instance_uid=.*", r"/pocketfilm/.*\ba=itemdetails.*")
    user_agent = WECHAT_PHONE  # a desktop browser is given another template, without the patient's name
    mobile = True
    example = "https://m.yzhcloud.com/w_viewer_2/?study_instance_uid=1.2.3&org_id=719"

    async def discover(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        if "landing" in link.named:
            uid, org, name = await _through_landing(link, session)
        else:
            uid, org, name = link.params["study_instance_uid"], link.params.get("org_id", ""), ""
        call = link.join(LANDING if "landing" in link.named else VIEWER)
        asked = {"study_instance_uid": uid, "org_id": org}
        answer = await session.get(call, params=asked, headers=_site(link))
        for series in described(link, uid, name, answer):
            yield series

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await session.open(link.url)
        if await session.which(link=TO_VIEWER, viewer="canvas") == "link":
            await session.page.click(TO_VIEWER)
            await session.which(viewer="canvas")

    async def watch(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        call = await session.traffic.wait_for(EITHER_CALL, timeout_s=session.settings.timeout_s)
        answer = Response(call.status, call.headers, call.read(), call.url)
        name = (await session.page.title()).partition("/")
        uid = ShareLink(call.url).params.get("study_instance_uid", "")
        for series in described(link, uid, name[0] if name[1] else "", answer):
            yield series


def described(link: ShareLink, uid: str, name: str, answer: Response) -> list[Series]:
    """The series as the site's own answer lists them."""
    if answer.status in (404, 410) or answer.body.strip() in (b"", b"[]", b"null", b"false"):
        raise NoSuchStudy(host=link.host)
    told = answer.read(StudyReply)
    if not told.series:
        raise NoSuchStudy(host=link.host)
    base = f"https://{re.sub('^(?:https?:)?//', '', told.storage or '').strip('/')}/{uid}"
    study = Study(
        uid=uid,
        date=re.sub(r"\D", "", told.study_date or "")[:8],
        description=told.checkitems or "",
        patient_name=told.patient_name or name,
    )
    found = []
    for place, series in enumerate(told.series):
        listed = dict.fromkeys(part.strip() for part in (series.ids or "").split(",") if part.strip())
        pictures = tuple(part for part in listed if "|" in part)
        left_out = Problem("left-out", pictures, {"what": "pictures, no DICOM"}, fatal=False)
        found.append(
            Series(
                study_instance_uid=uid,
                series_instance_uid="",
                key=f"{place}/{series.number or ''}",
                number=whole(series.number),
                description=series.description or "",
                expected=len(listed) - len(pictures),
                study=study,
                instances=tuple(
                    Instance("", WadoUri(f"{base}/{series.number or ''}.{part}.dcm", _site(link)), key=part)
                    for part in listed
                    if part not in pictures
                ),
                left_out=(left_out,) if pictures else (),
            )
        )
    if not any(series.instances for series in found):
        raise (NotOriginalDicom if any(series.left_out for series in found) else NoSuchStudy)(host=link.host)
    return found


async def _through_landing(link: ShareLink, session: Session) -> tuple[str, str, str]:
    """Study Instance UID, organisation and patient's name, as the landing page and the one behind it give them."""
    landing = await session.get(link.join(link["landing"]), headers=_site(link))
    page = Page(landing.text, landing.url)
    address = page.attribute(TO_VIEWER, "href")
    if not landing.ok or not address:
        raise LinkExpired(page.words("body")[:80], host=link.host)
    viewer = await session.get(urljoin(landing.url, address), headers=_site(link))
    page = Page(viewer.text, viewer.url)
    uid = page.variable("study_instance_uid")
    if not uid:
        raise SiteChanged(host=link.host, what=Reason.NO_STUDY_INSTANCE_UID)
    name, slash, _ = page.words("title").partition("/")
    return uid, ShareLink(urljoin(landing.url, address)).params["org_id"], name if slash else ""


def _site(link: ShareLink) -> dict[str, str]:
    return {"Referer": link.origin, "Origin": link.origin}
