"""Compare what a DICOMDIR lists with the files that exist.

Sources: PS3.10 8.2 (File IDs), ISO 9660 (names in any case, with a version behind a semicolon); PS3.3 F.5 (records).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from scraper.core.model import Problem
from scraper.dicom.directory import ListedFile, directory_rows
from scraper.verify.instance import Checked
from scraper.verify.workers import Inspector


@dataclass(frozen=True, slots=True)
class DirectoryComparison:
    """The comparison of all DICOMDIRs of a folder or a package.

    Attributes:
        missing: records whose file is absent: the path that they name, and the record.
        strangers: paths of records, and of the files they name, that belong to another patient than the rest.
    """

    missing: tuple[tuple[str, ListedFile], ...] = ()
    strangers: tuple[str, ...] = ()

    def problems(self, is_mine: Callable[[str], bool] = lambda _: True) -> list[Problem]:
        """The problems found.

        Args:
            is_mine: whether to report the records of a Study Instance UID.
        """
        found = []
        by_series: dict[str, list[str]] = defaultdict(list)
        for path, record in self.missing:
            if is_mine(record.study_instance_uid):
                by_series[record.series_instance_uid].append(path)
        for series, paths in by_series.items():
            found.append(Problem("dicomdir-missing", tuple(paths), series_instance_uid=series))
        if self.strangers:
            found.append(Problem("dicomdir-other-patient", self.strangers, fatal=False))
        return found


async def read_all(inspector: Inspector, paths: Mapping[str, Path]) -> tuple[dict[str, list[ListedFile]], list[str]]:
    """The records of each DICOMDIR by its name, and the names of those that can't be read."""
    rows = {name: await inspector.apart(directory_rows, str(path)) for name, path in paths.items()}
    read = {name: [ListedFile(*row) for row in found] for name, found in rows.items() if found is not None}
    return read, [name for name in rows if name not in read]


def compare(
    directories: Mapping[str, Sequence[ListedFile]], names: Collection[str], checked: Mapping[str, Checked]
) -> DirectoryComparison:
    """Compare the records of DICOMDIRs with the existing files.

    Args:
        directories: a DICOMDIR's path → its records.
        names: the path of every existing file.
        checked: path → the checked instance.
    """
    there = {_plain(name): name for name in names}
    by_uid = {item.header.sop_instance_uid: path for path, item in checked.items() if item.header}
    missing: dict[str, ListedFile] = {}
    owners: list[tuple[str, str, str]] = []  # path, Patient ID, Patient's Name
    for directory, records in directories.items():
        folder = PurePosixPath(directory).parent
        for record in records:
            path = (folder / record.file).as_posix()
            lies = there.get(_plain(path)) or by_uid.get(record.sop_instance_uid)
            if lies is None:
                missing[path] = record
            header = checked[lies].header if lies is not None and lies in checked else None
            if header is not None:
                owners.append((lies or path, header.patient_id, header.patient_name))
            else:
                owners.append((path, record.patient_id, record.patient_name))
    return DirectoryComparison(tuple(missing.items()), _strangers(owners, checked))


def counts(directories: Mapping[str, Sequence[ListedFile]]) -> dict[str, int | None]:
    """Series Instance UID → number of instances in the records."""
    found: dict[str, set[str]] = defaultdict(set)
    for records in directories.values():
        for record in records:
            if record.series_instance_uid:
                found[record.series_instance_uid].add(record.sop_instance_uid or record.file)
    return {series: len(uids) for series, uids in found.items()}


def _plain(path: str) -> str:
    """Normalise a path as discs and their copies agree on it: any case, no version, no final dot."""
    parts = path.casefold().split("/")
    parts[-1] = parts[-1].partition(";")[0].rstrip(".")
    return "/".join(part for part in parts if part not in ("", "."))


def _strangers(owners: Sequence[tuple[str, str, str]], checked: Mapping[str, Checked]) -> tuple[str, ...]:
    """Paths of another patient's files: another ID than most, and another name where both names are known."""
    patients = [(item.header.patient_id, item.header.patient_name) for item in checked.values() if item.header]
    known = [patient for patient in patients if any(patient)]
    known = known or [(patient_id, name) for _, patient_id, name in owners]
    if not known:
        return ()
    usual_id, usual_name = Counter(known).most_common(1)[0][0]
    return tuple(
        dict.fromkeys(
            path
            for path, patient_id, name in owners
            if patient_id and usual_id and patient_id != usual_id and (not name or name != usual_name)
        )
    )
