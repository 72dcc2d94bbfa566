"""万里云 (wlycloud): a report page that names a viewer, whose own script knows every image.

facts:    fixtures/sites/wlycloud/README.md
asks:     nothing
serves:   rebuilt: uncompressed frames with the viewer's tags
verified: emulated site only
"""

from __future__ import annotations

from urllib.parse import unquote

from scraper.contract import (
    AsyncIterator,
    Deployment,
    Found,
    Instance,
    LinkExpired,
    NoSuchStudy,
    Problem,
    Provider,
    Reply,
    Request,
    Series,
    Session,
    ShareLink,
    SiteChanged,
    Study,
    TagsAndPixels,
    read,
    whole,
)

PAGE = "https://cinv.wlycloud.com"
VIEWER = "http://rend.wlycloud.com"
STEADY_MS, GIVE_UP_MS = 2500, 60000
STUDIES = """async ([steady, giveUp]) => {
  const text = () => JSON.stringify((document.workspaceContext || {}).studies || []);
  const count = () => ((document.workspaceContext || {}).studies || [])
    .reduce((sum, one) => sum + (one.serieses || []).reduce((n, s) => n + (s.images || []).length, 0), 0);
  const start = Date.now(); let last = count(), since = start;
  while (Date.now() - start < giveUp && !(last && Date.now() - since >= steady)) {
    await new Promise(done => setTimeout(done, 100));
    if (count() !== last) { last = count(); since = Date.now(); }
  }
  return text();
}"""
CLASSES = {"CT": "2", "MR": "4", "CR": "1", "DX": "1.1", "MG": "1.2", "PT": "128", "US": "6.1"}
Json = dict[str, object]


class Val(Reply):
    imgPath: str | None = None  # the site's own key


