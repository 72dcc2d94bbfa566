"""Every file of an archive, in the child of ``zip_unpack``: zip, 7z, tar, gzip, zstd, ISO 9660 and UDF, nested ones too.

The first bytes decide, never the name. Names are never paths, sizes are bounded as they are announced and as they are written.
Sources: APPNOTE (zip), POSIX.1-2017 pax (tar), RFC 1952 (gzip), RFC 8878 (zstd), ECMA-119 8.1.2 (``CD001``).
"""

from __future__ import annotations

import gzip
import lzma
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final, Self, cast
from zlib import error as ZlibError  # an exception's name

from scraper.core.errors import CorruptInstance, DiskFull
from scraper.core.reasons import Reason
from scraper.core.sniff import HEAD, Kind, is_tar, sniff
from scraper.isolation.child import Say
from scraper.protocols.zip_bounds import (
    MAX_DEPTH,
    MAX_MEMBER,
    MAX_MEMBERS,
    MAX_TOTAL,
    SAYS_EVERY,
    check_total,
    checked_entries,
)
from scraper.protocols.zip_names import entry_name

PIECE: Final = 2**20
BROKEN_TAR: Final = (tarfile.TarError, EOFError, ValueError, UnicodeError)  # what tarfile raises over broken archives
_END_OF_TAR: Final = vars(tarfile)["EOFHeaderError"]  # a block of zeros; the library does not list the name
_DISC_AT, _DISC_MAGIC = 16 * 2048 + 1, (b"CD001", b"BEA01", b"NSR02", b"NSR03")
PACKED: Final = frozenset((Kind.ZIP, Kind.SEVEN_ZIP, Kind.GZIP, Kind.ZSTD, Kind.RAR))
FoundMember = tuple[str, Kind, int, str]  # name, kind, number of its file, damage


def is_disc(archive: Path) -> bool:
    """Whether a file is the image of a disc."""
    with archive.open("rb") as file:
        file.seek(_DISC_AT)
        return file.read(5) in _DISC_MAGIC


