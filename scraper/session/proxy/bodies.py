"""A response's body as it streams past: written to a numbered file, unpacked, bounded; what is no part of a film is let go."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from scraper.core.settings import MOST_PACKAGE_BYTES, RESERVE_BYTES, RESERVE_EVERY_BYTES

PIECE: Final = 1 << 18  # bytes that are unpacked at a time
MOST_UNPACKED: Final = 2 << 30  # of a packed body; images are hardly ever packed once more
MOST_RATIO: Final = 1100  # deflate itself ends at 1,032
MOST_MEMBERS: Final = 4096  # of one gzip body: each costs a copy of what follows it
PIECE_OF_BROTLI: Final = 128  # bytes: it has no bound of its own, and a few of them may stand for 16 MB


class TooMuch(Exception):
    """The body is larger than any of a film."""


class NoRoom(OSError):
    """The disk has no room for it."""


class Room:
    """The disk's room for all bodies together: looked at after so many bytes, in however many bodies they came.

    Args:
        folder: in which they are written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._since_look = 0

    def take(self, size: int) -> None:
        """Note so many bytes.

        Raises:
            NoRoom: the reserve would be touched.
        """
        self._since_look += size
        if self._since_look > RESERVE_EVERY_BYTES:
            if shutil.disk_usage(self._folder).free < RESERVE_BYTES:
                raise NoRoom
            self._since_look = 0


class Body:
    """Takes the pieces of one body while they go on to the client.

    Args:
        path: the file for it; made at the first piece.
        encoding: the Content-Encoding.
        room: of the disk, where other bodies share it.
    """

    def __init__(self, path: Path, encoding: str = "", room: Room | None = None) -> None:
        self.path = path
        self._room = room or Room(path.parent)
        self.size = 0
        self.is_lost = False  # too large, or no room; the client gets it all the same
        self.is_full = False
        self._encoding = encoding.strip().lower()
        self._out: Any = None

    def take(self, piece: bytes) -> bytes:
        """Write a piece; gives it back as it is, for the client."""
        if piece and not self.is_lost:
            try:
                self._write(piece)
            except (OSError, TooMuch) as err:
                self.is_lost, self.is_full = True, self.is_full or isinstance(err, OSError)
                self.drop()
        return piece

    def _write(self, piece: bytes) -> None:
        if self._out is None:
            self._out = self.path.open("wb")
        self.size += len(piece)
        if self.size > MOST_PACKAGE_BYTES:
            raise TooMuch
        self._room.take(len(piece))
        self._out.write(piece)

    def end(self) -> bool:
        """Close the file, its body unpacked; False where nothing usable is in it."""
        if self._out is None:
            self.path.touch()
        else:
            self._out.close()
        if self.is_lost:
            return False
        if self._encoding in ("", "identity") or not self.size:
            return True
        packed = self.path.with_suffix(".packed")
        self.path.replace(packed)
        try:
            self.size = 0
            with packed.open("rb") as source, self.path.open("wb") as out:
                for piece in _unpacked(source, self._encoding):
                    self.size += len(piece)
                    if self.size > min(MOST_UNPACKED, MOST_RATIO * packed.stat().st_size + PIECE):
                        raise TooMuch
                    self._room.take(len(piece))
                    out.write(piece)
        except (OSError, TooMuch, ValueError, MemoryError, zlib.error) as err:
            self.is_full = self.is_full or isinstance(err, OSError)
            self.drop()
            return False
        finally:
            packed.unlink(missing_ok=True)
        return True

    def drop(self) -> None:
        """Remove what was written."""
        if self._out is not None:
            self._out.close()
        self.path.unlink(missing_ok=True)


def _unpacked(source: Any, encoding: str) -> Iterator[bytes]:
    """The pieces of a packed file.

    Raises:
        ValueError, zlib.error: it is no such thing, or damaged.
    """
    if encoding in ("gzip", "x-gzip", "deflate"):
        yield from _inflated(source, encoding)
    elif encoding == "br":
        yield from _of_brotli(source)
    elif encoding == "zstd":
        yield from _of_zstd(source)
    else:
        raise ValueError(encoding)


def _inflated(source: Any, encoding: str) -> Iterator[bytes]:
    head = source.read(2)
    source.seek(0)
    is_raw = encoding == "deflate" and not (len(head) == 2 and head[0] & 15 == 8 and int.from_bytes(head) % 31 == 0)
    window = -15 if is_raw else 47 if encoding != "deflate" else 15  # 47: the header of gzip or zlib
    unpacker, members = zlib.decompressobj(window), 1
    while piece := source.read(PIECE):
        while piece:
            yield unpacker.decompress(piece, PIECE)
            piece = unpacker.unconsumed_tail
            if unpacker.eof and unpacker.unused_data:  # gzip in several members
                piece, unpacker, members = unpacker.unused_data, zlib.decompressobj(window), members + 1
                if members > MOST_MEMBERS:
                    raise TooMuch
    yield unpacker.flush()


def _of_brotli(source: Any) -> Iterator[bytes]:
    import brotli  # comes with mitmproxy

    unpacker = brotli.Decompressor()
    while piece := source.read(PIECE_OF_BROTLI):
        try:
            yield unpacker.process(piece)
        except brotli.error as err:
            raise ValueError("brotli") from err


def _of_zstd(source: Any) -> Iterator[bytes]:
    import zstandard  # comes with mitmproxy

    try:
        with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(source, read_across_frames=True) as out:
            while piece := out.read(PIECE):
                yield piece
    except zstandard.ZstdError as err:
        raise ValueError("zstd") from err
