"""Check one instance by itself: is it complete, is it what it claims, do its pixels decode?

CPU only; foreign bytes go through C libraries here, so ``workers`` runs it in a process that may crash.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from pydicom.dataset import Dataset

from scraper.core.errors import CloudfilmError, CorruptInstance, NotCheckedInTime
from scraper.core.model import Header, Origin, Problem
from scraper.core.reasons import Reason
from scraper.dicom import charset, structure
from scraper.dicom.elements import (
    dataset,
    declared_charset,
    describe_fault,
    first,
    frame_planes,
    integer,
    numbers,
    plain,
    quiet,
    raw_texts,
)
from scraper.dicom.frames import functional
from scraper.dicom.headers import MEDIA_DIRECTORY, header_of
from scraper.verify import frames, objects, own_counts

Vector = tuple[float, ...]
_UID: Final = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+")
_IDENTITY: Final = (
    ("SOP Class UID", "sop_class_uid"),
    ("SOP Instance UID", "sop_instance_uid"),
    ("Study Instance UID", "study_instance_uid"),
    ("Series Instance UID", "series_instance_uid"),
)
_CHUNK: Final = 1 << 20
TIMED_OUT: Final = "check-timed-out"
CRASHED: Final = "check-crashed"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the checks across instances need besides the header. Lengths in mm."""

    image_type: tuple[str, ...] = ()
    spacing: Vector | None = None  # Pixel Spacing: between rows, between columns
    frame_of_reference_uid: str = ""
    planes: tuple[tuple[Vector | None, Vector | None], ...] = ()  # (position, orientation) of each frame, enhanced only
    has_pixels: bool = False
    is_lossy: bool = False
    constant_frames: tuple[int, ...] = ()  # from 0
    is_constant: bool = False  # every frame is
    references: tuple[str, ...] = ()  # SOP Instance UIDs that it refers to within its own study
    part: own_counts.Part | None = None  # of a concatenation
    images_of_series: int | None = None  # as it says itself
    pixels: str = ""  # checksum of the pixels, of an image of one frame that is one of several slices


@dataclass(frozen=True, slots=True)
class Checked:
    """One checked file. ``header`` is None where it is unreadable."""

    path: Path
    header: Header | None
    sha256: str
    size: int
    origin: Origin
    problems: tuple[Problem, ...] = ()
    facts: Facts = Facts()

    @property
    def name(self) -> str:
        """SOP Instance UID, else the file's name."""
        return (self.header.sop_instance_uid if self.header else "") or self.path.name


def _digest(data: structure.Buffer) -> str:
    digest = hashlib.sha256()
    for at in range(0, len(data), _CHUNK):
        digest.update(data[at : at + _CHUNK])
    return digest.hexdigest()


def _identity(header: Header, layout: structure.Layout) -> list[Problem]:
    """Check that UIDs exist, are well formed, and agree between file meta and data set (PS3.10 7.1, PS3.5 9.1, PS3.3 C.12.1)."""
    found = []
    missing = [words for words, name in _IDENTITY if not getattr(header, name)]
    if missing:
        found.append(Problem("missing-identity", values={"what": ", ".join(missing)}))
    if not layout.meta:
        found.append(Problem("no-file-meta", fatal=False))
    elif not layout.transfer_syntax_uid:
        found.append(Problem("missing-transfer-syntax"))
    malformed = [
        words
        for words, name in _IDENTITY
        if (uid := getattr(header, name)) and (len(uid) > 64 or not _UID.fullmatch(uid))
    ]
    if malformed:
        found.append(Problem("malformed-uid", values={"what": ", ".join(malformed)}, fatal=False))
    pairs = (
        (layout.meta_text(0x0003), header.sop_instance_uid, "SOP Instance UID"),
        (layout.meta_text(0x0002), header.sop_class_uid, "SOP Class UID"),
    )
    differing = [words for in_meta, in_set, words in pairs if in_meta and in_set and in_meta != in_set]
    if differing:
        found.append(Problem("meta-disagrees", values={"what": ", ".join(differing)}, fatal=False))
    return found


