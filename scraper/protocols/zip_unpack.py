"""An archive taken apart by a child process that may write into one folder of its own; the parent's side is ``zip_archive``.

Names are never paths, sizes are bounded, nested zips are opened. Nothing heavy is imported: the child starts in some 50 ms.
"""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final
from zlib import error as ZlibError  # an exception's name

from scraper.core.errors import CorruptInstance, DiskFull
from scraper.core.reasons import Reason
from scraper.core.sniff import BARE_DATA_SETS, HEAD, Kind, is_media_directory, sniff
from scraper.isolation.child import Say, answer_questions
from scraper.protocols.zip_bounds import MAX_DEPTH, MAX_MEMBER, MAX_TOTAL, SAYS_EVERY, check_total, checked_entries
from scraper.protocols.zip_names import entry_name

MEMORY: Final = 512 << 20  # bytes of the child: a directory of 200,000 entries takes some 200 MB
BARE = frozenset((*BARE_DATA_SETS, Kind.META_FIRST))
OBJECTS = BARE | {Kind.PART10}

BROKEN = (zipfile.BadZipFile, EOFError, ZlibError, UnicodeError)  # what zipfile raises over broken archives


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as it was found: its name, what its first bytes are, and the number of the file it was put in (0: in none).

    ``damage`` says in words why what was put there is not what was packed, or why nothing was.
    """

    name: str
    kind: Kind
    number: int = 0
    damage: str = ""
    is_list: bool = False


class _Unpacking:
    """One archive being unpacked; counts bytes over all its nested archives."""

    def __init__(self, folder: Path, say: Say, *, salvage: bool) -> None:
        self._folder = folder
        self._say = say
        self._salvage = salvage
        self._total = 0
        self._number = 0
        self._packed_size = 0  # of the outermost archive

    def run(self, archive: Path, depth: int) -> Iterator[Entry]:
        """The entries of an archive, those that begin like a DICOM object put into files."""
        with _opened(archive) as opened:
            size = archive.stat().st_size
            self._packed_size = self._packed_size or size
            for info in checked_entries(opened, size):
                yield from self._sound(opened, info, depth)

    def _sound(self, opened: zipfile.ZipFile, info: zipfile.ZipInfo, depth: int) -> Iterator[Entry]:
        """Unpack an entry; a broken one is reported as such where the rest is wanted."""
        try:
            yield from self._member(opened, info, depth)
        except BROKEN:
            if not self._salvage:
                raise
            yield Entry(entry_name(info), Kind.UNKNOWN, damage=Reason.BROKEN_ZIP)
        except CorruptInstance as err:
            if not self._salvage or depth > 1 or self._total > MAX_TOTAL:
                raise
            yield Entry(entry_name(info), Kind.UNKNOWN, damage=str(err.reason or Reason.BROKEN_ZIP))

    def _member(self, opened: zipfile.ZipFile, info: zipfile.ZipInfo, depth: int) -> Iterator[Entry]:
        name = entry_name(info)
        self._admit(info)
        with opened.open(info) as stream:
            head = stream.read(HEAD)
            kind = sniff(head)
            if kind not in OBJECTS and kind is not Kind.ZIP:
                yield Entry(name, kind)
                return
            number = self._put(head, stream)
        if kind is not Kind.ZIP:
            yield Entry(name, kind, number, is_list=is_media_directory(head, name))
            return
        if depth >= MAX_DEPTH:
            raise CorruptInstance(what=Reason.ZIP_NESTED_TOO_DEEP)
        yield from self.run(self._path(number), depth + 1)
        self._path(number).unlink()

    def _admit(self, info: zipfile.ZipInfo) -> None:
        """Count an entry.

        Raises:
            CorruptInstance: it, or all together, would grow beyond any study.
        """
        self._total += info.file_size
        check_total(self._total, self._packed_size)
        if self._total > MAX_TOTAL or info.file_size > MAX_MEMBER:
            raise CorruptInstance(what=Reason.ZIP_TOO_LARGE)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06d}"

    def _put(self, head: bytes, stream: IO[bytes]) -> int:
        self._number += 1
        with self._path(self._number).open("wb") as out:
            out.write(head)
            written = 0
            while piece := stream.read(2**20):
                out.write(piece)
                written += len(piece)
                if written >= SAYS_EVERY:
                    self._say(alive=True)
                    written = 0
        return self._number


@contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive, with the errors of ``zipfile`` as ours.

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


def _tar(archive: Path, folder: Path, say: Say) -> Iterator[Entry]:
    """The regular files of a tar."""
    from scraper.protocols.archive_unpack import FileUnpacking

    for _, number, _ in FileUnpacking(folder, say, "").tar(archive):
        yield Entry("", Kind.UNKNOWN, number)


def _every_file(archive: Path, folder: Path, say: Say, password: str) -> Iterator[Entry]:
    """Every file of an archive of any kind."""
    from scraper.protocols.archive_unpack import FileUnpacking

    for name, kind, number, damage in FileUnpacking(folder, say, password).files(archive):
        yield Entry(name, kind, number, damage)


# ---- the child's life


def _answer(folder: Path, question: dict[str, Any], say: Say) -> None:
    archive, how = Path(question["archive"]), question["how"]
    if how == "files":
        found = _every_file(archive, folder, say, str(question.get("password", "")))
    elif how == "tar":
        found = _tar(archive, folder, say)
    else:
        found = _Unpacking(folder, say, salvage=how == "salvage").run(archive, depth=1)
    try:
        for entry in found:
            say(name=entry.name, kind=entry.kind, number=entry.number, damage=entry.damage, is_list=entry.is_list)
    except CorruptInstance as err:
        say(error="corrupt", what=str(err.reason or Reason.BROKEN_ZIP))
    except DiskFull:
        say(error="full")
    except MemoryError:
        say(error="corrupt", what=Reason.ZIP_TOO_MANY_ENTRIES)
    except BrokenPipeError:
        raise
    except OSError as err:
        say(error="system", number=err.errno or 0)
    else:
        say(end=True)


def serve() -> None:
    """The child's life; the folder that it may write into stands on the command line."""
    folder = Path(sys.argv[1])
    answer_questions(lambda question, _, say: _answer(folder, question, say), MEMORY, (folder,), MAX_MEMBER)
