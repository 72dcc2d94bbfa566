"""The child's side of reading codes: a file becomes pixels, codes and drawings here, behind the fence, and nowhere else.

One JSON object per line. In: ``{"ask", "path", …}`` is an order; ``{"go": true|false}`` answers a report. Orders are ``glance``
(every page once, as it is), ``search`` (at length, with ``models``, ``glanced``, ``password``, ``skip`` and ``known``: rows of
page, polygons that were read, polygons that were not), ``frames`` (how many frames of an animation were left out) and ``draw``
(``places`` on a ``page``, as a picture of the kind ``suffix``).
Out: a report after each step (``page``, ``pages``, ``found``, ``suspects``, ``cpu_s``), and one line that ends the order:
``{"end": true}`` with what was asked for, or ``{"error", "values"}``.
"""

from __future__ import annotations

import base64
import json
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Any, Final

from scraper.core.errors import NoSuchFile, UnreadableFile
from scraper.isolation.process import confine
from scraper.source import pages as picture
from scraper.source.picture_kind import Kind, kind_of
from scraper.source.qr.engines import EngineResult, FoundCode, Polygon, Wechat, zxing

if TYPE_CHECKING:
    from scraper.source.qr import cascade
    from scraper.source.qr.suspects import KnownPlaces

MEMORY: Final = (
    1280 * 2**20
)  # bytes of its own, where the system has such a limit; a PNG of 120 megapixels takes some 950 MB
STEP_CPU_S: Final = (
    1.5  # time of the processor for a step: one that takes more finds nothing, engines get lost in noise
)
READING_CPU_S: Final = 20.0  # the same for taking a file apart
HYPERLINK: Final = "Hyperlink"  # what a document leads to without a code

Order = dict[str, Any]


def main() -> None:
    """Serve orders until standard input ends."""
    confine(memory=MEMORY)
    sys.stdin.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    works: dict[str, Callable[[Order], dict[str, Any]]] = {
        "glance": _glance,
        "search": _Search().run,
        "frames": _frames,
        "draw": _draw,
    }
    for line in iter(sys.stdin.readline, ""):
        order = json.loads(line)
        if "ask" not in order:
            continue
        try:
            made = works[order["ask"]](order)
        except (NoSuchFile, UnreadableFile) as err:
            values = {name: value for name, value in err.values.items() if name != "path"}
            _say(error=type(err).__name__, values=values)
        except MemoryError:
            _say(error=UnreadableFile.__name__, values={})
        else:
            _say(end=True, **made)


def polygon(points: list[list[int]]) -> Polygon:
    """Corners as they cross."""
    return tuple((int(x), int(y)) for x, y in points)


def _say(**words: object) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def _limit_cpu(seconds: float) -> None:
    """Have the system end this process after so much CPU time, even inside a library."""
    if hasattr(signal, "setitimer"):  # Windows has none: there the parent's clock alone counts
        signal.setitimer(signal.ITIMER_PROF, seconds)


def _reported(page: int, pages: int, seen: EngineResult, start_s: float) -> bool:
    """Report what was found on one page, and ask whether to go on."""
    found = [(item.text, item.symbology, item.polygon) for item in seen.found]
    _say(page=page, pages=pages, found=found, suspects=seen.suspects, cpu_s=process_time() - start_s)
    answer = json.loads(sys.stdin.readline() or '{"go": false}')
    return bool(answer.get("go"))


def _glance(order: Order) -> dict[str, Any]:
    """The first look: every page of a simple kind of file as it is, without NumPy, whose start takes as long as the look."""
    start_s = process_time()
    _limit_cpu(READING_CPU_S)
    for number, grey, scale in picture.greys(Path(order["path"])):
        if not _reported(number, 1, zxing(grey, scale=scale), start_s):
            break
        _limit_cpu(READING_CPU_S)
    return {}


def _frames(order: Order) -> dict[str, Any]:
    _limit_cpu(READING_CPU_S)
    return {"left_out": picture.frames_left_out(Path(order["path"]))}


def _draw(order: Order) -> dict[str, Any]:
    from scraper.source.qr.annotate import drawn

    _limit_cpu(READING_CPU_S)
    places = [(polygon(points), str(text)) for points, text in order["places"]]
    path, password = Path(order["path"]), order["password"]
    made, columns, rows = drawn(path, order["page"], places, order["suffix"], password=password)
    return {"picture": None if made is None else base64.b64encode(made).decode(), "columns": columns, "rows": rows}


class _Search:
    """Searches at length; the detector's models stay loaded from one file to the next."""

    def __init__(self) -> None:
        self._wechat: Wechat | None = None
        self._folder = ""

    def run(self, order: Order) -> dict[str, Any]:
        """Search every page quickly, then every page at length; the first steps may have been done before."""
        if self._wechat is None or self._folder != order["models"]:
            self._folder = order["models"]
            self._wechat = Wechat(Path(self._folder))
        _limit_cpu(READING_CPU_S)
        pages = picture.page_count(Path(order["path"]), order["password"])
        start_s = process_time()
        for number, (page, step) in enumerate(_steps(order, self._wechat)):
            _limit_cpu(STEP_CPU_S)
            if number >= order["skip"] and not _reported(page, pages, step(), start_s):
                break
            _limit_cpu(READING_CPU_S)  # the next page is read
        return {}


def _steps(order: Order, wechat: Wechat) -> Iterator[tuple[int, cascade.Step]]:
    from scraper.source.qr import cascade
    from scraper.source.qr.suspects import KnownPlaces

    path = Path(order["path"])
    known = {
        int(page): KnownPlaces(tuple(map(polygon, read)), tuple(map(polygon, suspects)))
        for page, read, suspects in order["known"]
    }
    held: list[picture.Page] = []
    if not order["glanced"]:
        # what takes long to decode is decoded once, unless it has many pages, which are not held together
        is_pdf = kind_of(path) is Kind.PDF
        for page in picture.pages(path, colour=not is_pdf, password=order["password"]):
            yield page.number, partial(_first_look, page, known)
            held = [] if is_pdf or page.number > 1 else [page]
    for page in held or picture.pages(path, colour=True, password=order["password"]):
        for step in cascade.steps(page, wechat, known.get(page.number, KnownPlaces())):
            yield page.number, step


def _first_look(page: picture.Page, known: dict[int, KnownPlaces]) -> EngineResult:
    """The first pass, and what the next steps learn from it."""
    from scraper.source.qr.suspects import KnownPlaces

    seen = zxing(page.grey, scale=page.scale)
    known[page.number] = KnownPlaces(tuple(item.polygon for item in seen.found), seen.suspects)
    links = tuple(FoundCode(address, HYPERLINK, place) for address, place in page.links)
    return EngineResult((*seen.found, *links), seen.suspects)
