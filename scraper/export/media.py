"""A zip of the files, byte for byte."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path

from scraper.core.model import Problem
from scraper.dicom.structure import NATIVE
from scraper.export.gather import Listed


def pack(listed: Iterable[Listed], made: Path) -> tuple[int, list[Problem]]:
    """Zip the series folders; compressed pixels are stored as they are."""
    count = 0
    with zipfile.ZipFile(made, "w") as archive:
        for study in listed:
            count += 1
            method = zipfile.ZIP_DEFLATED if study.header.transfer_syntax_uid in NATIVE else zipfile.ZIP_STORED
            archive.write(study.path, f"{study.series}/{study.index:05}.dcm", compress_type=method)
    return count, []
