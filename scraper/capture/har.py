"""A browser's own recording (HAR) as what a viewer received: recognised, paired and judged as a live capture; no request is sent.

The file is read by a child process (``protocols.har_unpack``); what it says is checked, and its bodies are taken from its folder.
"""

from __future__ import annotations

import asyncio
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from scraper.capture import other_studies
from scraper.capture.examination import Examination
from scraper.capture.infer.frame_replies import FrameReplies
from scraper.capture.observe.received import Observations
from scraper.capture.recorded import plan_of
from scraper.capture.series import series_of
from scraper.core import link as links
from scraper.core.disk import disk_errors
from scraper.core.errors import (
    ArchiveUnread,
    CloudfilmError,
    DiskFull,
    HarWithoutContent,
    NoImagesInHar,
)
from scraper.core.link import ShareLink
from scraper.core.model import Problem, Series
from scraper.core.reasons import Reason
from scraper.core.settings import RESERVE_BYTES
from scraper.isolation.child import Child, ChildLost
from scraper.isolation.plain import from_plain
from scraper.session import Session
from scraper.session.browser.traffic import Exchange, Traffic

_PROGRAM: Final = "scraper.protocols.har_unpack"
_PATIENCE_S: Final = 120.0  # from one entry to the next


@dataclass(frozen=True, slots=True)
class _Line:
    """One exchange, as the child says it."""

    url: str
    kind: str
    number: int
    size: int
    method: str = "GET"
    status: int = 0
    request_headers: dict[str, str] | None = None
    request_body: str = ""
    headers: dict[str, str] | None = None
    is_text: bool = False
    is_left_out: bool = False


@dataclass(frozen=True, slots=True)
class _Page:
    """The page that was recorded."""

    url: str


@dataclass(frozen=True, slots=True)
class _Recording:
    """What of a session the recognition looks at: the traffic and the page's address."""

    traffic: Traffic
    page: _Page


async def series_in(har: Path, spool: Path) -> list[Series]:
    """Every series of the study that a recording holds.

    Args:
        har: the file, perhaps in gzip.
        spool: a folder for bodies and objects.

    Raises:
        HarWithoutContent: it was saved without bodies. NoImagesInHar: no DICOM in it. ArchiveUnread: no HAR.
        DiskFull: no room for the bodies.
    """
    traffic = Traffic(spool / "har")
    left_out, is_cut = await asyncio.to_thread(_read, har, traffic)
    if left_out and not any(exchange.size for exchange in traffic.exchanges):
        raise HarWithoutContent(path=har.name)
    page = _page_of(traffic, har)
    observations = Observations(spool / "captured-har")
    recording = cast("Session", _Recording(traffic, _Page(page.url)))
    examination = Examination(page, recording, observations)
    await observations.take(traffic.exchanges)
    await asyncio.to_thread(FrameReplies(observations).resolve)
    plan = await asyncio.to_thread(plan_of, examination)
    found = await asyncio.to_thread(series_of, examination, plan)
    found = await other_studies.further(examination, plan, found, may_ask=False)
    if not found:
        raise HarWithoutContent(path=har.name) if left_out else NoImagesInHar(path=har.name)
    notes = [Problem("har-cut", fatal=False)] if is_cut else []
    notes += [Problem("har-bodies-left-out", values={"count": left_out}, fatal=False)] if left_out else []
    for note in notes:
        found[0] = found[0].with_problem(note)
    return found


def _page_of(traffic: Traffic, har: Path) -> ShareLink:
    """The address of the recorded page."""
    pages = [item.url for item in traffic.exchanges if item.kind == "document" and item.ok]
    for url in (*pages, *(item.url for item in traffic.exchanges)):
        try:
            return links.parse_url(url)
        except CloudfilmError:
            continue
    raise NoImagesInHar(path=har.name)


def _read(har: Path, traffic: Traffic) -> tuple[int, bool]:
    """Fill the traffic; how many bodies were left out, and whether the file ends too early."""
    folder = traffic.folder
    with disk_errors(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    child = Child(_PROGRAM, (str(folder),), _PATIENCE_S)
    left_out, is_cut, is_full = 0, False, False

    def may_go_on() -> bool:
        nonlocal is_full
        is_full = is_full or shutil.disk_usage(folder).free < RESERVE_BYTES
        return not is_full

    try:
        for answer, _ in child.ask({"har": str(har.absolute())}, may_go_on=may_go_on):
            if "error" in answer:
                raise ArchiveUnread(path=har.name, what=Reason.UNREADABLE_FILE)
            if "end" in answer:
                is_cut = answer.get("is_cut") is True
                continue
            line = _line(answer)
            left_out += line.is_left_out
            traffic.add(_exchange(line, folder, traffic.now))
    except ChildLost as err:
        if is_full:
            raise DiskFull(path=str(folder)) from err
        if not traffic.exchanges:
            raise ArchiveUnread(path=har.name, what=Reason.DAMAGED_FILE) from err
        is_cut = True
    finally:
        child.close()
    if is_cut and not traffic.exchanges:
        raise ArchiveUnread(path=har.name, what=Reason.DAMAGED_FILE)
    return left_out, is_cut


def _line(answer: dict[str, Any]) -> _Line:
    """An answer as an exchange.

    Raises:
        ChildLost: no answer of our child.
    """
    try:
        line: _Line = from_plain(_Line, {name: value for name, value in answer.items() if name != "length"})
    except (ValueError, TypeError) as err:
        raise ChildLost from err
    if not 0 < line.number < 10**7:
        raise ChildLost
    return line


def _exchange(line: _Line, folder: Path, when: float) -> Exchange:
    """The exchange, its body in the child's own file.

    Raises:
        ChildLost: there is no plain file of that number.
    """
    body = folder / f"{line.number:07d}"
    try:
        found = body.lstat()
    except FileNotFoundError as err:
        raise ChildLost from err
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_size != line.size:
        raise ChildLost
    sent = line.request_body.encode("utf-8", "surrogatepass") or None
    return Exchange(
        line.url,
        line.kind,
        line.method,
        line.request_headers or {},
        sent,
        line.status,
        line.headers or {},
        body if line.size else b"",
        line.size,
        line.is_text,
        when,
    )


__all__ = ["series_in"]
