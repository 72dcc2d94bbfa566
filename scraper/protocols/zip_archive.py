"""A zip, taken apart into its DICOM objects: names are never paths, sizes are bounded, nested zips are opened."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from zlib import error as ZlibError  # an exception's name

from scraper.core.errors import CorruptInstance, DiskFull, NotAnImage
from scraper.core.reasons import Cause, Reason
from scraper.dicom.part10 import settle
from scraper.dicom.reading import names_itself
from scraper.protocols.sniff import BARE_DATA_SETS, HEAD, Kind, is_media_directory, sniff
from scraper.protocols.zip_bounds import check_entries, check_total
from scraper.protocols.zip_names import entry_name, is_folder

MAX_MEMBERS = 200_000
MAX_TOTAL = 64 * 2**30  # bytes unpacked from one archive, nested ones included
MAX_MEMBER = 8 * 2**30
MAX_RATIO = 400  # unpacked over packed: pixels of a blank film reach some 200, bombs thousands
MAX_DEPTH = 3
BARE = frozenset((*BARE_DATA_SETS, Kind.META_FIRST))
OBJECTS = BARE | {Kind.PART10}
PICTURES = frozenset((Kind.JPEG, Kind.JP2, Kind.J2K, Kind.PNG))
NO_OBJECTS = PICTURES | {Kind.PDF}  # what some sites give in place of an object: a preview, a report on paper


BROKEN = (zipfile.BadZipFile, EOFError, ZlibError, UnicodeError)  # what zipfile raises over broken archives


@dataclass(frozen=True, slots=True)
class Member:
    """One entry: its name as text, and where its bytes were put; ``path`` None: no DICOM object, or a broken one, left out.

    A data set that came without preamble or file meta has got them. ``directory``: a DICOMDIR, which is a list and no object.
    """

    name: str
    path: Path | None
    is_picture: bool = False
    is_broken: bool = False
    was_bare: bool = False
    directory: Path | None = None


def unpack(archive: Path, folder: Path, *, salvage: bool = False) -> Iterator[Member]:
    """Put every DICOM object of ``archive`` into ``folder`` under a number; entries of other kinds are named only.

    The content decides, not the name: Part 10 files with ``DICM`` at offset 128, and data sets without preamble or file meta.
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


@dataclass(frozen=True, slots=True)
class Unpacked:
    """One file of an archive, whatever it is: its path in the archive (through the archives in it), and where it was put.

    ``damage`` says in words why what was put there is not what was packed.
    """

    name: str
    path: Path
    damage: Cause = ""


def spread(archive: Path, folder: Path) -> Iterator[Unpacked]:
    """Put every file of ``archive``, and of the zips in it, into ``folder`` under a number.

    A file that can't be unpacked is named with its damage; so is an inner zip that is none, or lies too deep.

    Raises:
        CorruptInstance: no zip, a broken one, one with a password, or one that unpacks to an absurd size.
        DiskFull: what it says it holds does not fit on the disk.
    """
    folder.mkdir(parents=True, exist_ok=True)
    yield from _Spreading(folder, salvage=False).files(archive, "", depth=1)


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
        with _opened(archive) as opened:
            for info in self._checked(opened, archive):
                yield from self._sound(opened, info, depth)

    def _checked(self, opened: zipfile.ZipFile, archive: Path) -> list[zipfile.ZipInfo]:
        """The entries of an archive, held against its own size before anything is unpacked."""
        entries = _entries(opened)
        size = archive.stat().st_size
        self._packed_size = self._packed_size or size
        check_entries(entries, size)
        return entries

    def _sound(self, opened: zipfile.ZipFile, info: zipfile.ZipInfo, depth: int) -> Iterator[Member]:
        """What an entry holds; where it is broken and the rest is wanted, that it is."""
        try:
            yield from self._member(opened, info, depth)
        except BROKEN:
            if not self._salvage:
                raise
            yield Member(entry_name(info), None, is_broken=True)
        except CorruptInstance:
            if not self._salvage or depth > 1 or self._total > MAX_TOTAL:
                raise
            yield Member(entry_name(info), None, is_broken=True)

    def _member(self, opened: zipfile.ZipFile, info: zipfile.ZipInfo, depth: int) -> Iterator[Member]:
        name = entry_name(info)
        self._admit(info)
        with opened.open(info) as stream:
            head = stream.read(HEAD)
            kind = sniff(head)
            if kind not in OBJECTS and kind is not Kind.ZIP:
                yield Member(name, None, kind in PICTURES)
                return
            target = self._put(head, stream)
        if kind is not Kind.ZIP:
            yield _object(name, target, kind, is_list=is_media_directory(head, name))
            return
        if depth >= MAX_DEPTH:
            raise CorruptInstance(what=Reason.ZIP_NESTED_TOO_DEEP)
        yield from self.run(target, depth + 1)
        target.unlink()

    def _admit(self, info: zipfile.ZipInfo) -> None:
        """Count an entry in.

        Raises:
            CorruptInstance: it, or all together, would grow beyond any study.
        """
        self._total += info.file_size
        check_total(self._total, self._packed_size)
        absurd = info.file_size > 2**29 and info.file_size > MAX_RATIO * max(info.compress_size, 1)
        if self._total > MAX_TOTAL or info.file_size > MAX_MEMBER or absurd:
            raise CorruptInstance(what=Reason.ZIP_TOO_LARGE)

    def _put(self, head: bytes, stream: IO[bytes]) -> Path:
        self._number += 1
        target = self._folder / f"{self._number:06d}"
        with target.open("wb") as out:
            out.write(head)
            shutil.copyfileobj(stream, out, 2**20)
        return target


