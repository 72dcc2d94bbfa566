"""A zip, taken apart into its DICOM objects by a child process: only checked names and whole files come out of it.

The child (``zip_unpack``) writes into a folder of its own; what it says is there is looked at and moved to where it is wanted.
"""

from __future__ import annotations

import atexit
import os
import shutil
import stat
import zipfile
from collections.abc import Collection, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final, Literal

from scraper.core.errors import CorruptInstance, DiskFull, NotAnImage, NotCheckedInTime, PictureInstead
from scraper.core.leftovers import RunFolder
from scraper.core.reasons import Cause, Reason
from scraper.core.settings import RESERVE_BYTES
from scraper.core.sniff import Kind
from scraper.dicom.part10 import normalise
from scraper.dicom.reading import names_itself
from scraper.isolation.child import Child, ChildLate, ChildLost
from scraper.isolation.plain import from_plain
from scraper.protocols.zip_unpack import Entry

PROGRAM: Final = "scraper.protocols.zip_unpack"  # what the child runs
PATIENCE_S: Final = 60.0  # from one entry, or 256 MB of one, to the next
PICTURES = frozenset((Kind.JPEG, Kind.JP2, Kind.J2K, Kind.PNG))
NO_OBJECTS = PICTURES | {Kind.PDF}  # what some sites give in place of an object: a preview, a report on paper
_DAMAGE: Final = frozenset(  # what a child may say of an archive
    (
        Reason.BROKEN_ZIP,
        Reason.BROKEN_TAR,
        Reason.ZIP_NESTED_TOO_DEEP,
        Reason.ZIP_TOO_LARGE,
        Reason.ZIP_WITH_PASSWORD,
        Reason.ZIP_TOO_MANY_ENTRIES,
        Reason.ZIP_OVERLAPPING,
        Reason.WRONG_PASSWORD,
        Reason.RAR_NOT_READ,
        Reason.BROKEN_DISC_IMAGE,
    )
)
_BROKEN: Final = Reason.BROKEN_ZIP


@dataclass(frozen=True, slots=True)
class Member:
    """One entry: its name as text, and the file of its bytes; ``path`` None: no DICOM object, or a broken one.

    A data set that came without preamble or file meta has got them. ``directory``: a DICOMDIR, which is a list and no object.
    """

    name: str
    path: Path | None
    is_picture: bool = False
    is_broken: bool = False
    directory: Path | None = None
    kind: Kind = Kind.UNKNOWN


def unpack(archive: Path, folder: Path, *, salvage: bool = False) -> Iterator[Member]:
    """Unpack every DICOM object of ``archive`` into ``folder`` as numbered files; other entries are only named.

    The content decides, not the name: Part 10 files with ``DICM`` at offset 128, and data sets without preamble or file meta.
    Source: PS3.10 section 7.1; protocol page zip_package.

    Args:
        archive: the zip.
        folder: for its objects.
        salvage: an entry that can't be unpacked (its check sum does not fit) is named as broken, and the rest goes on.

    Raises:
        CorruptInstance: no zip, a broken one, one with a password, or one that unpacks to an absurd size.
        DiskFull: the reserve that stays free would be used up.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with closing(_entries(archive, folder, "salvage" if salvage else "objects")) as entries:
        for entry, path in entries:
            if path is None:
                is_broken = bool(entry.damage)
                yield Member(entry.name, None, entry.kind in PICTURES, is_broken=is_broken, kind=entry.kind)
            else:
                yield _object(entry, path)


@dataclass(frozen=True, slots=True)
class Unpacked:
    """One file of an archive, of any kind: its path in the archive (through nested archives), and the unpacked file.

    ``damage`` says in words why what was put there is not what was packed.
    """

    name: str
    path: Path
    damage: Cause = ""


def spread(archive: Path, folder: Path, password: str = "") -> Iterator[Unpacked]:
    """Unpack every file of ``archive``, and of the archives in it, into ``folder`` as numbered files.

    A file that can't be unpacked is named with its damage; so is an inner archive that is none, or lies too deep.

    Args:
        archive: a zip, 7z, tar (packed or not), or the image of a disc.
        folder: for its files.
        password: of the archive; empty: none is known.

    Raises:
        CorruptInstance: no archive, a broken one, one with (another) password, or one that unpacks to an absurd size.
        DiskFull: what it says it holds does not fit on the disk.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with closing(_entries(archive, folder, "files", password)) as entries:
        for entry, path in entries:
            yield Unpacked(entry.name, path or folder / "000000", entry.damage)