class FileUnpacking:
    """One archive of which every file is wanted; counts bytes over all its nested archives.

    Args:
        folder: for the files.
        say: gives a sign of life.
        password: for whatever in it has one; empty: none was given.
    """

    def __init__(self, folder: Path, say: Say, password: str) -> None:
        self._folder = folder
        self._say = say
        self._password = password
        self._number = self._total = self._count = self._written = 0
        self._packed_size = 0  # of the outermost archive

    def files(self, archive: Path, prefix: str = "", depth: int = 1) -> Iterator[FoundMember]:
        """Every file of the archive and of nested archives.

        Raises:
            CorruptInstance: broken, with a password, or absurdly large. DiskFull: what it says it holds does not fit.
        """
        size = archive.stat().st_size
        self._packed_size = self._packed_size or size
        with archive.open("rb") as file:
            head = file.read(HEAD)
        kind = sniff(head)
        walk = {Kind.ZIP: self._zip, Kind.SEVEN_ZIP: self._seven_zip}.get(kind)
        if kind in (Kind.GZIP, Kind.ZSTD):
            walk = self._packed_stream
        elif walk is None and is_tar(head):
            walk = self.tar
        elif walk is None and is_disc(archive):
            walk = self._disc
        if walk is None:
            raise CorruptInstance(what=Reason.RAR_NOT_READ if kind is Kind.RAR else Reason.BROKEN_ZIP)
        for name, number, damage in walk(archive):
            yield from self._inside(prefix + name.lstrip("/"), number, damage, depth)

    def _inside(self, name: str, number: int, damage: str, depth: int) -> Iterator[FoundMember]:
        """The file itself, or the files in it if it is an archive."""
        path = self._path(number)
        with path.open("rb") as file:
            head = file.read(HEAD)
        kind = sniff(head)
        suffix = PurePosixPath(name).suffix.lower()
        is_archive = kind in PACKED or (suffix in (".tar", ".iso") and (is_tar(head) or is_disc(path)))
        if damage or not is_archive or kind is Kind.RAR:
            yield name, kind, number, damage
            return
        if depth >= MAX_DEPTH:
            yield name, kind, number, Reason.ZIP_NESTED_TOO_DEEP
            return
        try:
            inner = list(self.files(path, f"{name}/", depth + 1))
        except CorruptInstance as err:
            if self._total > MAX_TOTAL or err.reason in (Reason.ZIP_WITH_PASSWORD, Reason.WRONG_PASSWORD):
                raise
            yield name, kind, number, str(err.reason or Reason.BROKEN_ZIP)
            return
        path.unlink()
        yield from inner

    # ---- kinds

    def _zip(self, archive: Path) -> Iterator[tuple[str, int, str]]:
        with _opened_zip(archive, self._password) as opened:
            entries = checked_entries(opened, archive.stat().st_size)
            self._fits(sum(info.file_size for info in entries))
            broken = _broken_zip()
            is_proven = False  # the password opened an entry
            for info in entries:
                is_locked = bool(info.flag_bits & 1)
                if is_locked and not self._password:
                    raise CorruptInstance(what=Reason.ZIP_WITH_PASSWORD)
                damage = ""
                number = self._new()
                try:
                    with opened.open(info) as stream:
                        self._write(number, stream)
                except broken as err:
                    if is_locked and not is_proven:  # of ZipCrypto one byte is compared; its check sum tells the rest
                        raise CorruptInstance(what=Reason.WRONG_PASSWORD) from err
                    damage = Reason.BROKEN_ZIP
                is_proven = is_proven or (is_locked and not damage)
                yield entry_name(info), number, damage

    def _seven_zip(self, archive: Path) -> Iterator[tuple[str, int, str]]:
        import py7zr
        from py7zr.exceptions import ArchiveError

        from scraper.protocols.seven_zip_files import Writers

        writers = Writers(self._new_path, self._admit)
        is_locked = False
        try:
            with archive.open("rb") as file, py7zr.SevenZipFile(file, password=self._password or None) as opened:
                is_locked = opened.needs_password()
                if is_locked and not self._password:
                    raise CorruptInstance(what=Reason.ZIP_WITH_PASSWORD)
                rows = [row for row in opened.list() if not row.is_directory]
                if len(rows) > MAX_MEMBERS:
                    raise CorruptInstance(what=Reason.ZIP_TOO_MANY_ENTRIES)
                self._fits(sum(row.uncompressed for row in rows))
                opened.extractall(factory=writers)  # noqa: S202  # into numbered files of ours
        except py7zr.PasswordRequired as err:
            raise CorruptInstance(what=Reason.ZIP_WITH_PASSWORD) from err
        except (ArchiveError, lzma.LZMAError, EOFError, ValueError, TypeError, KeyError, IndexError, ZlibError) as err:
            # an encrypted directory that the password does not open reads as noise
            is_refused = bool(self._password) and (is_locked or not writers.made)
            raise CorruptInstance(what=Reason.WRONG_PASSWORD if is_refused else Reason.BROKEN_ZIP) from err
        finally:
            writers.close()
        for name, path in writers.made:
            yield name, int(path.name), ""

    def tar(self, archive: Path) -> Iterator[tuple[str, int, str]]:
        """Every regular file of a tar: name, number of its file, no damage. Links and devices are passed over.

        Raises:
            CorruptInstance: cut off, broken, or absurdly large; what was sound before that was given.
        """
        self._packed_size = self._packed_size or archive.stat().st_size
        with archive.open("rb") as file:
            yield from self._tar(file)

    def _tar(self, source: IO[bytes]) -> Iterator[tuple[str, int, str]]:
        try:
            with tarfile.open(fileobj=source, mode="r|", tarinfo=_Header) as members:
                for member in members:
                    self._count_one()
                    if not member.isreg() or member.issparse():
                        continue
                    number, inner = self._new(), members.extractfile(member)
                    if inner is not None:
                        self._write(number, inner)
                        yield member.name.removeprefix("./"), number, ""
        except (*BROKEN_TAR, ZlibError, gzip.BadGzipFile, lzma.LZMAError) as err:
            raise CorruptInstance(what=Reason.BROKEN_TAR) from err

    def _packed_stream(self, archive: Path) -> Iterator[tuple[str, int, str]]:
        """A tar in gzip or zstd, or a single file."""
        with archive.open("rb") as file:
            stream = _unpacked_stream(file, sniff(file.peek(HEAD)[:HEAD]))
            try:
                head = stream.peek(HEAD)[:HEAD]
            except (EOFError, ZlibError, OSError) as err:
                raise CorruptInstance(what=Reason.BROKEN_TAR) from err
            if is_tar(head):
                yield from self._tar(stream)
                return
            number = self._new()
            try:
                self._write(number, stream)
            except (EOFError, ZlibError, gzip.BadGzipFile) as err:
                raise CorruptInstance(what=Reason.BROKEN_TAR) from err
            yield PurePosixPath(archive.name).stem, number, ""

    def _disc(self, archive: Path) -> Iterator[tuple[str, int, str]]:
        from pycdlib import PyCdlib
        from pycdlib.pycdlibexception import PyCdlibException

        opened = PyCdlib()
        try:
            opened.open(str(archive))
            try:
                names = {"udf_path": opened.has_udf(), "rr_path": opened.has_rock_ridge()}
                names |= {"joliet_path": opened.has_joliet(), "iso_path": True}
                facade = next(name for name, is_there in names.items() if is_there)
                for folder, _, files in opened.walk(**{facade: "/"}):
                    for name in files:
                        self._count_one()
                        number, path = self._new(), f"{folder.rstrip('/')}/{name}"
                        with opened.open_file_from_iso(**{facade: path}) as stream:
                            self._write(number, stream)
                        yield path.partition(";")[0].rstrip("."), number, ""
            finally:
                opened.close()
        except (PyCdlibException, ValueError, KeyError, IndexError, EOFError, AttributeError, TypeError) as err:
            raise CorruptInstance(what=Reason.BROKEN_DISC_IMAGE) from err

    # ---- files and bounds

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06d}"

    def _new(self) -> int:
        self._number += 1
        self._path(self._number).touch()
        return self._number

    def _new_path(self) -> Path:
        self._count_one()
        return self._path(self._new())

    def _count_one(self) -> None:
        self._count += 1
        if self._count > MAX_MEMBERS:
            raise CorruptInstance(what=Reason.ZIP_TOO_MANY_ENTRIES)

    def _fits(self, size: int) -> None:
        check_total(self._total + size, self._packed_size)
        if self._total + size > MAX_TOTAL:
            raise CorruptInstance(what=Reason.ZIP_TOO_LARGE)
        if size > shutil.disk_usage(self._folder).free:
            raise DiskFull(path=str(self._folder))

    def _admit(self, size: int) -> None:
        """Count bytes that are about to be written.

        Raises:
            CorruptInstance: all together grow beyond any study.
        """
        self._total += size
        check_total(self._total, self._packed_size)
        if self._total > MAX_TOTAL:
            raise CorruptInstance(what=Reason.ZIP_TOO_LARGE)
        self._written += size
        if self._written >= SAYS_EVERY:
            self._say(alive=True)
            self._written = 0

    def _write(self, number: int, stream: IO[bytes]) -> None:
        size = 0
        with self._path(number).open("wb") as out:
            while piece := stream.read(PIECE):
                size += len(piece)
                if size > MAX_MEMBER:
                    raise CorruptInstance(what=Reason.ZIP_TOO_LARGE)
                self._admit(len(piece))
                out.write(piece)


