"""The long search in a child process, so that a step that overruns, crashes or eats memory can be ended.

One JSON object per line. In: ``{"path", "models", "glanced", "password", "skip", "known"}`` starts a file, behind its first
``skip`` steps; ``known`` are rows of page, polygons that were read, polygons that were not;
``{"go": true|false}`` answers a report.
Out: a report after each step (``page``, ``pages``, ``found``, ``suspects``, ``cpu_s``), and one line that ends the file:
``{"end": true}`` or ``{"error", "values"}``. Nothing but text crosses, so that a hostile picture that takes over the
child gains no hold on the parent.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Timer
from time import monotonic, process_time
from types import MappingProxyType, TracebackType
from typing import Any, Self

from scraper.core.errors import LockedFile, NoSuchFile, UnknownFormat, UnreadableFile
from scraper.isolation.own_program import NO_CONSOLE, child_command
from scraper.isolation.process import bare_environment, confine
from scraper.source import pages as picture
from scraper.source.qr import cascade
from scraper.source.qr.engines import Found, Polygon, Seen, Wechat, zxing
from scraper.source.qr.suspects import Known

MEMORY = 1280 * 2**20  # bytes of its own, where the system has such a limit; a PNG of 120 megapixels takes some 950 MB
PROGRAM = tuple(child_command("scraper.source.qr.worker", "main"))
STEP_CPU_S = 1.5  # time of the processor for a step: one that takes more finds nothing, engines get lost in noise
# The same by the clock. Where the system ends a process by its time of the processor, the clock only ends what hangs: on a
# busy machine a step that works may take many times as long.
STEP_S = 8.0 if os.name == "nt" else 40.0
# The first step holds the child's start and the reading of the file; no clock goes beyond the time that the search has.
FIRST_CPU_S = 20.0
FIRST_S = 20.0 if os.name == "nt" else 80.0
HYPERLINK = "Hyperlink"  # what a document leads to without a code
MOST_LOST = 4  # steps of one file, before it is given up
_ERRORS = {
    error.__name__: error for error in (NoSuchFile, UnreadableFile, picture.TooManyPixels, UnknownFormat, LockedFile)
}


class Worker:
    """The child process; started at the first file, and restarted after it was ended."""

    def __init__(
        self,
        models: Path,
        *,
        program: tuple[str, ...] = PROGRAM,
        step_s: float = STEP_S,
        first_s: float = FIRST_S,
        password: str = "",
    ) -> None:
        self._models = models
        self._password = password
        self._program = program
        self._step_s = step_s
        self._first_s = first_s
        self._process: subprocess.Popen[str] | None = None
        self.pages = 1  # that the file which is searched says it has
        self.cpu_s = 0.0  # that the file at hand has cost so far, lost steps included

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        self._process.wait()
        self._process = None

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self._end()
            self._process = subprocess.Popen(  # noqa: S603  # this very module, or a test's own program
                self._program,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # the codecs' own talk
                text=True,
                encoding="utf-8",
                env=bare_environment(),
                creationflags=NO_CONSOLE,
            )
        return self._process

    def search(
        self, path: Path, *, glanced: bool, remaining_s: float, known: Mapping[int, Known] = MappingProxyType({})
    ) -> Generator[tuple[int, Seen], None, None]:
        """Yield what each step found, with its page; closing the iterator ends the search.

        Args:
            path: the file.
            glanced: the first pass is done, and ``known`` is its result for each page.
            remaining_s: the search ends after this.
            known: by page.

        A step that runs longer than ``step_s`` or crashes the child is skipped; the search continues behind it. What
        it cost is in ``cpu_s``, and it is reported as one that found nothing.

        Raises:
            TimeoutError: ``remaining_s`` is over, or too many steps ran too long.
            ChildProcessError: the child crashed repeatedly on this file.
            NoSuchFile, UnreadableFile: as the child met them.
        """
        end = monotonic() + remaining_s
        order = {
            "path": str(path.absolute()),
            "models": str(self._models),
            "glanced": glanced,
            "password": self._password,
            "known": [(page, item.read, item.suspects) for page, item in known.items()],
        }
        done = 0
        page = 1
        self.cpu_s = 0.0
        overran = False
        for _ in range(MOST_LOST):
            spent_s = self.cpu_s
            try:
                for page, seen, cpu_s in self._looks(path, {**order, "skip": done}, end):
                    done += 1
                    self.cpu_s = spent_s + cpu_s
                    yield page, seen
            except TimeoutError:
                overran = True
            except ChildProcessError:
                overran = False
            else:
                return
            if monotonic() >= end:
                raise TimeoutError
            done += 1
            self.cpu_s += STEP_CPU_S
            yield page, Seen()
        raise TimeoutError if overran else ChildProcessError(str(path))

    def _looks(
        self, path: Path, order: Mapping[str, object], end: float
    ) -> Generator[tuple[int, Seen, float], None, None]:
        """The results of the steps of an order; TimeoutError and ChildProcessError where the child was lost."""
        process = self._running()
        late: list[bool] = []

        def kill() -> None:
            late.append(True)
            process.kill()

        def timer(seconds: float) -> Timer:
            started = Timer(max(min(seconds, end - monotonic()), 0.001), kill)
            started.daemon = True
            started.start()
            return started

        clock = timer(self._first_s)
        is_busy = True
        try:
            _send(process, **order)
            for report in _reports(process):
                clock.cancel()
                is_busy = False
                if "end" in report:
                    return
                if "error" in report:
                    raise _ERRORS[report["error"]](path=path, **report["values"])
                self.pages = int(report.get("pages", 1))
                try:
                    yield int(report["page"]), _seen(report), float(report.get("cpu_s", 0.0))
                except GeneratorExit:
                    self._leave(process)
                    raise
                clock = timer(self._step_s)
                is_busy = True
                _send(process, go=True)
        except (OSError, EOFError, ValueError, KeyError, TypeError) as err:
            is_busy = True  # whatever state it is in
            if late:
                raise TimeoutError from err
            raise ChildProcessError(str(path)) from err
        finally:
            clock.cancel()
            if is_busy:
                self._end()  # it is in the middle of a step, which may last

    def _leave(self, process: subprocess.Popen[str]) -> None:
        """Have the child, which waits for an answer, leave the file; end it where it can't be reached."""
        try:
            _send(process, go=False)
            next(_reports(process))
        except (OSError, EOFError, ValueError, TypeError):
            self._end()