class _Spreading(_Unpacking):
    """One archive whose every file is wanted, not its objects alone."""

    def files(self, archive: Path, prefix: str, depth: int) -> Iterator[Unpacked]:
        """The files of an archive, and of those in it."""
        with _opened(archive) as opened:
            entries = self._checked(opened, archive)
            if sum(info.file_size for info in entries) > shutil.disk_usage(self._folder).free:
                raise DiskFull(path=str(self._folder))
            for info in entries:
                name = prefix + entry_name(info).lstrip("/")
                self._admit(info)
                try:
                    with opened.open(info) as stream:
                        target = self._put(stream.read(HEAD), stream)
                except BROKEN:
                    yield Unpacked(name, self._folder / f"{self._number:06d}", Reason.BROKEN_ZIP)
                    continue
                yield from self._inside(target, name, depth)

    def _inside(self, target: Path, name: str, depth: int) -> Iterator[Unpacked]:
        """The file itself; where it is a zip, the files in it."""
        with target.open("rb") as stream:
            is_zip = sniff(stream.read(HEAD)) is Kind.ZIP
        if not is_zip:
            yield Unpacked(name, target)
            return
        if depth >= MAX_DEPTH:
            yield Unpacked(name, target, Reason.ZIP_NESTED_TOO_DEEP)
            return
        try:
            inner = list(self.files(target, f"{name}/", depth + 1))
        except CorruptInstance as err:
            if self._total > MAX_TOTAL:
                raise
            yield Unpacked(name, target, err.cause)
            return
        target.unlink()
        yield from inner


@contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    """The archive, and what ``zipfile`` says of a broken one in our words.

    Raises:
        CorruptInstance: no zip, a broken one, or one with a password.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            yield opened
    except (*BROKEN, zipfile.LargeZipFile, NotImplementedError) as err:
        raise CorruptInstance(what=Reason.BROKEN_ZIP) from err
    except RuntimeError as err:  # zipfile's way to say that a password is needed
        raise CorruptInstance(what=Reason.ZIP_WITH_PASSWORD) from err


def _entries(opened: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The entries of an archive that are no folders.

    Raises:
        CorruptInstance: more than any study has.
    """
    entries = [info for info in opened.infolist() if not is_folder(info)]
    if len(entries) > MAX_MEMBERS:
        raise CorruptInstance(what=Reason.ZIP_TOO_MANY_ENTRIES)
    return entries


def _object(name: str, path: Path, kind: Kind, *, is_list: bool) -> Member:
    """What an entry is that begins like a DICOM object; the same bytes are treated as if they had come on their own."""
    if is_list and kind is Kind.PART10:
        return Member(name, None, directory=path)
    if kind is Kind.PART10:
        return Member(name, path)
    try:
        settle(path)
    except CorruptInstance:
        is_broken = names_itself(path)
        path.unlink()
        return Member(name, None, is_broken=is_broken)
    return Member(name, path, was_bare=True)


def only_object(archive: Path, into: Path) -> None:
    """The first DICOM object of an archive that holds one instance, moved to ``into``.

    Source: protocol page ljjk: of several entries the first that is one.

    Raises:
        CorruptInstance: no DICOM object in it. NotAnImage: nothing but a picture (a preview) or a document.
    """
    folder = into.with_name(into.name + ".unzip")
    try:
        members = unpack_all(archive, folder)
        objects = [member.path for member in members if member.path is not None]
        if not objects and _holds_no_object(archive):
            raise NotAnImage
        if not objects:
            raise CorruptInstance(what=Reason.ZIP_WITHOUT_DICOM_OBJECT)
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
