"""The list of a study as M-Viewer's phone page gets it: XML, with addresses inside the hospital's network.

facts: fixtures/sites/ydyy/README.md
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit
from xml.etree import ElementTree

from providers.products import mviewer
from scraper.contract import (
    Instance,
    NoSuchStudy,
    Problem,
    Reason,
    Response,
    Series,
    ShareLink,
    SiteChanged,
    Study,
    WadoUri,
    at_most,
    none_last,
    parse_int,
)

NO_DICOM = frozenset(("jpg", "jpeg", "png", "bmp", "gif", "tif", "tiff", "pdf", "avi", "mp4", "txt", "html", "xml"))
STUDY_ATTRIBUTES = ("uid", "studytime", "devicetypename", "patientname", "checkserialnum")


def read(listed: Response, page: ShareLink, headers: Mapping[str, str]) -> list[Series]:
    """The series of the list; raises what its status, or its absence, means."""
    text = listed.text
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
        raise SiteChanged(host=page.host, what=Reason.NO_SOUND_XML.of(path="the list")) from err
    found = []
    for item in root.iter("study"):
        uid, date, modality, patient, key = (item.get(name, "") for name in STUDY_ATTRIBUTES)
        study = Study(uid, date, modality, patient_name=patient, key=key)
        listed_series = [
            _series(element, place, study, page, headers) for place, element in enumerate(item.iter("series"))
        ]
        found += listed_series
        if listed_series:
            found += _absent(study, len(listed_series), parse_int(item.get("seriescount")) or 0)
    if not found:
        raise NoSuchStudy(host=page.host)
    return found


def _absent(study: Study, listed: int, counted: int) -> list[Series]:
    """The series that the study's own count has and its list lacks."""
    return [
        Series(study.uid, "", key=f"{study.key}/{place}", study=study).with_problem(Problem("missing-series"))
        for place in at_most(range(listed, counted))
    ]


def _series(
    series: ElementTree.Element, place: int, study: Study, page: ShareLink, headers: Mapping[str, str]
) -> Series:
    """One series over all its storages; pictures, documents and videos are named and left out."""
    objects = [(storage, image) for storage in series.iter("storage") for image in storage.iter("im")]
    objects.sort(key=lambda item: _order(item[1]))
    instances, others, uid = [], [], ""
    for at, (storage, image) in enumerate(objects):
        query = (image.text or "").strip().lstrip("?&")
        named = ShareLink(f"http://x/?{query}").params
        name = named.get("objectUID", "")
        if image.get("type", "dicom").lower() in NO_DICOM:
            others.append(name or f"{place}/{at}")
            continue
        uid = uid or named.get("seriesUID", "")
        address = _outside(storage.get("httpurl0", ""), page.origin)
        address += ("" if address.endswith(("?", "&")) else "&" if "?" in address else "?") + query
        instances.append(Instance(name, WadoUri(address, headers), f"{place}/{at}", parse_int(image.get("num"))))
    return Series(
        study_instance_uid=study.uid,
        series_instance_uid=uid,
        instances=tuple(instances),
        expected=max((parse_int(series.get("imagecount")) or 0) - len(others), len(instances)),
        number=parse_int(series.get("seriesnumber")),
        description=series.get("seriesdescription", ""),
        modality=study.modality,
        key=f"{study.key}/{place}",
        study=study,
    ).without(others, "no DICOM")


def _order(image: ElementTree.Element) -> int:
    number = parse_int(image.get("num"))
    return none_last(parse_int(image.get("index")) if number is None else number)


def _outside(address: str, origin: str) -> str:
    """An address inside the hospital's network, as the page's own host passes it on."""
    before, marker, rest = address.partition("/vnaHttp/")
    if marker:
        return f"{origin}/M-Viewer/m/vnaHttp/{rest}"
    parts = urlsplit(before)
    return f"{origin}/M-Viewer/m/{parts.path.lstrip('/')}" + (f"?{parts.query}" if "?" in before else "")
