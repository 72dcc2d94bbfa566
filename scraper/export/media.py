"""A zip of the files, byte for byte, in folders of patient, study and series; in parts where one would be too large."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from scraper.core.model import Problem
from scraper.dicom.structure import NATIVE
from scraper.export.companions import Companions, Entry, sha256_of
from scraper.export.gather import InstanceFile

_PIECE = 1 << 20  # bytes: a file may have gigabytes
ROOM = 1 << 20  # bytes of a part for its directory and for what stands beside the images


@dataclass(slots=True)
class _Part:
    path: Path
    size: int = 0
    members: list[InstanceFile] = field(default_factory=list)


def pack(
    listed: Sequence[InstanceFile], made: Path, companions: Companions, most_bytes: int = 0
) -> tuple[list[Path], list[Problem]]:
    """Zip the files; compressed pixels are stored as they are.

    Args:
        listed: the instances.
        made: the zip; with several parts, ``<made>.1``, ``<made>.2`` …
        companions: what stands beside the images in each part.
        most_bytes: of a part; 0: all in one.

    Returns:
        the files made, and what to mind.
    """
    parts = _parts(listed, made, most_bytes)
    too_large = tuple(part.members[0].name for part in parts if most_bytes and part.size > most_bytes)
    for number, part in enumerate(parts, start=1):
        entries = []
        with zipfile.ZipFile(part.path, "w") as archive:
            for item in part.members:
                method = _method(item)
                archive.write(item.path, item.place, compress_type=method)
                entries.append(Entry(item.place, item.path.stat().st_size, sha256_of(item.path)))
            for companion in companions.made(entries, part=(number, len(parts))):
                archive.writestr(companion.name, companion.data, compress_type=zipfile.ZIP_DEFLATED)
    problems = [Problem("part-too-large", too_large, fatal=False)] if too_large else []
    return [part.path for part in parts], problems


def _method(item: InstanceFile) -> int:
    return zipfile.ZIP_DEFLATED if item.header.transfer_syntax_uid in NATIVE else zipfile.ZIP_STORED


def _parts(listed: Sequence[InstanceFile], made: Path, most_bytes: int) -> list[_Part]:
    """The instances, parted in their order; an instance larger than a part has one of its own."""
    if not most_bytes:
        return [_Part(made, 0, list(listed))] if listed else []
    parts: list[_Part] = []
    room = max(most_bytes - ROOM, 1)
    for item in listed:
        size = _packed_size(item)
        if not parts or (parts[-1].members and parts[-1].size + size > room):
            parts.append(_Part(made.with_name(f"{made.name}.{len(parts) + 1}")))
        parts[-1].members.append(item)
        parts[-1].size += size
    return parts


def _packed_size(item: InstanceFile) -> int:
    size = item.path.stat().st_size
    if _method(item) == zipfile.ZIP_DEFLATED:
        packing = zlib.compressobj(6)
        with item.path.open("rb") as file:
            size = sum(len(packing.compress(piece)) for piece in iter(partial(file.read, _PIECE), b""))
        size += len(packing.flush())
    return size + 512
