"""A zip, and a CD: files byte for byte, with a DICOMDIR in the second (PS3.10 chapter 8, PS3.3 annex F)."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pydicom
from pydicom.fileset import FileSet

from scraper.assemble.part10 import PYDICOM_ERRORS, quiet
from scraper.assemble.walk import NATIVE
from scraper.export.gather import Listed
from scraper.model import Problem


def pack(listed: Iterable[Listed], made: Path) -> tuple[int, list[Problem]]:
    """A zip of series folders; pixels that are compressed already are stored as they are."""
    count = 0
    with zipfile.ZipFile(made, "w") as archive:
        for one in listed:
            count += 1
            method = zipfile.ZIP_DEFLATED if one.header.transfer_syntax_uid in NATIVE else zipfile.ZIP_STORED
            archive.write(one.path, f"{one.series}/{one.index:05}.dcm", compress_type=method)
    return count, []


def file_set(listed: Iterable[Listed], made: Path) -> tuple[int, list[Problem]]:
    """A CD's layout: a DICOMDIR, and the files under names of eight characters.

    pydicom makes the directory from each file's tags; the files themselves are copied byte for byte.
    """
    directory = FileSet()
    paths: dict[str, Path] = {}
    skipped = []
    with quiet():
        for one in listed:
            try:
                directory.add(pydicom.dcmread(one.path, stop_before_pixels=True))
            except PYDICOM_ERRORS:
                # lacks what a directory record must hold
                skipped.append(one.header.sop_instance_uid or one.path.name)
            else:
                paths[one.header.sop_instance_uid] = one.path
        made.mkdir()
        directory.write(made)
        for instance in directory:
            shutil.copyfile(paths[str(instance.SOPInstanceUID)], instance.path)
        directory._stage["t"].cleanup()  # pydicom 3.0 leaves its temporary folder to the garbage collector
    return len(paths), [Problem("export-skipped", tuple(skipped), fatal=False)] if skipped else []
