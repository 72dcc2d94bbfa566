"""The studies in the output folder, newest first: the folder on the disk is the only record of them."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from scraper.core.bounded_json import json_file
from scraper.core.errors import NotWritable

REPORT: Final = "study.json"
MOST_LISTED: Final = 500


@dataclass(frozen=True, slots=True)
class StoredStudy:
    """One study on the disk. ``number`` stands for its folder on the page, which never names a path."""

    number: str
    folder: Path
    saved_at: float
    facts: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """What the page gets."""
        return {"number": self.number, "folder": self.folder.name, "saved_at": self.saved_at, **self.facts}


class Library:
    """The studies below one folder.

    Args:
        output: where studies go.
    """

    def __init__(self, output: Path) -> None:
        self.output = output
        self._known: dict[Path, tuple[float, StoredStudy]] = {}

    def number_of(self, folder: Path) -> str:
        """What stands for a folder on the page."""
        return hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]

    def listed(self) -> list[StoredStudy]:
        """All studies, newest first."""
        reports = self.output.glob(f"*/{REPORT}") if self.output.is_dir() else ()
        found = [study for report in reports if (study := self._read(report)) is not None]
        return sorted(found, key=lambda study: study.saved_at, reverse=True)[:MOST_LISTED]

    def _read(self, report: Path) -> StoredStudy | None:
        """The study of a report, which is read again only where it has changed."""
        try:
            changed = report.stat().st_mtime
        except OSError:
            return None
        before = self._known.get(report)
        if before is None or before[0] != changed:
            before = (changed, StoredStudy(self.number_of(report.parent), report.parent, changed, _facts(report)))
            self._known[report] = before
        return before[1]

    def find(self, number: str) -> StoredStudy | None:
        """The study of a number; None where there is none, or none any more."""
        known = next((report for report, (_, study) in list(self._known.items()) if study.number == number), None)
        if known is not None:  # a viewer asks for one study's frames many times: its report alone is looked at
            return self._read(known)
        return next((study for study in self.listed() if study.number == number), None)

    def delete(self, study: StoredStudy) -> None:
        """Remove a study's folder; exports of it stay.

        Raises:
            NotWritable: the disk refuses.
        """
        try:
            shutil.rmtree(study.folder)
        except OSError as err:
            raise NotWritable(path=str(study.folder)) from err


def _facts(report: Path) -> dict[str, Any]:
    """What a report says, as far as it is shown; a report that can't be read is a folder without words."""
    empty: dict[str, Any] = {"patient": "", "date": "", "modality": "", "description": "", "images": 0, "status": ""}
    try:
        report_json = json_file(report)
        study = report_json.get("study") or {}
        return {
            "patient": str(study.get("patient_name") or ""),
            "date": str(study.get("date") or ""),
            "modality": str(study.get("modality") or ""),
            "description": str(study.get("description") or ""),
            "images": len(report_json.get("instances_saved") or ()),
            "status": str(report_json.get("status") or ""),
        }
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return empty


def show_folder(folder: Path) -> bool:
    """Open a folder in the system's file manager; whether there is one."""
    words = {"darwin": ["open"], "win32": ["explorer"]}.get(sys.platform, ["xdg-open"])
    program = shutil.which(words[0])
    if program is None:
        return False
    subprocess.Popen(  # noqa: S603  # the system's own program, on a folder of ours
        [program, str(folder.resolve())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    return True
