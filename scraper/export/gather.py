"""The instances of a folder, series by series, in the contract's order; and what can't be exported, with its reason."""

from __future__ import annotations

import re
import shutil
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scraper import dicom
from scraper.core.errors import CorruptInstance
from scraper.core.model import Header, Problem
from scraper.core.reasons import Cause, Reason
from scraper.core.sniff import HEAD, Kind, sniff
from scraper.export.companions import sha256_of
from scraper.store.naming import safe_name
from scraper.verify import Candidate, Files

_UNSAFE: Final = re.compile(r"[^\w.\-]+")
_MOST_READ: Final = 1000  # characters of a text that becomes a name


@dataclass(frozen=True, slots=True)
class InstanceFile:
    """One instance and its position: ``series`` names its folder, ``index`` counts within it from 1.

    ``name`` is its file's path in the exported folder or zip.
    """

    path: Path
    header: Header
    series: str
    index: int
    name: str = ""
    patient: str = ""
    study: str = ""

    @property
    def place(self) -> str:
        """Its path below the folders of patient, study and series."""
        series = self.series.rpartition("/")[2]
        return "/".join(part for part in (self.patient, self.study, series, f"{self.index:05}.dcm") if part)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file or object that is not in the export, and why. ``is_loss``: it should have been."""

    name: str
    why: Cause
    is_loss: bool = True


def problems_of(left_out: Iterable[LeftOut]) -> list[Problem]:
    """The problems for what is not in the export, one for each reason."""
    grouped: dict[tuple[Cause, bool], list[str]] = defaultdict(list)
    for item in left_out:
        grouped[item.why, item.is_loss].append(item.name)
    return [
        Problem("export-skipped", tuple(names), {"why": why}, fatal=is_loss)
        for (why, is_loss), names in grouped.items()
    ]


def by_series(listed: Iterable[InstanceFile]) -> dict[str, list[InstanceFile]]:
    """Map each series folder to its instances."""
    found: dict[str, list[InstanceFile]] = defaultdict(list)
    for study in listed:
        found[study.series].append(study)
    return found


def _folder(header: Header, taken: set[str]) -> str:
    number = f"{header.series_number:03}" if header.series_number is not None else "000"
    words = _UNSAFE.sub("_", header.series_description)[:40].strip("._")
    name = f"{number}_{words}".strip("_")
    return _unique(name, taken)


def _readable(candidate: Candidate, scratch: Path, number: int) -> tuple[Path, Header]:
    """The file itself, or a copy with preamble and file meta where it has none.

    Raises:
        CorruptInstance, OSError: it can't be read.
    """
    if candidate.damage:
        raise CorruptInstance(what=candidate.damage)
    with candidate.path.open("rb") as file:
        is_part10 = sniff(file.read(HEAD)) is Kind.PART10
    if is_part10:
        return candidate.path, dicom.anonymous_header(candidate.path)
    scratch.mkdir(exist_ok=True)
    copy = scratch / f"{number:06}.dcm"
    shutil.copyfile(candidate.path, copy)
    return copy, dicom.normalise(copy)


def gather(files: Files, scratch: Path) -> tuple[list[InstanceFile], list[LeftOut]]:
    """Instances of all series, and unreadable files; identical copies are counted once.

    Args:
        files: of the folder.
        scratch: folder for copies of files that lack Part 10's head.
    """
    found: dict[tuple[str, str], list[tuple[Path, Header, str]]] = defaultdict(list)
    first: dict[tuple[str, int], Path] = {}  # of each UID and size; digests only where there is a second
    digests: dict[tuple[str, int], set[str]] = {}
    left_out = []
    for number, candidate in enumerate(files.candidates):
        if candidate.left_out:
            continue
        try:
            path, header = _readable(candidate, scratch, number)
        except (CorruptInstance, OSError) as err:
            why = err.cause if isinstance(err, CorruptInstance) else err.strerror
            left_out.append(LeftOut(candidate.name, why or Reason.UNREADABLE_FILE))
            continue
        key = header.sop_instance_uid, path.stat().st_size
        if first.setdefault(key, path) is not path:
            known = digests.setdefault(key, {sha256_of(first[key])})
            digest = sha256_of(path)
            if digest in known:
                continue
            known.add(digest)
        found[header.study_instance_uid, header.series_instance_uid].append((path, header, candidate.name))
    return _in_order(list(found.values())), left_out


def _in_order(series: Sequence[Sequence[tuple[Path, Header, str]]]) -> list[InstanceFile]:
    """The instances in order; series folders are named within their study, study folders within their patient."""
    listed: list[InstanceFile] = []
    patients: dict[str, str] = {}
    studies: dict[str, str] = {}
    taken: dict[str, set[str]] = defaultdict(set)
    is_one_study = len({members[0][1].study_instance_uid for members in series}) == 1
    for members in sorted(series, key=lambda item: (item[0][1].study_date, item[0][1].series_number or 0)):
        header = members[0][1]
        whose = header.patient_id or header.patient_name
        if whose not in patients:
            words = " ".join(part for part in (header.patient_id, header.patient_name.replace("^", " ")) if part)
            patients[whose] = _unique(_safe(words) or "patient", taken[""])
        patient = patients[whose]
        if header.study_instance_uid not in studies:
            words = "_".join(filter(None, (header.study_date, header.modality, header.study_description)))
            studies[header.study_instance_uid] = _unique(_safe(words) or "study", taken[patient])
        study = studies[header.study_instance_uid]
        own = _folder(header, taken[f"{patient}/{study}"])
        folder = own if is_one_study else f"{study}/{own}"
        for index, place in enumerate(dicom.order([item for _, item, _ in members]), start=1):
            path, found, name = members[place]
            listed.append(InstanceFile(path, found, folder, index, name, patient, study))
    return listed


def _safe(words: str) -> str:
    return safe_name(_UNSAFE.sub("_", words[:_MOST_READ])[:60].strip("._"))  # no device of Windows, either


def _unique(name: str, taken: set[str]) -> str:
    unique, copy = name, 2
    while unique.casefold() in taken:
        unique, copy = f"{name}_{copy}", copy + 1
    taken.add(unique.casefold())
    return unique
