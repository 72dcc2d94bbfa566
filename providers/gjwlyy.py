"""浙大二院 联众云胶片 (gjwlyy): a report page, and an eUnity viewer that gives out no file; what it decodes is taken.

facts:    fixtures/sites/gjwlyy/README.md
asks:     nothing
serves:   rebuilt: the full-resolution pixels that the viewer decodes, with the tags that it names
verified: emulated site only

Over 120 lines because the viewer is driven by keys, and its tags come from three places.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs

from providers.families import driven, eunity
from providers.families.eunity import Decoded, Screen, Selected, State
from scraper.contract import (
    Asked,
    AsyncIterator,
    CorruptInstance,
    Deployment,
    Field,
    Found,
    Instance,
    LinkExpired,
    NoSuchStudy,
    Origin,
    PixelParts,
    Problem,
    Provider,
    Reply,
    Series,
    Session,
    SessionLapsed,
    ShareLink,
    SiteChanged,
    Study,
    gone,
    read,
    whole,
    with_query,
)
from scraper.protocols import amf3

CONTROL = "text=影像浏览"
REPORT = r"/queryShareReport\.htm"
VIEWER, IMAGES = r"/e/viewer", r"/e/CustomImageServlet"
WRAPPER = b"CLOHEADERZ01"  # then four reserved bytes and zlib
MAX_WRAPPER = 16 * 2**20
CLASSES = {
    "CT": "2", "MR": "4", "CR": "1", "DX": "1.1", "MG": "1.2", "PT": "128", "US": "6.1", "NM": "20", "XA": "12.1",
}  # fmt: skip


class ReportData(Reply):
    name: str | None = Field("", alias="hPatientName")
    patient: str | None = Field("", alias="hPatientId")
    sex: str | None = Field("", alias="hPatientSex")
    born: str | None = Field("", alias="hPatientDob")
    accession: str | None = Field("", alias="hAccessionNumber")
    studies: str | None = Field("", alias="hStudiesInstUId")
    item: str | None = Field("", alias="hServiceExaminealias")
    modalities: str | None = Field("", alias="serviceModalities")


class Report(Reply):
    data: ReportData | None = None


@dataclass
class _Shown:
    """One image that was on the screen. ``path``: its samples; None where they did not come whole."""

    selected: Selected
    columns: int = 0
    rows: int = 0
    path: Path | None = None
    decoded: Decoded | None = field(default=None, repr=False)


class Gjwlyy(Provider):
    name = "gjwlyy"
    route = (
        r"/cloudfilmserver/cloudFilm/showShareReport\.htm\?(?:[^#]*&)?key=(?P<key>[^&#]+).*"
        r"|/e/viewer\?(?P<viewer>[^#]+).*"
    )
    deployments = (
        Deployment("zjyx.gjwlyy.com", "浙江大学医学院附属第二医院", "杭州"),
        Deployment("zjyxview.gjwlyy.com", "浙江大学医学院附属第二医院", "杭州"),
    )
    marks = (
        r"/cloudfilmserver/cloudFilm/showShareReport\.htm\?.*key=.+",
        r"/e/viewer\?(?:.*&)?CLOAccessKeyID=.+",
    )
    example = "http://zjyx.gjwlyy.com/cloudfilmserver/cloudFilm/showShareReport.htm?key=0123456789abcdef"

    async def open_viewer(self, link: ShareLink, session: Session) -> None:
        await session.window()
        await session.page.context.add_init_script(eunity.HOOK)
        if "viewer" in link.named:
            await session.open(_one_up(link.url))
            return
        await session.open(link.url)
        try:
            await session.which(control=CONTROL)
        except SiteChanged:
            raise gone(await driven.words(session), host=link.host) from None
        control = session.page.locator(CONTROL).first
        target = await control.evaluate("one => (one.closest('a') || {}).href || ''")
        if re.match(r"https?://", str(target)) and VIEWER in str(target):
            await session.open(_one_up(str(target)))
        else:
            await control.click()

    async def watch(self, link: ShareLink, session: Session) -> AsyncIterator[Found]:
        page = await session.traffic.wait_for(VIEWER, timeout_s=session.settings.timeout_s)
        if page.status in (401, 403):  # its ticket is spent
            raise LinkExpired(host=link.host) if "viewer" in link.named else SessionLapsed(host=link.host)
        screen = Screen(session)
        state = await screen.ready()
        shown = await _all(screen, state, session)
        if not shown:
            raise NoSuchStudy(host=link.host)
        told = next((one for one in session.traffic.matching(REPORT) if one.ok), None)
        report = read(told.read(), Report, told.url).data if told else None
        wrappers = _wrappers(session)
        for one in _described(state, report or ReportData.model_validate({}), shown, wrappers):
            yield one


def _one_up(url: str) -> str:
    """The viewer's address with one image on the screen."""
    head, _, query = url.partition("?")
    kept = "&".join(pair for pair in query.split("&") if not pair.startswith("format="))
    return with_query(f"{head}?{kept}" if kept else head, {"format": "1upSeriesBox"})


