"""The values that travel through the program, all frozen: sources, instances, series, problems, results."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, assert_never

from scraper.core.carried_token import CarriedToken
from scraper.core.evidence import Evidence


class Origin(StrEnum):
    """Where an instance's bytes come from."""

    ORIGINAL = "original"  # as the site served them, untouched
    REBUILT = "rebuilt"  # tags and pixels that the site serves apart, put together here


class Via(StrEnum):
    """How the site was reached."""

    DIRECT = "direct"
    BROWSER = "browser"


class Status(StrEnum):
    """How a source, or a series, ended."""

    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Deployment:
    """One hospital's host: a row, not a file. ``host`` may carry a port; without one, any port is meant."""

    host: str
    hospital: str
    area: str = ""


Signer = Callable[[], Mapping[str, str]]
"""Gives the headers that must be made at the moment a request leaves (a time stamp, a signature)."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request whose answer is (a part of) an instance."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    sign: Signer | None = None


@dataclass(frozen=True, slots=True)
class WadoUri:
    """One GET that answers with one Part 10 file (PS3.18 chapter 9, or any site's own path of that kind)."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    sign: Signer | None = None
    fallback: str = ""  # a second address of the same object, tried where the first gives 404
    token: CarriedToken | None = None


@dataclass(frozen=True, slots=True)
class WadoRs:
    """A DICOMweb instance (PS3.18 10.4): ``url`` ends in ``/studies/…/series/…/instances/…``."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Any] | None = None  # DICOM JSON, where instances are refused and frames must do
    listed: Mapping[str, Any] | None = None  # what a list says of it, in DICOM JSON


@dataclass(frozen=True, slots=True)
class ZipMember:
    """One GET that answers with a zip holding one Part 10 file under any name."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Captured:
    """A Part 10 object that the browser saw already; ``path`` is its spooled copy."""

    path: Path


TagValue = str | int | float | list[Any] | Mapping[str, Any] | None
Tags = Mapping[str, TagValue]
"""What a site says of one instance, by keyword (``PatientName``) or ``GGGGEEEE``. A value is text (several values joined
by a backslash), a number, a list, or a DICOM JSON object ``{"vr": …, "Value": […]}`` (PS3.18 annex F)."""


@dataclass(frozen=True, slots=True)
class TagsAndPixels:
    """Tags and pixels that the site serves apart; ``frames`` in order, one request each.

    ``tags`` is what is known already, or the request whose body ``read_tags`` turns into tags.
    ``read_tags`` raises NotAnImage where the site has no pixels for the object. ``otherwise`` are requests for the same
    frames in another form, tried where the first are not served. ``pause_s`` is the pause before a damaged instance
    is requested again, doubled each time, if the site's protocol names one: a constant picture of such a site stays damage.
    """

    tags: Tags | Request
    frames: tuple[Request, ...]
    read_tags: Callable[[bytes], Tags] | None = None
    otherwise: tuple[Request, ...] = ()
    pause_s: float | None = None


@dataclass(frozen=True, slots=True)
class PixelParts:
    """Tags with their pixels, ready to be rebuilt; a frame is raw samples, little endian, or one codestream."""

    tags: Tags
    frames: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class OnDemand:
    """An instance that the provider fetches itself when it is needed (over a WebSocket, by a function of the page).

    ``ask`` returns the bytes of a Part 10 file, a spooled file that is then moved, or tags and pixels.
    """

    ask: Callable[[], Awaitable[bytes | Path | PixelParts]]
    origin: Origin = Origin.ORIGINAL


@dataclass(frozen=True, slots=True)
class ArchiveSeries:
    """One series of an archive: SOP Instance UID → SOP Class UID, in order, and the Transfer Syntaxes that it lists.

    A SOP Class UID that the archive does not return is empty; ``modality`` helps to guess it.
    """

    study_instance_uid: str
    series_instance_uid: str
    classes: Mapping[str, str]
    syntaxes: tuple[str, ...] = ()
    modality: str = ""


Source = WadoUri | WadoRs | ZipMember | Captured | TagsAndPixels | OnDemand


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance and where its bytes come from.

    ``key`` identifies it if the site gives no SOP Instance UID; it must be the same on the next run.
    """

    sop_instance_uid: str
    source: Source
    key: str = ""
    number: int | None = None

    @property
    def name(self) -> str:
        """The UID, else the key."""
        return self.sop_instance_uid or self.key

    @property
    def origin(self) -> Origin:
        """*rebuilt* where tags and pixels are put together here."""
        match self.source:
            case WadoUri() | WadoRs() | ZipMember() | Captured():
                return Origin.ORIGINAL
            case TagsAndPixels():
                return Origin.REBUILT
            case OnDemand(origin=origin):
                return origin
            case _:
                assert_never(self.source)


@dataclass(frozen=True, slots=True)
class Study:
    """The description of one study; empty texts are unknown. ``date`` becomes YYYYMMDD, however a site writes it."""

    uid: str = ""
    date: str = ""
    modality: str = ""
    description: str = ""
    patient_name: str = ""
    key: str = ""  # the site's own name for it, where it gives no UID

    def __post_init__(self) -> None:
        """The date's digits alone: of ``2026-01-12``, ``2026/1/2``, ``2026-01-12 08:30:00``, ``20260112083000``."""
        object.__setattr__(self, "date", day_of(self.date))


def day_of(text: str) -> str:
    """The day that a text begins with, as DICOM writes it (PS3.5 6.2, DA); empty where it names none."""
    parts = re.match(r"\s*(\d{4})\D{1,3}(\d{1,2})\D{1,3}(\d{1,2})(?!\d)", text)
    if parts:
        return f"{parts[1]}{parts[2]:0>2}{parts[3]:0>2}"
    digits = re.sub(r"\D", "", text)[:8]
    return digits if len(digits) == 8 else ""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something a person should know; ``code`` is stable, the sentence is in ``messages.toml`` under ``problem.<code>``.

    ``values`` fill the sentence and hold no name of a patient. ``instances`` are SOP Instance UIDs (or keys, or file names).
    """

    code: str
    instances: tuple[str, ...] = ()
    values: Mapping[str, object] = field(default_factory=dict)
    series_instance_uid: str = ""
    fatal: bool = True  # False: a warning; nothing is missing or broken

    def __post_init__(self) -> None:
        """Instances once each, in order of first mention."""
        object.__setattr__(self, "instances", tuple(dict.fromkeys(self.instances)))


@dataclass(frozen=True, slots=True)
class Series:
    """One series as the site describes it; ``expected`` is None if the site gives no reliable count.

    ``key`` replaces the UID if the site gives none. ``problems``: what is known before any fetch, such as objects that the
    site lists and does not serve.
    ``evidence`` is the basis of ``expected``; None: the provider's own list.
    """

    study_instance_uid: str = ""
    series_instance_uid: str = ""
    instances: tuple[Instance, ...] = ()
    expected: int | None = None
    number: int | None = None
    description: str = ""
    modality: str = ""
    key: str = ""
    study: Study = Study()
    problems: tuple[Problem, ...] = ()
    evidence: Evidence | None = None

    @property
    def name(self) -> str:
        """The UID, else the key."""
        return self.series_instance_uid or self.key

    def __post_init__(self) -> None:
        """The Study Instance UID is the study's, where none is given."""
        object.__setattr__(self, "study_instance_uid", self.study_instance_uid or self.study.uid)

    def without(self, names: Iterable[str], what: str = "") -> Series:
        """The series with a ``left-out`` problem: the site lists these objects and serves no images of them."""
        absent = tuple(names)
        problem = Problem("left-out", absent, {"what": what} if what else {}, fatal=False)
        return replace(self, problems=(*self.problems, problem)) if absent else self

    def with_problem(self, problem: Problem) -> Series:
        """The series with one more problem."""
        return replace(self, problems=(*self.problems, problem))


@dataclass(frozen=True, slots=True)
class Package:
    """A whole study (or several series) in one zip, whose content is known only once it is fetched.

    ``zip`` is the request for it, or a function that has it made (a job, a button of the page) and returns that request or
    the spooled file; a SiteBusy of that function is final. A path is the user's own folder or archive, and is not moved.
    ``refused`` reads a response without success (its status, and the beginning of its body) and returns the error that it
    means at this site, or None.
    ``expected``: images that the site counts; None if it gives no count. ``problems``: as for a Series.
    """

    zip: Request | Path | Callable[[], Awaitable[Request | Path]]
    study: Study = Study()
    expected: int | None = None
    key: str = ""
    refused: Callable[[int, bytes], Exception | None] | None = None
    problems: tuple[Problem, ...] = ()


Discovered = Series | Package
"""What ``discover`` yields."""


@dataclass(frozen=True, slots=True)
class Header:
    """The header of one saved file, as far as storing and ordering need it. Lengths in mm."""

    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    study_instance_uid: str
    transfer_syntax_uid: str
    modality: str = ""
    patient_id: str = ""
    patient_name: str = ""
    study_date: str = ""
    study_description: str = ""
    series_number: int | None = None
    series_description: str = ""
    instance_number: int | None = None
    rows: int | None = None
    columns: int | None = None
    frames: int | None = None
    position: tuple[float, float, float] | None = None  # Image Position (Patient)
    orientation: tuple[float, float, float, float, float, float] | None = None  # row cosines, column cosines
    order: tuple[float, ...] = ()  # acquisition, echo, temporal position …, after position and before instance number


@dataclass(frozen=True, slots=True)
class Saved:
    """One complete file on the disk, now at ``path``."""

    path: Path
    header: Header
    sha256: str
    size: int
    origin: Origin
    key: str = ""
    reused: bool = False
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class SeriesResult:
    """One series of the report. ``expected`` None: the site gave no count.

    ``images``: saved instances that have pixels; ``frames``: of all of these together.
    """

    uid: str
    number: int | None
    description: str
    modality: str
    expected: int | None
    saved: int
    origin: Origin
    problems: tuple[Problem, ...] = ()
    evidence: Evidence | None = None
    images: int = 0
    frames: int = 0

    @property
    def status(self) -> str:
        """``ok``, or ``incomplete`` where something is missing or broken."""
        short = self.expected is not None and self.saved < self.expected
        return "incomplete" if short or any(problem.fatal for problem in self.problems) else "ok"


@dataclass(frozen=True, slots=True)
class Counts:
    """Instances of a source: announced, on the disk, of these reused from an earlier run, and failed."""

    expected: int | None = None
    saved: int = 0
    reused: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class StudyResult:
    """One study of the report, and its folder."""

    study: Study
    output: Path | None
    series: tuple[SeriesResult, ...] = ()
    problems: tuple[Problem, ...] = ()
    counts: Counts = Counts()
    size: int = 0
    error: Exception | None = None  # why nothing of it arrived


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one source, of which ``--json`` and the report are made. ``link`` is redacted."""

    source: str
    status: Status
    exit_code: int
    provider: str = ""
    via: Via | None = None
    link: str = ""
    studies: tuple[StudyResult, ...] = ()
    counts: Counts = Counts()
    size: int = 0
    seconds: float = 0.0
    problems: tuple[Problem, ...] = ()
    error: BaseException | None = None
    diagnostic: Path | None = None
    of_folder: bool = False  # files on the disk were checked; no site was asked
