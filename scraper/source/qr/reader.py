"""Pixels → codes: every code on a photo, a scan, a screenshot or a PDF, within a time budget.

Files are read in a child process, which a budget can end in the middle of a step. The meaning of payloads is not known here:
``certain`` tells which one ends the search.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Self

from scraper.core.errors import UnreadableFile
from scraper.source.picture_kind import ANIMATIONS, kind_of
from scraper.source.qr.engines import Engine, EngineResult, FoundCode, Polygon
from scraper.source.qr.engines import engines as _engines
from scraper.source.qr.models import WrongSum, default_folder, fetch_models
from scraper.source.qr.worker import PROGRAM, Worker

if TYPE_CHECKING:
    from scraper.source.qr.suspects import KnownPlaces

__all__ = [
    "Code",
    "Engine",
    "Reader",
    "Reading",
    "Suspect",
    "WrongSum",
    "default_folder",
    "engines",
    "fetch_models",
    "read",
]

USUAL_BUDGET_S = 20.0
EFFORT_S = 2.7  # seconds of CPU for a page where nothing looks like a code, of the usual budget
EFFORT_FOR_SUSPECTS_S = 6.0  # more, while a place looks like a code
_PATIENCE = 0.35  # of a polygon's width: two reports nearer than this are of the same place


@dataclass(frozen=True, slots=True)
class Code:
    """One code: its payload and its position.

    ``polygon`` is its corners in pixels of the upright page (of a PDF: at 250 dpi); ``page`` counts from 1.
    """

    text: str
    symbology: str
    polygon: Polygon
    page: int = 1


@dataclass(frozen=True, slots=True)
class Suspect:
    """A place that looks like a code and could not be read."""

    polygon: Polygon
    page: int = 1


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything found in one file, distinct, in the order found.

    ``pages`` is how many were searched; ``out_of_time`` says that the budget ended the search. ``unread`` are the pages
    that were not searched: broken ones, and those that time was too short for.
    """

    codes: tuple[Code, ...]
    pages: int
    seconds: float
    out_of_time: bool = False
    suspects: tuple[Suspect, ...] = ()
    unread: tuple[int, ...] = ()


@dataclass(slots=True)
class _Search:
    """The state of one search, and whether it is enough."""

    certain: Callable[[str], bool]
    enough: Callable[[Sequence[str]], bool] | None = None
    codes: dict[tuple[str, str, int], Code] = field(default_factory=dict)
    suspects: list[Suspect] = field(default_factory=list)
    pages: int = 0
    done: bool = False
    is_glanced: bool = False  # an animation's frames are not searched one by one after that
    announced: int = 1  # pages that the file says it has
    looked_at: set[int] = field(default_factory=set)

    @property
    def unread(self) -> tuple[int, ...]:
        """The pages that were not searched."""
        return tuple(page for page in range(1, self.announced + 1) if page not in self.looked_at)

    def take(self, page: int, seen: EngineResult) -> None:
        self.pages = max(self.pages, page)
        self.looked_at.add(page)
        for item in seen.found:
            key = (item.text, item.symbology, page)
            if key not in self.codes and not self._is_known(page, item):
                self.codes[key] = Code(item.text, item.symbology, item.polygon, page)
                self.done = self.done or self.certain(item.text)
        self.suspects += [Suspect(polygon, page) for polygon in seen.suspects]

    def _is_known(self, page: int, found: FoundCode) -> bool:
        """Whether another engine read the same code and mistook its bytes for another encoding."""
        return not found.text.isascii() and any(
            page == code.page
            and found.symbology == code.symbology
            and _plain(found.text) == _plain(code.text)
            and (_same_place(found.polygon, code.polygon) or _same_place(code.polygon, found.polygon))
            for code in self.codes.values()
        )

    @property
    def open_suspects(self) -> tuple[Suspect, ...]:
        """Suspects where no code was read after all, one for each place."""
        open_ones: list[Suspect] = []
        for suspect in self.suspects:
            others = [code.polygon for code in self.codes.values() if code.page == suspect.page]
            others += [other.polygon for other in open_ones if other.page == suspect.page]
            if not any(_same_place(suspect.polygon, other) for other in others):
                open_ones.append(suspect)
        return tuple(open_ones)

    def known(self) -> dict[int, KnownPlaces]:
        """What a longer search may start from, by page."""
        from scraper.source.qr.suspects import KnownPlaces

        def on(page: int) -> KnownPlaces:
            squares = [code for code in self.codes.values() if code.page == page and "QR" in code.symbology]
            return KnownPlaces(
                tuple(code.polygon for code in squares),
                tuple(suspect.polygon for suspect in self.open_suspects if suspect.page == page),
            )

        return {page: on(page) for page in range(1, self.pages + 1)}

    @property
    def is_settled(self) -> bool:
        """Whether the search is settled: certain; or plain-text square codes were read, and no suspect is left.

        An address that is not the wanted one (an account to follow, an advertisement), and a barcode with a number, do
        not settle it: such codes are printed next to the wanted one.
        """
        if self.is_enough:
            return True
        squares = [code.text for code in self.codes.values() if "QR" in code.symbology]
        return bool(squares) and not any("://" in text for text in squares) and not self.open_suspects

    @property
    def effort_s(self) -> float:
        """CPU seconds that the longer search may take, of the usual budget."""
        has_code = any("QR" in code.symbology for code in self.codes.values())
        pages = 1 if has_code or self.is_glanced else max(1, self.pages)
        return EFFORT_S * pages + (EFFORT_FOR_SUSPECTS_S if self.open_suspects else 0.0)

    @property
    def is_found(self) -> bool:
        """Whether it is found: certain; or a payload suffices, and no suspect is left."""
        if self.done or self.enough is None or self.open_suspects:
            return self.done
        return self.enough([code.text for code in self.codes.values()])

    @property
    def is_enough(self) -> bool:
        """Whether a film's link was read and every page searched: each may show its own film."""
        return self.is_found and len(self.looked_at) >= self.announced


