"""Files are read in a child process, so that a step that overruns, crashes, eats memory or is taken over can be ended.

Nothing but lines of text crosses (``worker_process`` has the protocol), so that a hostile picture that takes over the child gains
no hold on the parent: what it says is read as numbers and texts, or not at all.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path
from threading import Timer
from time import monotonic
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from scraper.core.errors import LockedFile, NoSuchFile, UnknownFormat, UnreadableFile
from scraper.isolation.own_program import NO_CONSOLE, child_command
from scraper.isolation.process import bare_environment
from scraper.source.pages import TooManyPixels
from scraper.source.qr.engines import EngineResult, FoundCode, Polygon
from scraper.source.qr.worker_process import STEP_CPU_S, polygon

if TYPE_CHECKING:
    from scraper.source.qr.suspects import KnownPlaces

PROGRAM: Final = tuple(child_command("scraper.source.qr.worker_process", "main", is_bare=True))
# A step by the clock. Where the system ends a process by its time of the processor, the clock only ends what hangs: on a
# busy machine a step that works may take many times as long.
STEP_S: Final = 8.0 if os.name == "nt" else 40.0
# The first step holds the child's start and the reading of the file; no clock goes beyond the time that the search has.
FIRST_S: Final = 20.0 if os.name == "nt" else 80.0
MOST_LOST: Final = 4  # steps of one file, before it is given up
LONGEST_LINE: Final = 4 << 20  # characters of a report; a page with a hundred codes takes some 30 KB
LONGEST_DRAWING: Final = 64 << 20  # characters of a picture of 2,400 pixels that does not pack
_ERRORS: Final = {
    error.__name__: error for error in (NoSuchFile, UnreadableFile, TooManyPixels, UnknownFormat, LockedFile)
}


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture of a page as a file's bytes; ``columns`` and ``rows`` of the page, in pixels of its codes' polygons."""

    data: bytes
    columns: int
    rows: int


