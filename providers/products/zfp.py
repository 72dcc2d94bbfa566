"""The ZFP viewer of 海纳医信 (Hinacom): everything behind ``/ImageViewer/StudyView``, whichever hospital's door led there.

facts: fixtures/sites/hinacom/README.md
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from urllib.parse import quote, unquote, urljoin

from scraper.contract import (
    CloudfilmError,
    Field,
    Instance,
    NoSuchStudy,
    Number,
    Page,
    Reason,
    Reply,
    Request,
    Response,
    Series,
    Session,
    SessionLapsed,
    SiteBusy,
    SiteChanged,
    Study,
    TagsAndPixels,
    encode_query,
    frame_count,
    j2k_json,
)

VIEWER = "/ImageViewer/StudyView"
LISTED, SHOWN = r"/ImageViewer/GetImageSet\?", r"/imageservice/api/image/.*[?&]ck=([^&#]+)"
VARIABLES = ("STUDY_ID", "ACCESSION_NUMBER", "STUDY_EXAM_UID", "LOAD_IMAGE_CACHE_KEY")
KEY = "() => typeof LOAD_IMAGE_CACHE_KEY === 'string' ? LOAD_IMAGE_CACHE_KEY : ''"
RENEW = "/ImageViewer/renewcacauth"
RENEW_S = 60.0  # as often as the page renews its short-lived cookie
CONSTANT_PAUSE_S = 1.2  # before a constant frame is asked for again, then twice that (protocol page hinacom-levels)
J2K_LEVEL, RAW_LEVEL = 3, 0  # the levels that give the full size (protocol page hinacom-levels)


class ImageReply(Reply):
    study_id: str = Field(alias="studyId")
    image_id: str = Field(alias="imageId")
    instance_number: Number = Field(None, alias="instanceNumber")
    frames: Number = Field(None, alias="nFrames")
    frame: Number = None


class SeriesReply(Reply):
    uid: str = Field("", alias="id")
    description: str = ""
    number: str = Field("None", alias="seriesNumber")  # a part of the key that earlier runs wrote
    order: Number = Field(None, alias="seriesNumber")
    images: tuple[ImageReply, ...] = ()


class ImageSet(Reply):
    patient_name: str = Field("", alias="patientName")
    description: str = Field("", alias="studyDescription")
    date: str = Field("", alias="studyDate")
    storage_node: str = Field("", alias="storageNode")
    series: list[SeriesReply] = Field(alias="displaySets")


async def enter(session: Session, view_image: str) -> Response:
    """From ``/Study/ViewImage`` to the viewer's page: each step is a redirect that a script makes.

    Raises:
        SiteChanged: a step leads nowhere.
    """
    page = await session.get(view_image)
    for _ in range(4):
        if VIEWER in page.url.partition("?")[0]:
            return page
        scripts = Page(page.text, page.url)
        target = scripts.variable("location.href") or scripts.variable("TARGET_PATH") or scripts.variable("TARGET_URL")
        if not target:
            break
        page = await session.get(urljoin(page.url, target))
    raise SiteChanged(host=session.link.host, what=Reason.NO_WAY_FROM_VIEWIMAGE)


async def read(session: Session, viewer: Response, *, cache_key: str = "") -> list[Series]:
    """The series that an opened viewer's page leads to; ``cache_key`` where a script has set it since.

    Raises:
        SessionLapsed: the page is a login page. NoSuchStudy: no image is listed. SiteChanged: not as known.
    """
    values = variables(viewer)
    base = viewer.url.partition(VIEWER)[0]
    query = {
        "studyId": values["STUDY_ID"],
        "accessionNumber": values["ACCESSION_NUMBER"],
        "examuid": values["STUDY_EXAM_UID"],
        "minThickness": "5",
    }
    listed = await session.get(f"{base}/ImageViewer/GetImageSet", params=query, reply=ImageSet)
    return describe(session, base, cache_key or values["LOAD_IMAGE_CACHE_KEY"], listed)


async def renew(session: Session, viewer: Response) -> None:
    """Have the viewer's short-lived cookie renewed at once: it had lapsed before its minute was over."""
    with contextlib.suppress(CloudfilmError):  # if it does not help, the list or the images will say so
        await session.request(Request(viewer.url.partition(VIEWER)[0] + RENEW))


