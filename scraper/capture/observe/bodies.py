"""Bodies in memory or on the disk: read, measured, and inflated within a bound."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from scraper.core.sniff import HEAD, Kind, sniff

MAX_INFLATED: Final = 2 * 2**30  # bytes of one packed body
PIECE: Final = 2**20


def inflate(body: bytes | Path, path: Path) -> bool:
    """Unpack gzip, zlib or zstd into a file; False where it is broken or absurdly large."""
    if sniff(head_of(body)) is Kind.ZSTD:
        return _unpack_zstd(body, path)
    inflating, size = zlib.decompressobj(47), 0  # 32 + 15: gzip or zlib, whichever it is
    try:
        with path.open("wb") as out:
            for piece in pieces(body):
                rest = piece
                while rest:
                    data = inflating.decompress(rest, PIECE)
                    size += out.write(data)
                    if size > MAX_INFLATED:
                        return False
                    rest = inflating.unconsumed_tail
    except zlib.error:
        return False
    return inflating.eof


def _unpack_zstd(body: bytes | Path, path: Path) -> bool:
    if sys.version_info >= (3, 14):  # loaded where a site uses it
        from compression import zstd
    else:
        from backports import zstd

    size = 0
    unpacking = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: 27})
    try:
        with path.open("wb") as out:
            for piece in pieces(body):
                rest = piece
                while not unpacking.eof and (rest or not unpacking.needs_input):
                    size += out.write(unpacking.decompress(rest, max_length=PIECE))
                    rest = b""
                    if size > MAX_INFLATED:
                        return False
    except zstd.ZstdError:
        return False
    return unpacking.eof


def pieces(body: bytes | Path) -> Iterator[bytes]:
    """The body, piece by piece."""
    if isinstance(body, bytes):
        yield body
        return
    with body.open("rb") as stream:
        while piece := stream.read(PIECE):
            yield piece


def head_of(body: bytes | Path) -> bytes:
    """The first bytes of a body, enough to know its kind."""
    if isinstance(body, bytes):
        return body[:HEAD]
    with body.open("rb") as stream:
        return stream.read(HEAD)


def whole_of(body: bytes | Path) -> bytes:
    """All of a body."""
    return body if isinstance(body, bytes) else body.read_bytes()


def size_of(body: bytes | Path) -> int:
    """How many bytes a body has."""
    return len(body) if isinstance(body, bytes) else body.stat().st_size