class _Header(tarfile.TarInfo):
    """A header of a tar; one that is damaged, cut off or absent is an error, and not the end, as ``tarfile`` has it."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        """The next one; the end are blocks of zeros (POSIX.1-2017, pax)."""
        try:
            return super().fromtarfile(archive)
        except tarfile.HeaderError as err:
            if isinstance(err, _END_OF_TAR):
                raise
            raise EOFError from err


def _broken_zip() -> tuple[type[Exception], ...]:
    """What reading a broken zip raises, by either library."""
    from pyzipper import BadZipFile

    return (zipfile.BadZipFile, BadZipFile, EOFError, ZlibError, UnicodeError, RuntimeError, zipfile.LargeZipFile)


@contextmanager
def _opened_zip(archive: Path, password: str) -> Iterator[zipfile.ZipFile]:
    """Open a zip that may be encrypted, AES or ZipCrypto.

    Raises:
        CorruptInstance: no zip, or a broken one.
    """
    from pyzipper import AESZipFile

    broken = _broken_zip()
    try:
        with AESZipFile(archive) as opened:
            if password:
                opened.setpassword(password.encode())
            yield cast("zipfile.ZipFile", opened)
    except broken as err:
        raise CorruptInstance(what=Reason.BROKEN_ZIP) from err


def _unpacked_stream(file: IO[bytes], kind: Kind) -> BufferedReader:
    """The bytes that gzip or zstd packed."""
    if kind is Kind.GZIP:
        return BufferedReader(cast("Any", gzip.GzipFile(fileobj=file)))
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return BufferedReader(cast("Any", zstd.ZstdFile(file)))
