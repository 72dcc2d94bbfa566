"""万里云 (wlycloud): a report page that names a viewer, whose own script knows every image.

facts:    fixtures/sites/wlycloud/README.md
asks:     nothing
serves:   rebuilt: uncompressed frames with the viewer's tags
verified: emulated site only
"""

from __future__ import annotations

from urllib.parse import unquote

from providers.products.wanliyun import Json, described, listed, number, study_uid, tags, text
from scraper.contract import (
    AsyncIterator,
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
    Series,
    Session,
    ShareLink,
    SiteChanged,
    SiteUnreachable,
    TagsAndPixels,
    gone,
    read,
)

PAGE = "https://cinv.wlycloud.com"
VIEWER = "http://rend.wlycloud.com"
STEADY_MS, GIVE_UP_MS = 2500, 60000
STUDIES = """async ([steady, giveUp]) => {
  const studies = () => (document.workspaceContext || {}).studies || [];
  const plain = (one, rest = {}) => ({...Object.fromEntries(Object.entries(one || {})
    .filter(([, value]) => typeof value !== "object" && typeof value !== "function")), ...rest});  // objects may lead in circles
  const text = () => JSON.stringify(studies().map(study => plain(study, {serieses: (study.serieses || []).map(series =>
    plain(series, {images: (series.images || []).map(image =>
      plain(image, {frms: (image.frms || []).map(frame => plain(frame))}))}))})));
  const count = () => studies().flatMap(one => one.serieses || []).reduce((sum, one) => sum + (one.images || []).length, 0);
  const start = Date.now(); let last = count(), since = start;
  while (Date.now() - start < giveUp && !(last && Date.now() - since >= steady)) {
    await new Promise(done => setTimeout(done, 100));
    if (count() !== last) { last = count(); since = Date.now(); }
  }
  return text();
}"""


class Val(Reply):
    imgPath: str | None = None  # the site's own key


class Report(Reply):
    code: str
    errMsg: str | None = ""
    message: str | None = ""
    val: Val | None = None


class Studies(Reply):
    studies: list[Json]


class Wlycloud(Provider):
    name = "wlycloud"
    route = (
        r"/[^#]*#.*[?&]uid=(?P<share>[^&#]+).*|/\?(?:[^#]*&)?uid=(?P<query>[^&#]+).*"
        r"|/api/preDispRender\?(?P<viewer>.+)"
    )
    deployments = (Deployment("cinv.wlycloud.com", "万里云"), Deployment("rend.wlycloud.com", "万里云"))
    marks = (r"/api/preDispRender\?.+",)
    calls = r"/api/preDispRender\?"
    example = "https://cinv.wlycloud.com/#/?uid=SHARE1&facId=1001&time=1700000000000"

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        if "viewer" in link.named:
            await self._shown(link, session, link.url)
            return
        uid = unquote(link.named.get("share") or link["query"])
        told = await session.post(
            f"{PAGE}/cfilm/getReportDetail",
            form={"uid": uid},
            reply=Report,
            headers={"Origin": PAGE, "Referer": link.url},
        )
        said = told.errMsg or told.message or ""
        if told.code != "0":
            raise gone(said, host=link.host)
        path = told.val.imgPath if told.val else ""
        if not path:
            raise NoSuchStudy(said, host=link.host)
        await self._shown(link, session, f"http:{path}" if path.startswith("//") else ShareLink(VIEWER).join(path))

    async def _shown(self, link: ShareLink, session: Session, url: str) -> None:
        """Open the viewer; a refusal may come without a page."""
        try:
            await session.open(url)
        except SiteUnreachable:
            self._check(link, session)
            raise

    def _check(self, link: ShareLink, session: Session) -> None:
        if any(exchange.status in (401, 403, 404, 410) for exchange in session.traffic.matching(self.calls)):
            raise LinkExpired(host=link.host)  # the viewer's signature is over

    async def watch(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        self._check(link, session)
        window = await session.window()
        async with window.guard():
            found = str(await session.page.evaluate(STUDIES, [STEADY_MS, GIVE_UP_MS]))
        studies = read(('{"studies":' + found + "}").encode(), Studies, session.page.url).studies
        if not studies:
            raise SiteChanged(host=link.host, what=Reason.VIEWER_LISTS_NO_STUDY)
        if not any(listed(series, "images") for study in studies for series in listed(study, "serieses")):
            raise NoSuchStudy(host=link.host)
        for study in studies:
            for series in listed(study, "serieses"):
                if listed(series, "images"):
                    yield _series(study, series, session.page.url)


def _series(study: Json, series: Json, referer: str) -> Series:
    images = listed(series, "images")
    raw = [image for image in images if text(image, "fmt").lower() in ("", "raw") and text(image, "uid")]
    other = tuple(text(image, "uid") for image in images if image not in raw)
    told = {"what": "a form of pixels that nobody can read"}
    return Series(
        study_instance_uid=study_uid(study),
        series_instance_uid=text(series, "srsuid"),
        instances=tuple(_instance(study, series, item, referer) for item in raw),
        expected=len(images),
        number=number(series, "num"),
        description=text(series, "des"),
        modality=text(series, "modality"),
        study=described(study, series),
        left_out=(Problem("left-out", other, told, fatal=False),) if other else (),
    )


def _instance(study: Json, series: Json, image: Json, referer: str) -> Instance:
    frames = _frames(image, referer)
    source = TagsAndPixels(tags(study, series, image, len(frames)), frames)
    return Instance(text(image, "uid"), source, number=number(image, "num"))


def _frames(image: Json, referer: str) -> tuple[Request, ...]:
    """One request a frame, by the frames' own numbers."""
    frames = sorted(listed(image, "frms"), key=lambda item: number(item, "num") or 0)
    urls = [text(frame, "furl") or text(image, "imageId") for frame in frames] or [text(image, "imageId")]
    return tuple(Request(ShareLink(VIEWER).join(url), headers={"Referer": referer}) for url in urls)