class Worker:
    """The child process; started at the first file, and restarted after it was ended.

    Attributes:
        spare: where a program has very many short runs (a test suite), it sets a list here, and idle processes outlive
            their worker in it; whoever set it ends them.
    """

    spare: ClassVar[list[subprocess.Popen[bytes]] | None] = None

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
        self._process: subprocess.Popen[bytes] | None = None
        self.pages = 1  # that the file which is searched says it has
        self.cpu_s = 0.0  # that the file at hand has cost so far, lost steps included

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.spare is not None and self._process is not None and self._program == PROGRAM:
            self.spare.append(self._process)
            self._process = None
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

    def start(self) -> None:
        """Start the process now, where none runs: it is ready when it is asked."""
        self._running()

    def _running(self) -> subprocess.Popen[bytes]:
        while self._process is None and self.spare and self._program == PROGRAM:
            self._process = self.spare.pop()
            if self._process.poll() is not None:
                self._end()  # its pipes are still open
        if self._process is None or self._process.poll() is not None:
            self._end()
            self._process = subprocess.Popen(  # noqa: S603  # this very package, or a test's own program
                self._program,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # the codecs' own talk
                env=bare_environment(),
                creationflags=NO_CONSOLE,
            )
        return self._process

    def glance(self, path: Path, *, remaining_s: float) -> Generator[tuple[int, EngineResult], None, None]:
        """Yield what the first look at each page of a simple kind of file found; closing the iterator ends it.

        Raises:
            TimeoutError: ``remaining_s`` is over. ChildProcessError: the child crashed on this file.
            NoSuchFile, UnreadableFile: as the child met them.
        """
        end = monotonic() + remaining_s
        for page, seen, _ in self._looks(path, {"ask": "glance", "path": str(path.absolute())}, end, inf):
            yield page, seen

    def search(
        self, path: Path, *, glanced: bool, remaining_s: float, known: Mapping[int, KnownPlaces] = MappingProxyType({})
    ) -> Generator[tuple[int, EngineResult], None, None]:
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
            "ask": "search",
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
                for page, seen, cpu_s in self._looks(path, {**order, "skip": done}, end, self._first_s):
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
            yield page, EngineResult()
        raise TimeoutError if overran else ChildProcessError(str(path))

    def frames_left_out(self, path: Path) -> int:
        """Number of frames of an animation that are not searched; 0 for everything else, and where nothing can be learnt."""
        try:
            found = self._result_of(path, {"ask": "frames"}, LONGEST_LINE).get("left_out", 0)
        except (TimeoutError, ChildProcessError, UnreadableFile):
            return 0
        return found if type(found) is int else 0

    def drawing(self, path: Path, page: int, places: Sequence[tuple[Polygon, str]], suffix: str) -> Drawing | None:
        """A picture of a page with these ``places`` (corners, text) on it.

        Args:
            path: the file.
            page: from 1.
            places: what is drawn on it.
            suffix: of a file of the picture's kind; None is returned for one that there is not.

        Raises:
            NoSuchFile, UnreadableFile: ``path`` can't be read, or has no such page.
        """
        order = {"ask": "draw", "page": page, "places": places, "suffix": suffix, "password": self._password}
        try:
            made = self._result_of(path, order, LONGEST_DRAWING)
            if made["picture"] is None:
                return None
            drawing = Drawing(base64.b64decode(made["picture"], validate=True), int(made["columns"]), int(made["rows"]))
        except (TimeoutError, ChildProcessError, ValueError, TypeError, KeyError, OverflowError) as err:
            raise UnreadableFile(path=path) from err
        if min(drawing.columns, drawing.rows) < 1:
            raise UnreadableFile(path=path)
        return drawing

    def _result_of(self, path: Path, order: Mapping[str, object], longest: int) -> dict[str, Any]:
        """What ends an order that has no reports; errors as for ``_looks``."""
        order = {**order, "path": str(path.absolute())}
        reports = self._reports(path, order, monotonic() + FIRST_S, longest=longest)
        with closing(reports):
            report = next(reports)
        if "end" not in report:  # no word of our child's
            self._end()
            raise ChildProcessError(str(path))
        return report

    def _looks(
        self, path: Path, order: Mapping[str, object], end: float, first_s: float
    ) -> Generator[tuple[int, EngineResult, float], None, None]:
        """The results of the steps of an order; errors as for ``_reports``."""
        with closing(self._reports(path, order, end, first_s=first_s)) as reports:
            for report in reports:
                if "end" in report:
                    return
                try:
                    self.pages = int(report.get("pages", 1))
                    look = int(report["page"]), _seen(report), float(report.get("cpu_s", 0.0))
                except (ValueError, KeyError, TypeError, OverflowError) as err:
                    self._end()
                    raise ChildProcessError(str(path)) from err
                yield look

    def _reports(
        self,
        path: Path,
        order: Mapping[str, object],
        end: float,
        *,
        first_s: float = FIRST_S,
        longest: int = LONGEST_LINE,
    ) -> Generator[dict[str, Any], None, None]:
        """What the child says to an order, its last word included.

        Raises:
            TimeoutError, ChildProcessError: the child was lost. NoSuchFile, UnreadableFile: as the child met them.
        """
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

        clock = timer(first_s)
        is_busy = True
        try:
            _send(process, **order)
            for report in _lines(process, longest):
                clock.cancel()
                is_busy = False
                if "error" in report:
                    raise _ERRORS[report["error"]](path=path, **report["values"])
                if "end" in report:
                    yield report
                    return
                try:
                    yield report
                except GeneratorExit:
                    clock = timer(self._step_s)
                    self._leave(process)
                    raise
                clock = timer(self._step_s)
                is_busy = True
                _send(process, go=True)
        except (OSError, EOFError, ValueError, KeyError, TypeError, RecursionError) as err:
            is_busy = True  # whatever state it is in
            if late:
                raise TimeoutError from err
            raise ChildProcessError(str(path)) from err
        finally:
            clock.cancel()
            if is_busy:
                self._end()  # it is in the middle of a step, which may last

    def _leave(self, process: subprocess.Popen[bytes]) -> None:
        """Have the child, which waits for an answer, leave the file; end it where it can't be reached."""
        try:
            _send(process, go=False)
            next(_lines(process, LONGEST_LINE))
        except (OSError, EOFError, ValueError, TypeError, RecursionError):
            self._end()


def _send(process: subprocess.Popen[bytes], **words: object) -> None:
    if process.stdin is None:
        raise BrokenPipeError
    process.stdin.write(json.dumps(words).encode() + b"\n")
    process.stdin.flush()


def _lines(process: subprocess.Popen[bytes], longest: int) -> Iterator[dict[str, Any]]:
    if process.stdout is None:
        raise EOFError
    while line := process.stdout.readline(longest):
        if not line.endswith(b"\n"):
            raise EOFError
        report = json.loads(line)
        if not isinstance(report, dict):
            raise TypeError
        yield report
    raise EOFError


def _seen(report: dict[str, Any]) -> EngineResult:
    return EngineResult(
        tuple(FoundCode(str(text), str(symbology), polygon(points)) for text, symbology, points in report["found"]),
        tuple(polygon(points) for points in report["suspects"]),
    )