def tar_files(archive: Path, folder: Path) -> Iterator[Path]:
    """Put every regular file of a tar into ``folder`` under a number.

    Raises:
        CorruptInstance: cut off, broken, or absurdly large; what was sound before that was given.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with closing(_entries(archive, folder, "tar")) as entries:
        for _, path in entries:
            if path is not None:
                yield path


def is_whole(archive: Path) -> bool:
    """Whether a file ends as a zip does; a truncated one does not.

    Source: APPNOTE 4.3.16, the end of central directory record.
    """
    return zipfile.is_zipfile(archive)


def unpack_all(archive: Path, folder: Path) -> list[Member]:
    """Run ``unpack`` to its end and return everything."""
    return list(unpack(archive, folder))


def _object(entry: Entry, path: Path) -> Member:
    """Classify an entry that begins like a DICOM object, as if its bytes had come on their own."""
    if entry.is_list and entry.kind is Kind.PART10:
        return Member(entry.name, None, directory=path, kind=entry.kind)
    if entry.kind is Kind.PART10:
        return Member(entry.name, path, kind=entry.kind)
    try:
        normalise(path)
    except CorruptInstance:
        is_broken = names_itself(path)
        path.unlink()
        return Member(entry.name, None, is_broken=is_broken, kind=entry.kind)
    return Member(entry.name, path, kind=entry.kind)


def only_object(archive: Path, into: Path) -> None:
    """Move the first DICOM object of an archive that holds one instance to ``into``.

    Source: protocol page ljjk: of several entries the first that is one.

    Raises:
        CorruptInstance: no DICOM object in it. PictureInstead: nothing but a picture (a preview). NotAnImage: a document.
    """
    folder = into.with_name(into.name + ".unzip")
    try:
        members = unpack_all(archive, folder)
        objects = [member.path for member in members if member.path is not None]
        kinds = [member.kind for member in members if member.kind in NO_OBJECTS]
        if not objects and kinds:
            raise not_an_object(kinds)
        if not objects:
            raise CorruptInstance(what=Reason.ZIP_WITHOUT_DICOM_OBJECT)
        objects[0].replace(into)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def not_an_object(kinds: Collection[Kind]) -> NotAnImage:
    """The error for files of ``kinds``, all of them in ``NO_OBJECTS``, in the place of an object."""
    return NotAnImage() if Kind.PDF in kinds else PictureInstead()


# ---- the children, and what is believed of what they say


class _Worker:
    """A child and the folder that it may write into."""

    def __init__(self) -> None:
        self._holder = RunFolder()
        self.folder = self._holder.path / "unpacked"
        self.folder.mkdir(mode=0o700)
        self.child = Child(PROGRAM, (str(self.folder),), PATIENCE_S)

    def close(self) -> None:
        """End the child and remove its folder."""
        self.child.close()
        self._holder.remove()


_idle: list[_Worker] = []
_lock = Lock()


def close_idle() -> None:
    """End the children that have nothing to do; the next archive starts one."""
    with _lock:
        ended = [*_idle]
        _idle.clear()
    for worker in ended:
        worker.close()


atexit.register(close_idle)


@contextmanager
def _worker() -> Iterator[_Worker]:
    """An idle child or a new one; it is idle again once the context ends, with an empty folder."""
    with _lock:
        worker = _idle.pop() if _idle else None
    worker = worker or _Worker()
    try:
        yield worker
        for path in worker.folder.iterdir():
            path.unlink()
    except BaseException:
        worker.close()
        raise
    with _lock:
        _idle.append(worker)


def _entries(
    archive: Path, folder: Path, how: Literal["objects", "salvage", "files", "tar"], password: str = ""
) -> Generator[tuple[Entry, Path | None], None, None]:
    """What a child finds in the archive, each file of it moved into ``folder``.

    Raises:
        CorruptInstance: as the child says, or the child was lost over it. DiskFull: no room. OSError: as the child met it.
    """
    question = {"archive": str(archive.absolute()), "how": how, "password": password}
    is_full = False

    def may_go_on() -> bool:
        nonlocal is_full
        is_full = is_full or shutil.disk_usage(worker.folder).free < RESERVE_BYTES
        return not is_full

    with _worker() as worker:
        numbers = set[int]()
        try:
            for answer, _ in worker.child.ask(question, may_go_on=may_go_on):
                if "error" in answer:
                    _fail(answer, folder)
                if "name" not in answer:  # a sign of life, or the end
                    continue
                entry = _entry(answer)
                if entry.number in numbers:
                    raise ChildLost
                numbers |= {entry.number} - {0}
                yield entry, _moved(worker.folder, folder, entry)
        except ChildLost as err:
            if is_full:
                raise DiskFull(path=str(folder)) from err
            if isinstance(err, ChildLate):
                raise NotCheckedInTime from err
            raise CorruptInstance(what=Reason.BROKEN_TAR if how == "tar" else _BROKEN) from err


def _entry(answer: dict[str, Any]) -> Entry:
    """An answer as an entry.

    Raises:
        ChildLost: no answer of our child.
    """
    try:
        entry: Entry = from_plain(Entry, {name: value for name, value in answer.items() if name != "length"})
    except (ValueError, TypeError) as err:
        raise ChildLost from err
    if not 0 <= entry.number < 10**9 or (entry.damage and not _is_damage(entry.damage)):
        raise ChildLost
    return entry


def _is_damage(what: object) -> bool:
    return isinstance(what, str) and what in _DAMAGE


def _moved(source: Path, folder: Path, entry: Entry) -> Path | None:
    """The entry's file, in ``folder``; None where it has none.

    Raises:
        ChildLost: there is no plain file of that number.
    """
    if not entry.number:
        return None
    name = f"{entry.number:06d}"
    try:
        found = (source / name).lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            raise ChildLost
        target = folder / name
        try:
            (source / name).replace(target)
        except OSError:  # another disk
            shutil.copyfile(source / name, target, follow_symlinks=False)
            (source / name).unlink()
    except FileNotFoundError as err:
        raise ChildLost from err
    return target


def _fail(answer: dict[str, Any], folder: Path) -> None:
    """Raise what the child says went wrong."""
    match answer["error"]:
        case "full":
            raise DiskFull(path=str(folder))
        case "system" if type(answer.get("number")) is int:
            raise OSError(answer["number"], os.strerror(answer["number"]), str(folder))
        case _:
            what = answer.get("what")
            raise CorruptInstance(what=what if _is_damage(what) else _BROKEN)