# ---- driving


async def _all(screen: Screen, state: State, session: Session) -> dict[str, _Shown]:
    """Every image of every series that the viewer can be made to show, by what tells it."""
    shown: dict[str, _Shown] = {}
    now = state.selected
    if now is None:
        return shown
    await _keep(screen, now, shown, session)
    seen: set[str] = set()
    while True:
        now = await _series(screen, now, shown, session)
        seen.add(now.series)
        following = (await screen.press("ArrowRight", now)).selected
        if following is None or following.series in seen:
            following = await _by_thumbnail(screen, state, seen, following or now)
        if following is None:
            return shown
        now = following
        await _keep(screen, now, shown, session)


async def _series(screen: Screen, now: Selected, shown: dict[str, _Shown], session: Session) -> Selected:
    """One series, from the first image to the last; the last is looked up first, so that no key is pressed in vain."""
    last = (await screen.press("End", now)).selected or now
    await _keep(screen, last, shown, session)
    if last.series != now.series:
        return last
    at = (await screen.press("Home", last)).selected or last
    await _keep(screen, at, shown, session)
    while at.key != last.key:
        following = (await screen.press("ArrowDown", at)).selected
        if following is None or following.key == at.key or following.series != at.series:
            break
        at = following
        await _keep(screen, at, shown, session)
        session.tell("collecting", count=len(shown))
    return at


async def _by_thumbnail(screen: Screen, state: State, seen: set[str], now: Selected) -> Selected | None:
    for place, one in enumerate(state.series):
        if one.uid not in seen:
            seen.add(one.uid)
            clicked = (await screen.click_thumbnail(place, now)).selected
            if clicked is not None and clicked.series == one.uid:
                return clicked
    return None


async def _keep(screen: Screen, now: Selected, shown: dict[str, _Shown], session: Session) -> None:
    """Take what was decoded for the image on the screen, unless it is there."""
    known = shown.get(now.key)
    if known is not None and known.path is not None:
        return
    decoded = await screen.decoded()
    put_together = await asyncio.to_thread(eunity.image, decoded)
    if put_together is None:
        shown[now.key] = _Shown(now, decoded=decoded)
        return
    columns, rows, samples = put_together
    path = session.spool / f"image-{len(shown)}"
    await asyncio.to_thread(path.write_bytes, samples)
    light = Decoded(decoded.tiles[-1:], decoded.size, decoded.lut, decoded.rescale)
    shown[now.key] = _Shown(now, columns, rows, path, light)


# ---- tags


def _wrappers(session: Session) -> dict[str, dict[str, object]]:
    """What the viewer was told of its images, by SOP Instance UID."""
    found: dict[str, dict[str, object]] = {}
    for one in session.traffic.matching(IMAGES):
        asked = parse_qs((one.request_body or b"").decode("latin-1"))
        body = one.read() if asked.get("requestType") == ["CLOWRAPPER"] else b""
        if not body.startswith(WRAPPER):
            continue
        try:
            value = amf3.read(zlib.decompressobj().decompress(body[len(WRAPPER) + 4 :], MAX_WRAPPER))
        except (zlib.error, CorruptInstance):
            continue
        if isinstance(value, dict):
            found[asked.get("objectUID", [""])[0]] = dict(value)
    return found


def _described(
    state: State, report: ReportData, shown: Mapping[str, _Shown], wrappers: Mapping[str, dict[str, object]]
) -> list[Series]:
    by_series: dict[str, dict[str, list[_Shown]]] = {}
    for one in shown.values():
        by_series.setdefault(one.selected.series, {}).setdefault(one.selected.instance, []).append(one)
    study = state.studies[0] if state.studies else eunity.StudyReply.model_validate({})
    found = []
    for uid, instances in by_series.items():
        first = next(iter(instances.values()))[0]
        told = _plain(wrappers.get(first.selected.instance, {}))
        study_uid = first.selected.study or study.uid or report.studies or ""
        found.append(
            Series(
                study_instance_uid=study_uid,
                series_instance_uid=uid,
                number=whole(told.get("SeriesNumber")),
                description=told.get("SeriesDescription", ""),
                modality=told.get("Modality", ""),
                expected=len(instances),
                study=Study(
                    uid=study_uid, description=report.item or study.description or "", patient_name=_name(state, report),
                    date=told.get("StudyDate", ""),
                ),
                instances=tuple(
                    Instance(
                        name, Asked(partial(_parts, state, report, frames, wrappers.get(name, {})), Origin.REBUILT),
                        number=whole(frames[0].selected.number),
                    )
                    for name, frames in instances.items()
                ),
            )
        )  # fmt: skip
    absent = tuple(one.uid for one in state.series if one.uid not in by_series)
    if absent and found:
        first_series = found[0]
        found[0] = Series(
            study_instance_uid=first_series.study_instance_uid, series_instance_uid=first_series.series_instance_uid,
            number=first_series.number, description=first_series.description, modality=first_series.modality,
            expected=first_series.expected, study=first_series.study, instances=first_series.instances,
            left_out=(Problem("left-out", absent, fatal=False),),
        )  # fmt: skip
    return found


