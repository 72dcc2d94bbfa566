"""A zip, taken apart into its DICOM objects: names are never paths, sizes are bounded, nested zips are opened."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from zlib import error as ZlibError  # an exception's name

from scraper.errors import CorruptInstance, NotAnImage
from scraper.protocols.sniff import HEAD, Kind, sniff
from scraper.protocols.zip_bounds import check_entries, check_total

MAX_MEMBERS = 200_000
MAX_TOTAL = 64 * 2**30  # bytes unpacked from one archive, nested ones included
MAX_MEMBER = 8 * 2**30
MAX_RATIO = 400  # unpacked over packed: pixels of a blank film reach some 200, bombs thousands
MAX_DEPTH = 3
PREAMBLE = 128
UTF8_FLAG = 0x800
PICTURES = frozenset((Kind.JPEG, Kind.JP2, Kind.J2K, Kind.PNG))
NO_OBJECTS = PICTURES | {Kind.PDF}  # what some sites give in place of an object: a preview, a report on paper


@dataclass(frozen=True, slots=True)
class Member:
    """One entry: its name as text, and where its bytes were put; ``path`` None: no DICOM object, or a broken one, left out."""

    name: str
    path: Path | None
    is_picture: bool = False
    is_broken: bool = False


def entry_name(info: zipfile.ZipInfo) -> str:
    """An entry's name as text: UTF-8 where the flag says so, else GB18030 where it is that, else as zipfile read it."""
    if info.flag_bits & UTF8_FLAG:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("gb18030")
    except UnicodeError:
        return info.filename


def unpack(archive: Path, folder: Path, *, salvage: bool = False) -> Iterator[Member]:
    """Put every DICOM object of ``archive`` into ``folder`` under a number; entries of other kinds are named only.

    The content decides, not the name: Part 10 files with ``DICM`` at offset 128; a DICOMDIR is left out.
    Source: PS3.10 section 7.1; protocol page zip_package.

    Args:
        archive: the zip.
        folder: for its objects.
        salvage: an entry that can't be unpacked (its check sum does not fit) is named as broken, and the rest goes on.

    Raises:
        CorruptInstance: no zip, a broken one, one with a password, or one that unpacks to an absurd size.
    """
    folder.mkdir(parents=True, exist_ok=True)
    yield from _Unpacking(folder, salvage=salvage).run(archive, depth=1)


def is_whole(archive: Path) -> bool:
    """Whether a file ends as a zip does; one that was cut short without a word does not.

    Source: APPNOTE 4.3.16, the end of central directory record.
    """
    return zipfile.is_zipfile(archive)


def unpack_all(archive: Path, folder: Path) -> list[Member]:
    """``unpack``, all at once."""
    return list(unpack(archive, folder))


class _Unpacking:
    """One archive being taken apart: counts what came out over all its nested archives."""

    def __init__(self, folder: Path, *, salvage: bool) -> None:
        self._folder = folder
        self._salvage = salvage
        self._total = 0
        self._number = 0
        self._packed_size = 0  # of the outermost archive

    def run(self, archive: Path, depth: int) -> Iterator[Member]:
        try:
            with zipfile.ZipFile(archive) as opened:
                entries = [info for info in opened.infolist() if not info.is_dir()]
                if len(entries) > MAX_MEMBERS:
                    raise CorruptInstance(what="a zip with far too many entries")
                size = archive.stat().st_size
                self._packed_size = self._packed_size or size
                check_entries(entries, size)
                for info in entries:
                    yield from self._sound(opened, info, depth)
        except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, ZlibError, NotImplementedError) as err:
            raise CorruptInstance(what="a broken zip") from err
        except RuntimeError as err:  # zipfile's way to say that a password is needed
            raise CorruptInstance(what="a zip with a password") from err

    def _sound(self, opened: zipfile.ZipFile, info: zipfile.ZipInfo, depth: int) -> Iterator[Member]:
        """What an entry holds; where it is broken and the rest is wanted, that it is."""
        try:
            yield from self._member(opened, info, depth)
        except (zipfile.BadZipFile, EOFError, ZlibError):
            if not self._salvage:
                raise
            yield Member(entry_name(info), None, is_broken=True)
        except CorruptInstance:
            if not self._salvage or depth > 1 or self._total > MAX_TOTAL:
                raise
            yield Member(entry_name(info), None, is_broken=True)

    def _member(self, opened: zipfile.ZipFile, info: zipfile.ZipInfo, depth: int) -> Iterator[Member]:
        name = entry_name(info)
        self._total += info.file_size
        check_total(self._total, self._packed_size)
        absurd = info.file_size > 2**29 and info.file_size > MAX_RATIO * max(info.compress_size, 1)
        if self._total > MAX_TOTAL or info.file_size > MAX_MEMBER or absurd:
            raise CorruptInstance(what="a zip that unpacks to an absurd size")
        with opened.open(info) as stream:
            head = stream.read(PREAMBLE + 4)
            is_zip = head.startswith(b"PK\x03\x04")
            if not (head[PREAMBLE:] == b"DICM" or is_zip) or PurePosixPath(name).name.upper() == "DICOMDIR":
                yield Member(name, None, sniff(head) in PICTURES)
                return
            self._number += 1
            target = self._folder / f"{self._number:06d}"
            with target.open("wb") as out:
                out.write(head)
                shutil.copyfileobj(stream, out, 2**20)
        if not is_zip:
            yield Member(name, target)
            return
        if depth >= MAX_DEPTH:
            raise CorruptInstance(what="a zip inside too many zips")
        yield from self.run(target, depth + 1)
        target.unlink()


def only_object(archive: Path, into: Path) -> None:
    """The first DICOM object of an archive that holds one instance, moved to ``into``.

    Source: protocol page ljjk: of several entries the first that is one.

    Raises:
        CorruptInstance: no DICOM object in it. NotAnImage: nothing but a picture (a preview) or a document.
    """
    folder = into.with_name(into.name + ".unzip")
    try:
        objects = [member.path for member in unpack(archive, folder) if member.path is not None]
        if not objects and _holds_no_object(archive):
            raise NotAnImage
        if not objects:
            raise CorruptInstance(what="a zip without a DICOM object")
        objects[0].replace(into)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _holds_no_object(archive: Path) -> bool:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            with opened.open(info) as stream:
                if sniff(stream.read(HEAD)) in NO_OBJECTS:
                    return True
    return False
