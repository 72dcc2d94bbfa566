"""Where py7zr puts what it unpacks: numbered files, however an entry is called, with every byte counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import IO

from py7zr.io import Py7zIO, WriterFactory


class _Writer(Py7zIO):
    """One entry's file."""

    def __init__(self, path: Path, admit: Callable[[int], None]) -> None:
        self._file: IO[bytes] = path.open("w+b")
        self._admit = admit

    def write(self, data: bytes | bytearray) -> int:
        self._admit(len(data))
        return self._file.write(data)

    def read(self, size: int | None = None) -> bytes:
        return self._file.read(-1 if size is None else size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def flush(self) -> None:
        self._file.flush()

    def size(self) -> int:
        here = self._file.tell()
        size = self._file.seek(0, 2)
        self._file.seek(here)
        return size

    def close(self) -> None:
        self._file.close()


class Writers(WriterFactory):
    """Makes a writer for each entry.

    Args:
        new_path: gives the path of a file that nobody uses.
        admit: counts bytes; raises where there are too many.

    Attributes:
        made: each entry's name and file, in order.
    """

    def __init__(self, new_path: Callable[[], Path], admit: Callable[[int], None]) -> None:
        self.made: list[tuple[str, Path]] = []
        self._new_path = new_path
        self._admit = admit
        self._open: _Writer | None = None

    def create(self, filename: str) -> Py7zIO:
        """The writer of the next entry; that of the last one is closed, as only so many files may be open."""
        self.close()
        self.made.append((filename, self._new_path()))
        self._open = _Writer(self.made[-1][1], self._admit)
        return self._open

    def close(self) -> None:
        """Close the last writer."""
        if self._open is not None:
            self._open.close()
        self._open = None
