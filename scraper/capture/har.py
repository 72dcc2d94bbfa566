"""A browser's own recording (HAR) as what a viewer received: recognised, paired and judged as a live capture; no request is sent.

The file is read by a child process (``protocols.har_unpack``); what it says is checked, and its bodies are taken from its folder.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from scraper.capture.recorded import Recording
from scraper.core.disk import disk_errors
from scraper.core.errors import ArchiveUnread, DiskFull, HarWithoutContent, NoImagesInHar
from scraper.core.model import Problem, Series
from scraper.core.reasons import Reason
from scraper.core.settings import RESERVE_BYTES
from scraper.isolation.child import Child, ChildLost
from scraper.session.browser.traffic import Traffic
from scraper.session.child_traffic import exchange_of, line_of

_HAR: Final = "scraper.protocols.har_unpack"
_PAGE: Final = "scraper.protocols.page_unpack"
_PATIENCE_S: Final = 120.0  # from one entry to the next


async def series_in(
    har: Path, spool: Path, *, fetch_missing: bool = False, on_page: Callable[[str], None] = lambda _: None
) -> list[Series]:
    """Every series of the studies that a recording holds.

    Args:
        har: the file, perhaps in gzip.
        spool: a folder for bodies and objects.
        fetch_missing: ask, without the session, for what its lists name and it lacks.
        on_page: called with the address of the page that was recorded.

    Raises:
        HarWithoutContent: it was saved without bodies. NoImagesInHar: no DICOM in it. ArchiveUnread: no HAR.
        DiskFull: no room for the bodies.
    """
    traffic, left_out, is_cut = await asyncio.to_thread(traffic_in, har, spool / "har")
    recording = Recording(traffic, spool / "captured-har", fetch_missing=fetch_missing)
    await recording.observe()
    found = await recording.series()
    if not found:
        raise HarWithoutContent(path=har.name) if left_out else NoImagesInHar(path=har.name)
    page = recording.page()
    if page is not None:
        on_page(page.url)
    notes = [Problem("har-cut", fatal=False)] if is_cut else []
    notes += [Problem("har-bodies-left-out", values={"count": left_out}, fatal=False)] if left_out else []
    for note in notes:
        found[0] = found[0].with_problem(note)
    return found


def traffic_in(har: Path, folder: Path) -> tuple[Traffic, int, bool]:
    """What a recording holds, how many bodies it lacks, and whether the file ends too early.

    Raises:
        HarWithoutContent: it was saved without bodies. ArchiveUnread: no HAR. DiskFull: no room for the bodies.
    """
    traffic = Traffic(folder)
    left_out, is_cut = _read(_HAR, {"har": str(har.absolute())}, har, traffic)
    if left_out and not any(exchange.size for exchange in traffic.exchanges):
        raise HarWithoutContent(path=har.name)
    return traffic, left_out, is_cut


async def series_in_page(page: Path, spool: Path) -> list[Series]:
    """Every series of which images lie in a page that was saved by hand.

    Args:
        page: MHTML, SingleFile, or a page with its folder beside it.
        spool: a folder for bodies and objects.

    Raises:
        NoImagesInHar: no DICOM in it. ArchiveUnread: it can't be read. DiskFull: no room for the bodies.
    """
    traffic = Traffic(spool / "page")
    await asyncio.to_thread(_read, _PAGE, {"page": str(page.absolute())}, page, traffic)
    recording = Recording(traffic, spool / "captured-page")
    await recording.observe()
    found = await recording.series()
    if not found:
        raise NoImagesInHar(path=page.name)
    return found


def _read(program: str, question: Mapping[str, str], har: Path, traffic: Traffic) -> tuple[int, bool]:
    """Fill the traffic; how many bodies were left out, and whether the file ends too early."""
    folder = traffic.folder
    with disk_errors(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    child = Child(program, (str(folder),), _PATIENCE_S)
    left_out, is_cut, is_full = 0, False, False

    def may_go_on() -> bool:
        nonlocal is_full
        is_full = is_full or shutil.disk_usage(folder).free < RESERVE_BYTES
        return not is_full

    try:
        for answer, _ in child.ask(question, may_go_on=may_go_on):
            if "error" in answer:
                raise ArchiveUnread(path=har.name, what=Reason.UNREADABLE_FILE)
            if "end" in answer:
                is_cut = answer.get("is_cut") is True
                continue
            line = line_of(answer)
            left_out += line.is_left_out
            traffic.add(exchange_of(line, folder, traffic.now))
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
