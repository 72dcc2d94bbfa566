"""Split multipart/related while it streams: only a piece of one part is in memory at a time.

Source: RFC 2046 5.1 (framing), PS3.18 8.7.3 (what DICOMweb puts in); protocol page dicomweb, November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final

from scraper.core.errors import CorruptInstance
from scraper.core.reasons import Reason

PIECE: Final = 2**20
MAX_HEAD: Final = 16 * 2**10  # bytes of one part's header lines
MAX_BOUNDARY: Final = 200  # RFC 2046 allows 70; some servers take more
_IN_TYPE: Final = re.compile(r'boundary\s*=\s*(?:"([^"]+)"|([^\s;"]+))', re.IGNORECASE)
_FIRST_LINE: Final = re.compile(rb"(?:^|\r\n)--([^\r\n]{1,200}?)[ \t]*\r\n")


def boundary_of(content_type: str, head: bytes = b"") -> bytes | None:
    """The boundary from the Content-Type, else from the body's first delimiter line; None: not multipart.

    Args:
        content_type: as the server sent it.
        head: the body's first bytes.
    """
    if content_type.lower().lstrip().startswith("multipart/"):
        named = _IN_TYPE.search(content_type)
        if named:
            return (named[1] or named[2]).encode("latin-1", "replace")
    found = _FIRST_LINE.search(head) if head.startswith((b"--", b"\r\n--")) else None
    return found[1] if found else None


@dataclass(slots=True)
class Part:
    """One part; header names are lower case. ``pieces`` must be read before the next part is requested."""

    headers: Mapping[str, str]
    pieces: Iterator[bytes]

    def read(self, limit: int) -> bytes:
        """The whole part.

        Raises:
            CorruptInstance: larger than ``limit`` bytes, or cut off.
        """
        taken, size = [], 0
        for piece in self.pieces:
            size += len(piece)
            if size > limit:
                raise CorruptInstance(what=Reason.PART_TOO_LARGE)
            taken.append(piece)
        return b"".join(taken)


def parts(source: BinaryIO, boundary: bytes) -> Iterator[Part]:
    """Every part of a body, in order.

    A delimiter is CRLF, two hyphens, the boundary, and then two hyphens or the end of the line: similar bytes within a
    part do not end it. Everything before the first delimiter and after the last is skipped.

    Raises:
        CorruptInstance: no such boundary, absurd header lines, or an end without the closing delimiter.
    """
    yield from _Reader(source, boundary).run()


class _Reader:
    """A moving window over the source, always longer than the longest delimiter."""

    def __init__(self, source: BinaryIO, boundary: bytes) -> None:
        if not 0 < len(boundary) <= MAX_BOUNDARY:
            raise CorruptInstance(what=Reason.MULTIPART_WITHOUT_BOUNDARY)
        self._source = source
        self._delimiter = re.compile(b"\r\n--" + re.escape(boundary) + rb"(--|[ \t]*\r\n)")
        self._reach = len(boundary) + 64  # a delimiter with its line's end, and some blanks before that
        self._buffer = b"\r\n"  # the first delimiter may stand at the very beginning
        self._is_over = False

    def run(self) -> Iterator[Part]:
        for _ in self._until_delimiter():
            pass  # the preamble
        while not self._is_over:
            part = Part(self._headers(), self._until_delimiter())
            yield part
            for _ in part.pieces:
                pass  # what the taker left unread

    def _more(self) -> bool:
        piece = self._source.read(PIECE)
        self._buffer += piece
        return bool(piece)

    def _until_delimiter(self) -> Iterator[bytes]:
        """The bytes up to the next delimiter, which is consumed."""
        while True:
            found = self._delimiter.search(self._buffer)
            if found:
                if found.start():
                    yield self._buffer[: found.start()]
                self._buffer = self._buffer[found.end() :]
                self._is_over = found[1] == b"--"
                return
            safe = len(self._buffer) - self._reach
            if safe > 0:
                yield self._buffer[:safe]
                self._buffer = self._buffer[safe:]
            if not self._more():
                raise CorruptInstance(what=Reason.MULTIPART_CUT_OFF)

    def _headers(self) -> Mapping[str, str]:
        """The header lines; a part without any begins with an empty line."""
        self._buffer = b"\r\n" + self._buffer
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > MAX_HEAD or not self._more():
                raise CorruptInstance(what=Reason.MULTIPART_BROKEN)
        lines = self._buffer[:end].decode("latin-1").split("\r\n")
        self._buffer = self._buffer[end + 4 :]
        pairs = (line.partition(":") for line in lines if ":" in line)
        return {name.strip().lower(): value.strip() for name, _, value in pairs}