def _geometry(header: Header, ds: Dataset, facts: Facts) -> list[Problem]:
    """Check that Image Plane (PS3.3 C.7.6.2) exists where the SOP Class demands it, and is plausible."""
    found = []
    if header.sop_class_uid in objects.CROSS_SECTIONAL:
        absent = [
            words
            for words, value in (
                ("Image Position (Patient)", header.position),
                ("Image Orientation (Patient)", header.orientation),
                ("Pixel Spacing", facts.spacing),
            )
            if value is None
        ]
        if absent:
            found.append(Problem("missing-geometry", values={"what": ", ".join(absent)}, fatal=False))
    if header.sop_class_uid in objects.ENHANCED and facts.has_pixels:
        lacks = {
            "Image Position (Patient)": not facts.planes or any(position is None for position, _ in facts.planes),
            "Image Orientation (Patient)": not facts.planes or any(plane is None for _, plane in facts.planes),
            "Pixel Spacing": facts.spacing is None,
        }
        if any(lacks.values()):
            what = ", ".join(words for words, is_absent in lacks.items() if is_absent)
            found.append(Problem("missing-geometry", values={"what": what}, fatal=False))
    if header.orientation is not None and not _is_frame(header.orientation):
        found.append(Problem("orientation-senseless", fatal=False))
    if (
        facts.planes
        and header.frames is not None
        and len(facts.planes) != header.frames
        and "PerFrameFunctionalGroupsSequence" in ds
    ):
        found.append(Problem("frames-undescribed", values={"expected": header.frames, "present": len(facts.planes)}))
    found += _frame_counts(header, ds)
    return found


def _frame_counts(header: Header, ds: Dataset) -> list[Problem]:
    """Check the number of frames against what else tells it."""
    frames = header.frames or 1
    found = []
    count = own_counts.tiles(ds)
    if count is not None and frames < count:
        found.append(Problem("frames-missing", values={"expected": count, "present": frames}))
    length = own_counts.vector_lengths(ds, frames) if frames > 1 else None
    if length is not None:
        values = {"expected": frames, "present": length}
        found.append(Problem("frames-undescribed", values=values, fatal=False))
    return found


def _is_frame(orientation: Vector) -> bool:
    """Whether two vectors are of unit length and orthogonal (PS3.3 C.7.6.2.1.1), to 6 digits."""
    row, column = orientation[:3], orientation[3:]
    lengths = sum(item * item for item in row), sum(item * item for item in column)
    return (
        all(abs(length - 1) < 0.02 for length in lengths)
        and abs(sum(a * b for a, b in zip(row, column, strict=True))) < 0.02
    )


def _spacing(ds: Dataset) -> Vector | None:
    """Pixel Spacing; None where it is absent or no length."""
    spacing = numbers(ds, "PixelSpacing", 2) or numbers(ds, "ImagerPixelSpacing", 2)
    if spacing is None and "SharedFunctionalGroupsSequence" in ds:
        spacing = numbers(functional(ds, 0, "PixelMeasuresSequence"), "PixelSpacing", 2)
    return spacing if spacing and min(spacing) > 0 else None