def _send(process: subprocess.Popen[str], **words: object) -> None:
    if process.stdin is None:
        raise BrokenPipeError
    process.stdin.write(json.dumps(words) + "\n")
    process.stdin.flush()


def _reports(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    if process.stdout is None:
        raise EOFError
    for line in process.stdout:
        report = json.loads(line)
        if not isinstance(report, dict):
            raise TypeError(line)
        yield report
    raise EOFError


def _polygon(points: list[list[int]]) -> Polygon:
    return tuple((int(x), int(y)) for x, y in points)


def _seen(report: dict[str, Any]) -> Seen:
    return Seen(
        tuple(Found(str(text), str(symbology), _polygon(points)) for text, symbology, points in report["found"]),
        tuple(_polygon(points) for points in report["suspects"]),
    )


# ---- the child's side


def _limit_cpu(seconds: float) -> None:
    """Have the system end this process after so much CPU time, even inside a library."""
    if hasattr(signal, "setitimer"):  # Windows has none: there the parent's clock alone counts
        signal.setitimer(signal.ITIMER_PROF, seconds)


def _say(**words: object) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def _search(order: dict[str, Any], wechat: Wechat) -> None:
    """Search every page quickly, then every page at length; the first steps may have been done before."""
    pages = picture.page_count(Path(order["path"]), order["password"])
    start_s = process_time()
    for number, (page, step) in enumerate(_steps(order, wechat)):
        _limit_cpu(STEP_CPU_S)
        if number >= order["skip"] and not _reported(page, pages, step(), start_s):
            return
        _limit_cpu(FIRST_CPU_S)  # the next page is read


def _steps(order: dict[str, Any], wechat: Wechat) -> Iterator[tuple[int, cascade.Step]]:
    path = Path(order["path"])
    known = {
        int(page): Known(tuple(map(_polygon, read)), tuple(map(_polygon, suspects)))
        for page, read, suspects in order["known"]
    }
    held: list[picture.Page] = []
    if not order["glanced"]:
        # what takes long to decode is decoded once, unless it has many pages, which are not held together
        is_pdf = picture.kind_of(path) is picture.Kind.PDF
        for page in picture.pages(path, colour=not is_pdf, password=order["password"]):
            yield page.number, partial(_glance, page, known)
            held = [] if is_pdf or page.number > 1 else [page]
    for page in held or picture.pages(path, colour=True, password=order["password"]):
        for step in cascade.steps(page, wechat, known.get(page.number, Known())):
            yield page.number, step


def _glance(page: picture.Page, known: dict[int, Known]) -> Seen:
    """The first pass, and what the next steps learn from it."""
    seen = zxing(page.grey, scale=page.scale)
    known[page.number] = Known(tuple(item.polygon for item in seen.found), seen.suspects)
    links = tuple(Found(address, HYPERLINK, polygon) for address, polygon in page.links)
    return Seen((*seen.found, *links), seen.suspects)


def _reported(page: int, pages: int, seen: Seen, start_s: float) -> bool:
    """Report what was found on one page, and ask whether to go on."""
    found = [(item.text, item.symbology, item.polygon) for item in seen.found]
    _say(page=page, pages=pages, found=found, suspects=seen.suspects, cpu_s=process_time() - start_s)
    answer = json.loads(sys.stdin.readline() or '{"go": false}')
    return bool(answer.get("go"))


def main() -> None:
    """Serve files until standard input ends."""
    with suppress(ImportError, OSError):
        import pyzbar.pyzbar  # noqa: F401  # asks other programs where its library is, which nobody may once the fences are up
    confine(memory=MEMORY)
    sys.stdin.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    wechat: Wechat | None = None
    folder = ""
    for line in iter(sys.stdin.readline, ""):
        order = json.loads(line)
        if "path" not in order:
            continue
        if wechat is None or folder != order["models"]:
            folder = order["models"]
            wechat = Wechat(Path(folder))
        try:
            _search(order, wechat)
        except (NoSuchFile, UnreadableFile) as err:
            values = {name: value for name, value in err.values.items() if name != "path"}
            _say(error=type(err).__name__, values=values)
        except MemoryError:
            _say(error=UnreadableFile.__name__, values={})
        else:
            _say(end=True)