def _plain(text: str) -> str:
    return "".join(char for char in text if char.isascii() and not char.isspace())


def _same_place(one: Polygon, other: Polygon) -> bool:
    if not one or not other:
        return False
    centre = _centre(one)
    left, right = min(x for x, _ in other), max(x for x, _ in other)
    top, bottom = min(y for _, y in other), max(y for _, y in other)
    margin = _PATIENCE * max(right - left, bottom - top)
    return left - margin <= centre[0] <= right + margin and top - margin <= centre[1] <= bottom + margin


def _centre(polygon: Polygon) -> tuple[float, float]:
    return sum(x for x, _ in polygon) / len(polygon), sum(y for _, y in polygon) / len(polygon)


class Reader:
    """Read many files with one helper process; ``read`` is the same for one file.

    Args:
        models: folder of the WeChat detector's files; the user's own by default.
        password: opens PDFs that have one.
        program: the command of the longer search, by default this package's own.
    """

    def __init__(self, models: Path | None = None, *, password: str = "", program: tuple[str, ...] = ()) -> None:
        self._models = models
        self._program = program
        self._password = password
        self._worker: Worker | None = None

    def __enter__(self) -> Self:
        """Start the helper process, which gets ready while whoever reads does."""
        self._child.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._worker is not None:
            self._worker.__exit__(kind, error, trace)

    @property
    def cpu_s(self) -> float:
        """CPU seconds of the last longer search."""
        return self._worker.cpu_s if self._worker is not None else 0.0

    def read(
        self,
        path: Path,
        *,
        budget_s: float = USUAL_BUDGET_S,
        certain: Callable[[str], bool],
        enough: Callable[[Sequence[str]], bool] | None = None,
    ) -> Reading:
        """Read every code in the file, until ``certain`` is satisfied or nothing is left to try.

        Args:
            path: an image or a PDF, whatever its name.
            budget_s: the search ends after this, in the middle of a step if need be.
            certain: says of a payload "this is the one: stop".
            enough: says of all payloads "stop, if no place is left that looks like a code".

        Raises:
            NoSuchFile: there is no such file.
            UnreadableFile: its data make no picture (TooManyPixels: too large a one).
        """
        start = monotonic()
        search = _Search(certain, enough)
        glanced = kind_of(path).is_simple
        search.is_glanced = glanced
        late = glanced and self._glance(path, search, budget_s)
        if not late and not search.is_settled:
            late = self._at_length(
                path, search, glanced=glanced, remaining_s=budget_s - (monotonic() - start), budget_s=budget_s
            )
        return Reading(
            tuple(search.codes.values()), search.pages, monotonic() - start, late, search.open_suspects, search.unread
        )

    def frames_left_out(self, path: Path) -> int:
        """Number of frames of an animation that are not searched; 0 for everything else.

        Raises:
            NoSuchFile, UnreadableFile: as ``read``.
        """
        is_animation = kind_of(path) in ANIMATIONS
        return self._child.frames_left_out(path) if is_animation else 0

    def annotate(self, path: Path, reading: Reading, out: Path) -> None:
        """Save the first page that shows something, with every read code in green and every suspect in orange.

        Raises:
            NoSuchFile, UnreadableFile: ``path`` can't be read, or ``out`` names no kind of picture.
            OSError: ``out`` can't be written.
        """
        marks = [(code.page, code.polygon, code.text) for code in reading.codes]
        marks += [(suspect.page, suspect.polygon, "") for suspect in reading.suspects]
        number = min((page for page, _, _ in marks), default=1)
        self._save(path, number, [(polygon if page == number else (), text) for page, polygon, text in marks], out)

    def save_page(self, path: Path, number: int, out: Path) -> tuple[int, int]:
        """Save a page as it is, smaller where it is large.

        Returns:
            Columns and rows of the page, in pixels of its codes' polygons.

        Raises:
            NoSuchFile, UnreadableFile: ``path`` can't be read, or has no such page. OSError: ``out`` can't be written.
        """
        return self._save(path, number, (), out)

    def _save(self, path: Path, number: int, places: Sequence[tuple[Polygon, str]], out: Path) -> tuple[int, int]:
        drawing = self._child.drawing(path, number, places, out.suffix.lower())
        if drawing is None:
            raise UnreadableFile(path=out)
        out.write_bytes(drawing.data)
        return drawing.columns, drawing.rows

    @property
    def _child(self) -> Worker:
        self._worker = self._worker or Worker(
            self._models or default_folder(), program=self._program or PROGRAM, password=self._password
        )
        return self._worker

    def _glance(self, path: Path, search: _Search, budget_s: float) -> bool:
        """Look at every page once; True where time ended it."""
        looks = self._child.glance(path, remaining_s=budget_s)
        try:
            for page, seen in looks:
                search.take(page, seen)
                if search.is_enough:
                    break
        except TimeoutError:
            return True
        except ChildProcessError as err:
            raise UnreadableFile(path=path) from err
        finally:
            looks.close()
        return False

    def _at_length(self, path: Path, search: _Search, *, glanced: bool, remaining_s: float, budget_s: float) -> bool:
        """Let the worker search; True where time ended it."""
        worker = self._child
        known = search.known() if glanced else {}
        looks = worker.search(path, glanced=glanced, remaining_s=remaining_s, known=known)
        first_looks_s = 0.0
        share = budget_s / USUAL_BUDGET_S
        try:
            for page, seen in looks:
                search.announced = max(search.announced, worker.pages)
                is_repeated = page in search.looked_at  # the first look at every page is over
                if page > search.pages:  # every page has its first look before any has its second
                    first_looks_s = worker.cpu_s
                search.take(page, seen)
                if search.is_enough or (search.is_found and is_repeated):
                    break
                if worker.cpu_s - first_looks_s > share * search.effort_s:
                    return True
        except TimeoutError:
            return True
        except ChildProcessError as err:
            if not search.pages:
                raise UnreadableFile(path=path) from err
        finally:
            looks.close()
        return False


def read(
    path: Path,
    *,
    budget_s: float = USUAL_BUDGET_S,
    certain: Callable[[str], bool],
    enough: Callable[[Sequence[str]], bool] | None = None,
    models: Path | None = None,
    password: str = "",
) -> Reading:
    """Every code in one file; see ``Reader.read``."""
    with Reader(models, password=password) as reader:
        return reader.read(path, budget_s=budget_s, certain=certain, enough=enough)


def engines(models: Path | None = None) -> list[Engine]:
    """The available decoders, and what the others lack."""
    return _engines(models or default_folder())
