"""The long search in a process of its own, so that a step that overruns, crashes or eats memory can be ended.

One JSON object a line. In: ``{"path", "models", "glanced"}`` starts a file, ``{"go": true|false}`` answers a report.
Out: a report after each step (``page``, ``found``, ``suspects``), and one line that ends the file: ``{"end": true}`` or
``{"error", "values"}``. Nothing but text crosses, so that a hostile picture that takes over the child gains no hold on
the parent.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Timer
from types import TracebackType
from typing import Any, Self

from scraper import picture
from scraper.errors import NoSuchFile, UnreadableFile
from scraper.qr import cascade
from scraper.qr.engines import Found, Seen, Wechat

MEMORY = (
    6 * 2**30
)  # bytes of address space, where the system can be told; a page of 120 megapixels needs under 2
_ERRORS = {error.__name__: error for error in (NoSuchFile, UnreadableFile, picture.TooManyPixels)}


class Worker:
    """The child process; started at the first file, started anew after it was ended."""

    def __init__(self, models: Path) -> None:
        self._models = models
        self._process: subprocess.Popen[str] | None = None

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
            self._process = subprocess.Popen(
                [sys.executable, "-m", "scraper.qr.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # the codecs' own talk
                text=True,
                encoding="utf-8",
                env=_environment(),
            )
        return self._process

    def search(self, path: Path, *, glanced: bool, left_s: float) -> Generator[tuple[int, Seen], None, None]:
        """What each step saw, with its page; closing the iterator ends the search.

        Args:
            path: the file.
            glanced: the first look was taken already.
            left_s: after this the process is killed, in the middle of a step if need be.

        Raises:
            NoSuchFile: there is no such file.
            UnreadableFile: its data make no picture (TooManyPixels: too large a one).
            TimeoutError: the time was over.
            ChildProcessError: the process died of this file.
        """
        process = self._running()
        late: list[bool] = []

        def kill() -> None:
            late.append(True)
            process.kill()

        timer = Timer(max(left_s, 0.001), kill)
        timer.start()
        whole = False
        try:
            _tell(process, path=str(path.absolute()), models=str(self._models), glanced=glanced)
            for report in _reports(process):
                if "end" in report:
                    whole = True
                    return
                if "error" in report:
                    whole = True
                    raise _ERRORS[report["error"]](path=path, **report["values"])
                yield int(report["page"]), _seen(report)
                _tell(process, go=True)
        except (OSError, EOFError, ValueError, KeyError, TypeError) as err:
            if late:
                raise TimeoutError from err
            raise ChildProcessError(str(path)) from err
        finally:
            timer.cancel()
            if not whole:
                self._abandon(process)

    def _abandon(self, process: subprocess.Popen[str]) -> None:
        """Has the child leave the file, or ends it where it can't be told."""
        try:
            _tell(process, go=False)
            for report in _reports(process):
                if "end" in report or "error" in report:
                    return
        except (OSError, EOFError, ValueError):
            self._end()


def _environment() -> dict[str, str]:
    """The parent's, with the folder of this very package first on the path."""
    folder = str(Path(__file__).resolve().parents[2])
    paths = [folder, os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "PYTHONUTF8": "1"}


def _tell(process: subprocess.Popen[str], **words: object) -> None:
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


def _seen(report: dict[str, Any]) -> Seen:
    def polygon(points: list[list[int]]) -> tuple[tuple[int, int], ...]:
        return tuple((int(x), int(y)) for x, y in points)

    return Seen(
        tuple(
            Found(str(text), str(symbology), polygon(points)) for text, symbology, points in report["found"]
        ),
        tuple(polygon(points) for points in report["suspects"]),
    )


# ---- the child's side


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows has none
        return
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _say(**words: object) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def _search(path: Path, wechat: Wechat, *, glanced: bool) -> None:
    """Every page at first glance, then every page at length."""
    if not glanced:
        for page in picture.pages(path):
            if not _reported(page.number, cascade.glance(page)):
                return
    for page in picture.pages(path, colour=True):
        for step in cascade.steps(page, wechat):
            if not _reported(page.number, step()):
                return


def _reported(page: int, seen: Seen) -> bool:
    """Tells what was seen and asks whether to go on."""
    found = [(one.text, one.symbology, one.polygon) for one in seen.found]
    _say(page=page, found=found, suspects=seen.suspects)
    answer = json.loads(sys.stdin.readline() or '{"go": false}')
    return bool(answer.get("go"))


def main() -> None:
    """Serves files until standard input ends."""
    _limit_memory()
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
            _search(Path(order["path"]), wechat, glanced=order["glanced"])
        except (NoSuchFile, UnreadableFile) as err:
            values = {name: value for name, value in err.values.items() if name != "path"}
            _say(error=type(err).__name__, values=values)
        except MemoryError:
            _say(error=UnreadableFile.__name__, values={})
        else:
            _say(end=True)


if __name__ == "__main__":
    main()
