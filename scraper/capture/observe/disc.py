"""A package that is a disc: its DICOMDIR lists what must be in it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from scraper import dicom
from scraper.core.errors import CorruptInstance
from scraper.dicom.directory import ListedFile, directory_rows
from scraper.protocols.zip_archive import Member
from scraper.verify import listing


def absent_files(members: Sequence[Member]) -> list[str]:
    """Files that a package's own DICOMDIR lists and that are not in it."""
    directories = {
        member.name: [ListedFile(*row) for row in directory_rows(str(member.directory)) or ()]
        for member in members
        if member.directory is not None
    }
    missing = listing.compare(directories, [member.name for member in members], {}).missing
    if not missing:
        return []
    there = set()
    for member in members:
        if member.path is not None:
            with suppress(CorruptInstance, OSError):
                there.add(dicom.header(member.path).sop_instance_uid)
    return [path for path, record in missing if record.sop_instance_uid not in there]
