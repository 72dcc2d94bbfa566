"""The study as the viewer's own script holds it, and each image's requests.

facts: fixtures/sites/wlycloud/README.md
"""

from __future__ import annotations

import time

from providers.products.wanliyun import Json, describe_study, number, rows, study_uid, tags, text
from scraper.contract import (
    Instance,
    NoSuchStudy,
    Reason,
    Reply,
    Request,
    Series,
    Session,
    ShareLink,
    SiteChanged,
    TagsAndPixels,
    read,
    stated_images,
)

VIEWER = "http://rend.wlycloud.com"
STEADY_MS, GIVE_UP_MS = 2500, 60000
LISTS = r"^(?!.*/h5Cache/)"  # what the page asks for besides pixels
STUDIES = """async ([steady, giveUp]) => {
  const pages = () => [document, ...[...document.querySelectorAll("iframe")].map(frame => frame.contentDocument)];
  const held = page => ((page && page.workspaceContext) || {}).studies || [];
  const studies = () => pages().map(held).find(list => list.length) || [];
  const plain = (record, rest = {}) => ({...Object.fromEntries(Object.entries(record || {})
    .filter(([, value]) => typeof value !== "object" && typeof value !== "function")), ...rest});  // objects may lead in circles
  const text = () => JSON.stringify(studies().map(study => plain(study, {serieses: (study.serieses || []).map(series =>
    plain(series, {images: (series.images || []).map(image =>
      plain(image, {frms: (image.frms || []).map(frame => plain(frame))}))}))})));
  const count = () => studies().flatMap(study => study.serieses || [])
    .reduce((sum, series) => sum + (series.images || []).length, 0);
  const start = Date.now(); let last = count(), since = start;
  while (Date.now() - start < giveUp && !(last && Date.now() - since >= steady)) {
    await new Promise(done => setTimeout(done, 100));
    if (count() !== last) { last = count(); since = Date.now(); }
  }
  return text();
}"""


class StudiesReply(Reply):
    studies: list[Json]


async def describe(session: Session) -> list[Series]:
    """Every series that the open viewer's script holds.

    Raises:
        SiteChanged: it holds no study. NoSuchStudy: no image.
    """
    give_up = time.monotonic() + GIVE_UP_MS / 1000
    listed = str(await session.screen.evaluate(STUDIES, [STEADY_MS, GIVE_UP_MS]))
    while session.screen.pending(LISTS) and time.monotonic() < give_up:  # more of the study may be on its way
        listed = str(await session.screen.evaluate(STUDIES, [STEADY_MS, GIVE_UP_MS]))
    studies = read(('{"studies":' + listed + "}").encode(), StudiesReply, session.screen.url).studies
    if not studies:
        raise SiteChanged(what=Reason.VIEWER_LISTS_NO_STUDY)
    found = [
        _series(study, series, session.screen.url)
        for study in studies
        for series in rows(study, "serieses")
        if rows(series, "images")
    ]
    if not found:
        raise NoSuchStudy
    return found


def _series(study: Json, series: Json, referer: str) -> Series:
    images = rows(series, "images")
    raw = [image for image in images if text(image, "fmt").lower() in ("", "raw") and text(image, "uid")]
    whole = [image for image in raw if (number(image, "frame_num") or 1) <= len(_urls(image))]
    described = Series(
        study_instance_uid=study_uid(study),
        series_instance_uid=text(series, "srsuid"),
        instances=tuple(_instance(study, series, image, referer) for image in whole),
        expected=max(len(images), stated_images(series) or 0),
        number=number(series, "num"),
        description=text(series, "des"),
        modality=text(series, "modality"),
        study=describe_study(study, series),
    )
    described = described.without((text(image, "uid") for image in raw if image not in whole), "no address")
    unreadable = (text(image, "uid") for image in images if image not in raw)
    return described.without(unreadable, "a form of pixels that nobody can read")


def _instance(study: Json, series: Json, image: Json, referer: str) -> Instance:
    """One image, with one request a frame."""
    requests = tuple(Request(ShareLink(VIEWER).join(url), headers={"Referer": referer}) for url in _urls(image))
    source = TagsAndPixels(tags(study, series, image, len(requests)), requests)
    return Instance(text(image, "uid"), source, number=number(image, "num"))


def _urls(image: Json) -> list[str]:
    """The address of each frame that the viewer names, by the frames' own numbers."""
    frames = sorted(rows(image, "frms"), key=lambda frame: number(frame, "num") or 0)
    if len(frames) < 2:
        urls = [text(frame, "furl") or text(image, "imageId") for frame in frames] or [text(image, "imageId")]
    else:  # the image's own address is that of its first frame
        urls = [text(frame, "furl") for frame in frames]
    return [url for url in urls if url]