async def _parts(
    state: State, report: ReportData, frames: list[_Shown], wrapper: Mapping[str, object]
) -> PixelParts:
    frames = sorted(frames, key=lambda one: whole(one.selected.frame) or 1)
    samples = []
    for one in frames:
        if one.path is None:
            raise CorruptInstance(what="a reduced image, or a part of one")
        samples.append(await asyncio.to_thread(one.path.read_bytes))
    return PixelParts(_tags(state, report, frames, wrapper), tuple(samples))


def _tags(
    state: State, report: ReportData, frames: list[_Shown], wrapper: Mapping[str, object]
) -> dict[str, str]:
    first, told = frames[0], _plain(wrapper)
    patient = state.patient or eunity.Patient.model_validate({})
    sex = report.sex or patient.gender or ""
    decoded = first.decoded
    tile = decoded.tiles[-1] if decoded and decoded.tiles else None
    lut = decoded.lut if decoded else ()
    bits = 8 * (tile.sample if tile else 2)
    stored = told.get("BitsStored") or (
        str(int(lut[2])) if len(lut) > 2 and 0 < lut[2] <= bits else str(bits)
    )
    signed = tile.signed if tile and tile.signed is not None else bool(lut[1]) if len(lut) > 1 else False
    modality = told.get("Modality") or (report.modalities or "").split(",")[0].strip()
    rescale = decoded.rescale if decoded else ()
    tags = {
        "ImageType": "DERIVED\\PRIMARY", "SOPInstanceUID": first.selected.instance, "SeriesInstanceUID": first.selected.series,
        "StudyInstanceUID": first.selected.study or report.studies or "",
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1." + CLASSES.get(modality, "7"), "Modality": modality,
        "PatientName": _name(state, report), "PatientID": patient.patient or report.patient or "",
        "PatientSex": sex if sex in ("M", "F", "O") else "",
        "PatientBirthDate": re.sub(r"\D", "", report.born or "")[:8], "AccessionNumber": report.accession or "",
        "StudyDescription": report.item or "", "InstanceNumber": first.selected.number or "",
        "Rows": str(first.rows), "Columns": str(first.columns), "BitsAllocated": str(bits), "BitsStored": stored,
        "HighBit": str((whole(stored) or 1) - 1), "PixelRepresentation": str(int(signed)), "SamplesPerPixel": "1",
        "PhotometricInterpretation": "MONOCHROME2", "NumberOfFrames": str(len(frames)) if len(frames) > 1 else "",
        "RescaleSlope": _number(rescale, 0), "RescaleIntercept": _number(rescale, 1),
        "WindowCenter": _number(lut, 3), "WindowWidth": _number(lut, 4),
    }  # fmt: skip
    tags |= {name: value for name, value in told.items() if value and name not in ("Rows", "Columns")}
    return {name: value for name, value in tags.items() if value}


def _number(values: tuple[float, ...], place: int) -> str:
    return f"{values[place]:g}" if len(values) > place else ""


def _plain(wrapper: Mapping[str, object]) -> dict[str, str]:
    """The wrapper's own names as DICOM's keywords; the extra ones bear these names already."""
    names = {
        "modality": "Modality", "bitsAllocated": "BitsAllocated", "bitsStored": "BitsStored", "windowCenter": "WindowCenter",
        "windowWidth": "WindowWidth", "rescaleSlope": "RescaleSlope", "rescaleIntercept": "RescaleIntercept",
    }  # fmt: skip
    found = {keyword: _word(wrapper.get(name)) for name, keyword in names.items()}
    if isinstance(signed := wrapper.get("isSigned"), bool):
        found["PixelRepresentation"] = str(int(signed))
    calibration = wrapper.get("calibration")
    if isinstance(calibration, dict):
        across, down = _word(calibration.get("pixelSpacingX")), _word(calibration.get("pixelSpacingY"))
        found["PixelSpacing"] = f"{down}\\{across}" if across and down else ""
    extra = wrapper.get("extraImageMetadata")
    if isinstance(extra, dict):
        found |= {name: _word(value) for name, value in extra.items() if re.fullmatch(r"[A-Z]\w+", name)}
    return {name: value for name, value in found.items() if value}


def _word(value: object) -> str:
    if isinstance(value, list):
        return "\\".join(_word(one) for one in value)
    return (
        f"{value:.10g}"
        if isinstance(value, float)
        else ""
        if value is None or isinstance(value, dict)
        else str(value)
    )


def _name(state: State, report: ReportData) -> str:
    """The viewer puts a suffix behind the name."""
    shown = (state.patient.name if state.patient else "") or ""
    return report.name or shown.partition(" :")[0].strip()