async def cache_key(session: Session) -> str:
    """The key that the open viewer asks for images with: its script's variable, or what it has sent already."""
    await (await session.window()).latest()  # a tab of its own, once the browser has reported it
    key = str(await session.screen.evaluate(KEY))
    sent = re.search(SHOWN, next((exchange.url for exchange in session.traffic.matching(SHOWN)), ""))
    return key or (unquote(sent.group(1)) if sent else "")


async def wait_for_cache_key(session: Session, up_to_s: float) -> str:
    """The same, once there is one; a key that stays empty is none: the images will say whether it is needed."""

    async def key() -> str | None:
        return await cache_key(session) or None

    with contextlib.suppress(SiteBusy):
        return await session.poll(key, every_s=0.5, up_to_s=up_to_s)
    return ""


def variables(viewer: Response) -> dict[str, str]:
    """The four variables of the viewer's script; any may be empty."""
    page = Page(viewer.text, viewer.url)
    if "登录" in page.words("title") or "/Account/LogOn" in viewer.text or viewer.status in (401, 403):
        raise SessionLapsed(host=viewer.url.split("/")[2])
    found = {name: page.variable(name) for name in VARIABLES}
    if found["STUDY_ID"] is None:
        raise SiteChanged(host=viewer.url.split("/")[2], what=Reason.NO_STUDY_ID)
    return {name: value or "" for name, value in found.items()}


def describe(session: Session, base: str, cache_key: str, listed: ImageSet) -> list[Series]:
    """An image set as series; from here on the session's short-lived cookie is renewed."""
    if not any(series.images for series in listed.series):
        raise NoSuchStudy(host=session.link.host)
    session.keep_alive(Request(base + RENEW), every_s=RENEW_S)
    study = Study(
        date=listed.date,
        description=listed.description.strip(),
        patient_name=listed.patient_name,
        key=next(series.images[0].study_id for series in listed.series if series.images),
    )
    return [
        Series(
            study_instance_uid="",
            series_instance_uid=series.uid,
            key=f"{place}/{series.number}",
            number=series.order,
            description=series.description.strip(),
            expected=len(series.images),
            study=study,
            instances=tuple(_instance(base, listed.storage_node, cache_key, image) for image in series.images),
        )
        for place, series in enumerate(listed.series)
    ]


def _instance(base: str, node: str, cache_key: str, image: ImageReply) -> Instance:
    tags = {"studyId": image.study_id, "imageId": image.image_id, "frame": "0", "storageNodes": node}
    source = TagsAndPixels(
        tags=Request(f"{base}/ImageViewer/GetImageDicomTags?{encode_query(tags)}"),
        read_tags=j2k_json.tags,
        frames=tuple(_frames(base, node, cache_key, image, "j2k", J2K_LEVEL)),
        otherwise=tuple(_frames(base, node, cache_key, image, "dicom", RAW_LEVEL)),
        pause_s=CONSTANT_PAUSE_S,
    )
    return Instance("", source, key=image.image_id, number=image.instance_number)


def _frames(base: str, node: str, cache_key: str, image: ImageReply, codec: str, level: int) -> Iterator[Request]:
    """One request a frame; a single-frame image keeps the frame number that the list gives it."""
    count = frame_count(image.frames)
    numbers = range(count) if count > 1 else [image.frame or 0]
    query = {"storageNodes": node, **({"ck": cache_key} if cache_key else {})}
    for number in numbers:
        path = f"{quote(image.study_id, safe='')}/{quote(image.image_id, safe='')}/{number}/{level}"
        yield Request(f"{base}/imageservice/api/image/{codec}/{path}?{encode_query(query)}")