def _pixels(layout: structure.Layout) -> str:
    """A checksum of the pixels, native or encapsulated: CRC, sum and length, which take a third of a digest's time."""
    ranges = layout.fragments[1:] if layout.fragments else []
    if not ranges:
        ranges = [(item.offset, item.length) for tag in structure.PIXEL_TAGS if (item := layout.elements.get(tag))]
    raw = b"".join(layout.data[at : at + length] for at, length in ranges)
    total = int(np.frombuffer(raw, np.uint64, len(raw) // 8).sum())
    return f"{zlib.crc32(raw):08x}{total:016x}{len(raw):x}"


def _facts(ds: Dataset, layout: structure.Layout) -> Facts:
    image_type = ds.get("ImageType", None) or ()
    kinds = (image_type,) if isinstance(image_type, str) else tuple(str(part) for part in image_type)
    planes = frame_planes(ds) if "PerFrameFunctionalGroupsSequence" in ds else []
    is_slice = plain(ds, "SOPClassUID") in objects.CROSS_SECTIONAL and "ImagePositionPatient" in ds
    return Facts(
        image_type=tuple(kinds),
        spacing=_spacing(ds),
        frame_of_reference_uid=plain(ds, "FrameOfReferenceUID"),
        planes=tuple(planes),
        references=objects.references(ds),
        part=own_counts.part_of(ds),
        images_of_series=own_counts.images_of_series(ds),
        pixels=_pixels(layout) if is_slice else "",
        has_pixels=any(tag in layout.elements for tag in structure.PIXEL_TAGS),
    )


def _check(layout: structure.Layout) -> tuple[Header, Facts, list[Problem]]:
    """Check everything in one layout.

    Raises:
        CorruptInstance: unreadable.
    """
    problems = []
    if layout.fault is structure.Fault.TRUNCATED:
        problems.append(Problem("truncated"))
    if layout.is_unterminated and layout.fault is None:
        problems.append(Problem("pixels-unterminated", fatal=False))
    ds = dataset(layout)
    declared = declared_charset(layout)
    guessed = charset.suspect(raw_texts(layout, ds), declared)
    header = header_of(layout, ds, guessed)
    facts = _facts(ds, layout)
    if guessed:
        declared_set = "\\".join(declared) or "ISO_IR 6"
        problems.append(Problem("character-set", values={"declared": declared_set, "real": guessed}, fatal=False))
    problems += _identity(header, layout)
    problems += _geometry(header, ds, facts)
    lacks = objects.lacking(header.sop_class_uid, ds, layout)
    if lacks is not None and layout.fault is None:
        problems.append(Problem("object-incomplete", values={"kind": lacks[0], "what": lacks[1]}))
    pixels = frames.check(layout, ds)
    problems += pixels.problems
    if facts.pixels and facts.image_type[:1] == ("ORIGINAL",) and 1 < (bits := integer(ds, "BitsStored") or 16) <= 8:
        problems.append(
            Problem("few-grey-levels", values={"bits": bits}, fatal=False)
        )  # PS3.3 C.8.2.1.1.4, C.8.3.1.1.5
    if pixels.constant:
        shown = ", ".join(str(number + 1) for number in pixels.constant[:20])
        problems.append(Problem("constant-frame", values={"frames": shown}, fatal=False))
    is_lossy = pixels.is_lossy or str(first(ds, "LossyImageCompression") or "") == "01"
    facts = replace(
        facts,
        is_lossy=is_lossy,
        constant_frames=tuple(pixels.constant),
        is_constant=0 < pixels.checked == len(pixels.constant),
    )
    return header, facts, problems


def check_instance(path: Path, origin: Origin) -> Checked:
    """Check one file by itself; every finding is a problem, nothing is raised for the file's content.

    Args:
        path: a file that should be a Part 10 file.
        origin: of its bytes; it goes into the result.
    """
    with quiet():
        try:
            return _instance(path, origin)
        except OSError as err:
            problem = Problem("unreadable", (path.name,), {"what": err.strerror or Reason.UNREADABLE_FILE})
            return Checked(path, None, "", 0, origin, (problem,))


def _instance(path: Path, origin: Origin) -> Checked:
    with structure.mapped(path) as data:
        size, digest = len(data), _digest(data)
        header: Header | None = None
        facts = Facts()
        layout: structure.Layout | None = None
        try:
            layout = structure.layout_of(data)
            if layout.meta_text(0x0002) == MEDIA_DIRECTORY:
                raise CorruptInstance(what=Reason.DICOMDIR)
            header, facts, problems = _check(layout)
        except CorruptInstance as err:
            problems = [Problem("unreadable", values={"what": err.cause})]
            if layout is not None and layout.fault is not None:
                problems = [Problem("unreadable", values={"what": describe_fault(layout.fault)})]
        finally:
            if layout is not None:
                layout.data = b""  # the map is about to be closed
    name = (header.sop_instance_uid if header else "") or path.name
    series = header.series_instance_uid if header else ""
    problems_of_file = tuple(replace(problem, instances=(name,), series_instance_uid=series) for problem in problems)
    return Checked(path, header, digest, size, origin, problems_of_file, facts)


def unreadable(checked: Checked) -> CloudfilmError:
    """The error for a file without a header: broken, or not read to its end by a process that crashed or ran out of time."""
    codes = {problem.code for problem in checked.problems}
    if TIMED_OUT in codes:
        return NotCheckedInTime()
    return CorruptInstance(what=Reason.CHECK_CRASHED if CRASHED in codes else Reason.NO_DICOM_OBJECT)


def failed(path: Path, origin: Origin, code: str) -> Checked:
    """The result for a file whose checking process crashed or hung."""
    size = path.stat().st_size if path.exists() else 0
    return Checked(path, None, "", size, origin, (Problem(code, (path.name,)),))
