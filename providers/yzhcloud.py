"""医众数字云影像 (yzhcloud), a film cloud that many hospitals use."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urljoin

from providers.toolkit.gate import PageGate
from scraper.contract import (
    WECHAT_PHONE,
    Call,
    Deployment,
    Field,
    ImageRow,
    LinkExpired,
    NoSuchStudy,
    NotOriginalDicom,
    Number,
    Provider,
    Reason,
    Response,
    Series,
    SeriesRow,
    Session,
    ShareLink,
    SiteChanged,
    StudyRow,
    route,
)

VIEWER = Call(
    "/w_viewer_2/index.php/home/index/ajax_get_patient_study",
    params={"study_instance_uid": "{study_instance_uid}", "org_id": "{org_id}"},
)
LANDING = "/dicom_2020/index.php/home/index/ajax_get_study"
TO_VIEWER = "a[href*='dicom_2020'][href*='org_id=']"


class SeriesReply(SeriesRow):
    is_sorted = False
    name: str = Field("", alias="series_number")
    number: Number = Field(None, alias="series_number")
    description: str = Field("", alias="series_description")
    ids: str = Field("", alias="instance_ids")


class StudyReply(StudyRow):
    patient_name: str = ""
    description: str = Field("", alias="checkitems")
    date: str = Field("", alias="study_date")
    storage: str = ""
    series: tuple[SeriesReply, ...] = ()


class Yzhcloud(Provider):
    name = "yzhcloud"
    serves = "Part 10 files, one GET each, from an object store; single pictures are named and left out"
    deployments = (Deployment("m.yzhcloud.com", "医众数字云影像", "全国"),)
    distinctive_routes = (r"/w_viewer_2/.*study_instance_uid=.*", r"/pocketfilm/.*\ba=itemdetails.*")
    user_agent = WECHAT_PHONE  # a desktop browser is given another template, without the patient's name
    study_list_call = r"/home/index/ajax_get_(?:patient_)?study\?"
    gate = PageGate(viewer="canvas", control=TO_VIEWER)
    example = "https://m.yzhcloud.com/w_viewer_2/?study_instance_uid=1.2.3&org_id=719"

    @route(r"/w_viewer_2/?(?:index\.php)?\?(?=[^#]*study_instance_uid=[\d.]+)[^#]*(?:#.*)?")
    async def by_viewer(self, link: ShareLink, session: Session) -> list[Series]:
        return _described(await VIEWER.send(link, session), "")

    @route(r"(?P<landing>/pocketfilm/(?:index\.php)?\?(?=[^#]*\ba=itemdetails)[^#]*token=[^#]*)(?:#.*)?")
    async def by_landing_page(self, link: ShareLink, session: Session) -> list[Series]:
        landing = await session.get(link.join(link["landing"]))
        address = landing.page().attribute(TO_VIEWER, "href")
        if not landing.ok or not address:
            raise LinkExpired(landing.page().words("body")[:80])
        viewer = ShareLink(urljoin(landing.url, address))
        page = (await session.get(viewer.url)).page()
        if not (uid := page.variable("study_instance_uid")):
            raise SiteChanged(what=Reason.NO_STUDY_INSTANCE_UID)
        asked = {"study_instance_uid": uid, "org_id": viewer.params["org_id"]}
        return _described(await session.get(link.join(LANDING), params=asked), page.words("title"))

    async def describe(self, link: ShareLink, session: Session, response: Response) -> list[Series]:
        return _described(response, await session.screen.title())


def _described(response: Response, title: str) -> list[Series]:
    """The series as the site's own answer lists them; the page's title is ``NAME/…``."""
    is_nothing = response.ok and response.body.strip() in (b"", b"[]", b"null", b"false")
    reply = StudyReply.empty() if is_nothing else response.unwrap(StudyReply)
    uid, (name, slash, _) = ShareLink(response.url).params.get("study_instance_uid", ""), title.partition("/")
    base = f"https://{reply.storage.split('//', 1)[-1].strip('/')}/{uid}"
    about = replace(reply.study, uid=uid, patient_name=reply.patient_name or (name if slash else ""))
    found = []
    for place, series in enumerate(reply.series):
        listed = dict.fromkeys(part.strip() for part in series.ids.split(",") if part.strip())
        files = [ImageRow(key=part, url=f"{base}/{series.name}.{part}.dcm") for part in listed if "|" not in part]
        described = series.described(about, place, base, images=files)
        found.append(described.without((part for part in listed if "|" in part), "pictures, no DICOM"))
    if any(series.instances for series in found):
        return found
    raise NotOriginalDicom if any(series.problems for series in found) else NoSuchStudy