class Report(Reply):
    code: int
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
    example = "https://cinv.wlycloud.com/#/?uid=SHARE1&facId=1001&time=1700000000000"

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        if "viewer" in link.named:
            await session.open(link.url)
            return
        uid = unquote(link.named.get("share") or link["query"])
        told = await session.post(
            f"{PAGE}/cfilm/getReportDetail", form={"uid": uid}, reply=Report,
            headers={"Origin": PAGE, "Referer": link.url},
        )  # fmt: skip
        said = told.errMsg or told.message or ""
        if told.code != 0:
            raise LinkExpired(said, host=link.host)
        path = told.val.imgPath if told.val else ""
        if not path:
            raise NoSuchStudy(said, host=link.host)
        await session.open(f"http:{path}" if path.startswith("//") else ShareLink(VIEWER).join(path))

    async def watch(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        text = str(await session.page.evaluate(STUDIES, [STEADY_MS, GIVE_UP_MS]))
        studies = read(('{"studies":' + text + "}").encode(), Studies, session.page.url).studies
        if not studies:
            raise SiteChanged(host=link.host, what="the viewer's page lists no study")
        for study in studies:
            for series in _list(study, "serieses"):
                yield _series(study, series, session.page.url)


def _series(study: Json, series: Json, referer: str) -> Series:
    images = _list(series, "images")
    raw = [one for one in images if one.get("fmt") in (None, "", "raw")]
    other = tuple(str(one.get("uid")) for one in images if one not in raw)
    return Series(
        study_instance_uid=str(study.get("sdyuid") or ""),
        series_instance_uid=str(series.get("srsuid") or ""),
        instances=tuple(
            Instance(str(one["uid"]), TagsAndPixels(_tags(study, series, one), _frames(one, referer)))
            for one in raw
        ),
        expected=len(raw),
        number=whole(_text(series, "num")),
        description=_text(series, "des"),
        modality=_text(series, "modality"),
        study=Study(
            uid=_text(study, "sdyuid"), date=_text(study, "date").replace("-", ""), description=_text(study, "des"),
            patient_name=_text(study, "name"), modality=_text(series, "modality"),
        ),
        left_out=(Problem("left-out", other, fatal=False),) if other else (),
    )  # fmt: skip


def _frames(image: Json, referer: str) -> tuple[Request, ...]:
    frames = sorted(_list(image, "frms"), key=lambda one: whole(_text(one, "num")) or 0)
    urls = [_text(one, "furl") or _text(image, "imageId") for one in frames] or [_text(image, "imageId")]
    return tuple(Request(ShareLink(VIEWER).join(url), headers={"Referer": referer}) for url in urls)


def _tags(study: Json, series: Json, image: Json) -> dict[str, str]:
    """What the viewer says, by keyword; dates and times that are none stay out."""
    bits, samples = whole(_text(image, "byte_pp")) or 0, _text(image, "sample_pp") or "1"
    stored = _text(image, "storebits")
    inverted = _text(image, "invert").lower() in ("1", "true")
    tags = {
        "SOPInstanceUID": _text(image, "uid"), "SeriesInstanceUID": _text(series, "srsuid"),
        "StudyInstanceUID": _text(study, "sdyuid"),
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1." + CLASSES.get(_text(series, "modality"), "7"),
        "PatientName": _text(study, "name"), "PatientID": _text(study, "patid"), "PatientSex": _text(study, "sex"),
        "PatientAge": _text(study, "age"), "PatientBirthDate": _date(study, "birthday"),
        "StudyDate": _date(study, "date"), "StudyTime": _time(study), "AccessionNumber": _text(study, "access"),
        "StudyDescription": _text(study, "des"), "Modality": _text(series, "modality"),
        "SeriesNumber": _text(series, "num"), "SeriesDescription": _text(series, "des"),
        "SeriesDate": _date(series, "date"), "SeriesTime": _time(series), "Laterality": _text(series, "laterality"),
        "BodyPartExamined": _text(series, "bodypart"), "PatientPosition": _text(series, "pos"),
        "InstanceNumber": _text(image, "num"), "NumberOfFrames": str(max(1, len(_list(image, "frms")))),
        "PatientOrientation": _text(image, "patOrientation"),
        "Rows": _text(image, "rows") or _text(image, "height"),
        "Columns": _text(image, "columns") or _text(image, "width"), "BitsAllocated": str(8 * bits),
        "BitsStored": stored, "HighBit": str((whole(stored) or 1) - 1), "SamplesPerPixel": samples,
        "PixelRepresentation": _text(image, "pixel_pre"), "PlanarConfiguration": "0" if samples == "3" else "",
        "PhotometricInterpretation": "RGB" if samples == "3" else "MONOCHROME1" if inverted else "MONOCHROME2",
        "PixelSpacing": _joined(image, "rowPixelSpacing", "columnPixelSpacing"),
        "ImagePositionPatient": _joined(image, "posX", "posY", "posZ"),
        "ImageOrientationPatient": _joined(image, "oXx", "oXy", "oXz", "oYx", "oYy", "oYz"),
        "SliceLocation": _text(image, "sliceLoc"), "SliceThickness": _text(image, "slicethickness"),
        "WindowCenter": _text(image, "windowCenter"), "WindowWidth": _text(image, "windowWidth"),
        "RescaleSlope": _text(image, "slope"), "RescaleIntercept": _text(image, "intercept"),
    }  # fmt: skip
    if tags["NumberOfFrames"] == "1":
        tags["NumberOfFrames"] = ""
    return {name: value for name, value in tags.items() if value}


def _list(one: Json, key: str) -> list[Json]:
    found = one.get(key)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _text(one: Json, key: str) -> str:
    value = one.get(key)
    return "" if value is None else str(value).strip()


def _joined(image: Json, *keys: str) -> str:
    values = [_text(image, key) for key in keys]
    return "\\".join(values) if all(values) else ""


def _date(one: Json, key: str) -> str:
    digits = _text(one, key).replace("-", "")
    return digits if len(digits) == 8 and digits.isdigit() else ""


def _time(one: Json) -> str:
    digits = _text(one, "time").replace(":", "")
    sound = (
        len(digits) == 6 and digits.isdigit() and digits < "240000" and digits[2] < "6" and digits[4] < "6"
    )
    return digits if sound else ""
