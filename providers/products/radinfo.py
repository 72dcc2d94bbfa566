"""微影 radinfo 患者云: shared reports (``/PC/#/share_report``) of one product at several hospitals.

facts: fixtures/sites/zy91/README.md, fixtures/sites/wehzsy/README.md
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from scraper.contract import (
    CheckedReply,
    Field,
    Instance,
    NoSuchStudy,
    Reason,
    Reply,
    Response,
    Series,
    ShareLink,
    Study,
    WadoUri,
    parse_int,
    refusal_error,
)

REPORT = "/api/OAuth/User/StudyReport"
REPORTED = r"/api/OAuth/User/StudyReport\?"
VIEWER = r"\bvar\s+imgInfo\w*\s*=\s*'.*\"imageURL\""
"""What the viewer's page has and no other, also where a person saved it."""
_STEP = re.compile(
    r"\bvar\s+(?P<name>\w+)\s*=\s*(?=')"
    r"|\bWV_Add(?P<kind>Patient|Study|Series|Image)Info\(\s*(?P<added>\w+)\s*\)",
    re.S,
)
_LITERAL_ENDS = re.compile(r"';[ \t]*+(?:\r?\n|$)")
_PAIR = re.compile(r'"(\w+)"\s*:\s*("(?:[^"\\]|\\.)*")')
_SERIES_OF = re.compile(r"\bserObj(\w+)\.serIndex")


class ReportReply(Reply):
    uid: str = Field("", alias="StudiesInstUID")
    accession: str = Field("", alias="AccessionNumber")
    patient_name: str = Field("", alias="PatientsName")
    modality: str = Field("", alias="StudiesModalities")
    description: str = Field("", alias="StudiesExamineAlias")
    date: str = Field("", alias="StudiesDoneDate")
    time: str = Field("", alias="StudiesDoneDateTime")
    viewer: str = Field("", alias="ViewerUrl")

    def study(self, key: str) -> Study:
        """What the report says of the study; ``key`` tells it where it gives no UID."""
        return Study(self.uid, self.date or self.time, self.modality, self.description, self.patient_name, key)


class ReportedReply(CheckedReply):
    success: bool
    data: ReportReply | None = None


def params(link: ShareLink) -> Mapping[str, str]:
    """The link's parameters by lower-case name. Base64 has no blank: one that stands in a value was a plus sign."""
    return {name.lower(): value.replace(" ", "+") for name, value in link.params.items()}


def report(response: Response) -> ReportReply:
    """What the first call says; the answer's status says nothing.

    Raises:
        StudyGone: the site refuses, in its own words. SiteChanged: not as known.
    """
    reply = response.read(ReportedReply)
    if not reply.ok:
        raise refusal_error(reply.message)
    if reply.data is None:
        raise NoSuchStudy(reply.message)
    return reply.data


def site(link: ShareLink) -> dict[str, str]:
    """The headers of every request that the page makes."""
    return {"Referer": link.origin + "/", "Origin": link.origin}


@dataclass
class _ListedSeries:
    tags: dict[str, str]
    place: str = ""  # of the page's object for it, where nothing else names it
    images: list[dict[str, str]] = field(default_factory=list)


def list_series(page: str, api: str, headers: Mapping[str, str], study: Study) -> list[Series]:
    """The series that the viewer's page lists in its script.

    Args:
        page: its HTML.
        api: the origin that stands behind ``localhost`` in the page's addresses.
        headers: of each image's request.
        study: what is known of the study; without a key, the first series' UID becomes it.

    Raises:
        NoSuchStudy: no image in it.
    """
    found = [series for series in _walk(page) if series.images]
    if not found:
        raise NoSuchStudy(host=urlsplit(api).hostname)
    if not (study.uid or study.key):
        first = found[0]
        study = Study(
            key=first.tags.get("serInstUID") or first.images[0].get("sopInstUID", ""), patient_name=study.patient_name
        )
    return [_series(item, api, headers, study) for item in found]


def _series(listed: _ListedSeries, api: str, headers: Mapping[str, str], study: Study) -> Series:
    served = [image for image in listed.images if image.get("imageURL")]
    uid, number = listed.tags.get("serInstUID", ""), listed.tags.get("serNumber", "")
    series = Series(
        study_instance_uid=study.uid,
        series_instance_uid=uid,
        key=number or listed.place,
        number=parse_int(number),
        description=listed.tags.get("serDesc", "") or listed.tags.get("bodyPart", ""),
        modality=listed.tags.get("modality", ""),
        expected=len(served),
        study=study,
        instances=tuple(
            Instance(
                image.get("sopInstUID", ""),
                WadoUri(_public(image["imageURL"], api), headers),
                key=image["imageURL"],
                number=parse_int(image.get("imageNumber")),
            )
            for image in served
        ),
    )
    unserved = (image.get("sopInstUID", "") for image in listed.images if not image.get("imageURL"))
    return series.without(unserved, Reason.EMPTY_ENTRY)  # "occur: leave them out" (protocol page)


def _steps(page: str) -> Iterator[tuple[re.Match[str], str]]:
    """The assignments of literals, each with its literal, and the registrations, in the order of the page."""
    at, has_ends = 0, True
    while step := _STEP.search(page, at):
        at = step.end()
        if not step["name"]:
            yield step, ""
        elif has_ends:
            end = _LITERAL_ENDS.search(page, at + 1)
            has_ends = end is not None
            if end is not None:
                yield step, page[at : end.start() + 1]
                at = end.end()


def _walk(page: str) -> Iterator[_ListedSeries]:
    """The series in the order of registration; an image belongs to the last one registered before it.

    A page that registers nothing (a part of one, saved) names each image's series in its literal.
    """
    literals: dict[str, str] = {}
    unregistered: list[str] = []  # the same name may stand for every image
    series: list[_ListedSeries] = []
    for step, literal in _steps(page):
        if step["name"]:
            literals[step["name"]] = literal
            if step["name"].startswith("imgInfo"):
                unregistered.append(literal)
        elif step["kind"] == "Series":
            series.append(_ListedSeries(_pairs(literals.get(step["added"], ""))))
        elif step["kind"] == "Image":
            if not series:
                series.append(_ListedSeries({}))
            series[-1].images.append(_pairs(literals.get(step["added"], "")))
    if not any(listed.images for listed in series):
        by_name: dict[str, _ListedSeries] = {}
        for literal in unregistered:
            number = (_SERIES_OF.search(literal) or ["", ""])[1]
            tags = _pairs(literals.get(f"serInfo{number}", ""))
            by_name.setdefault(number, _ListedSeries(tags, place=f"serObj{number}")).images.append(_pairs(literal))
        series = list(by_name.values())
    yield from series


def _pairs(literal: str) -> dict[str, str]:
    """The quoted ``"key":"value"`` pairs; what is concatenated in between is the page's own bookkeeping."""
    found = {}
    for name, quoted in _PAIR.findall(literal):
        try:
            found[name] = str(json.loads(quoted, strict=False))
        except ValueError:
            found[name] = quoted[1:-1]
    return found


def _public(url: str, api: str) -> str:
    """An image's address; the viewer's own machine stands for the API."""
    parts = urlsplit(url)
    if parts.hostname in ("localhost", "127.0.0.1") or not parts.hostname:
        return api + (f"{parts.path}?{parts.query}" if parts.query else parts.path)
    return url
