"""Pixels that came separately from their tags: their kind, whether they fit the tags, and how DICOM stores them.

Sources: PS3.5 8.2 and A.4 (which streams DICOM carries and what must agree with them), PS3.3 C.7.6.3 (Image Pixel module).
"""

from __future__ import annotations

import gzip
import io
import zlib
from dataclasses import dataclass
from typing import Final

from scraper.core.errors import CorruptInstance
from scraper.core.reasons import Reason
from scraper.core.sniff import NAMES, Kind, sniff
from scraper.dicom import codec_process, codestream, structure
from scraper.dicom.codestream import Codestream

_CONSTANT_SHARE: Final = 256  # pixels a byte: no real slice compresses better, an empty one does
_SMALLEST: Final = 64 * 64  # pixels below which nothing is said about constant pictures
_UNPACKED: Final = 1 << 28  # bytes of one frame; a mammogram has 50 MB, a radiograph of 16,384 × 8,192 all of it


_NO_PIXELS: Final = frozenset(
    {
        Kind.PART10,
        Kind.ZIP,
        Kind.GIF,
        Kind.TIFF,
        Kind.WEBP,
        Kind.PDF,
        Kind.HTML,
        Kind.JSON,
        Kind.XML,
        Kind.TEXT,
        Kind.EMPTY,
    }
)


@dataclass(frozen=True, slots=True)
class Shape:
    """One frame as the tags describe it; None where they don't."""

    rows: int | None
    columns: int | None
    samples: int | None
    allocated: int | None
    stored: int | None

    @property
    def size(self) -> int | None:
        """Size of one native frame in bytes."""
        if self.rows is None or self.columns is None or self.allocated is None:
            return None
        return self.rows * self.columns * (self.samples or 1) * -(-self.allocated // 8)


@dataclass(frozen=True, slots=True)
class Frame:
    """One inspected frame: raw samples where ``stream`` is None."""

    data: bytes
    stream: Codestream | None
    is_rle: bool = False
    was_padded: bool = False


def _unpack(frame: bytes) -> bytes:
    """Remove a frame's gzip or zlib wrapping."""
    kind = sniff(frame[:64])
    if kind not in {Kind.GZIP, Kind.ZLIB}:
        return frame
    try:
        if kind is Kind.GZIP:
            with gzip.open(io.BytesIO(frame)) as inside:
                return inside.read(_UNPACKED)
        return zlib.decompressobj().decompress(frame, _UNPACKED)
    except (OSError, EOFError, zlib.error):
        return frame


def _is_constant(data: bytes) -> bool:
    unit = data[:2]
    return len(data) > 2 and data == (unit * (len(data) // 2 + 1))[: len(data)]


def _raw(shape: Shape, data: bytes, count: int, *, may_be_blank: bool) -> Frame:
    size = shape.size
    if size is None:
        raise CorruptInstance(what=Reason.PIXELS_WITHOUT_SIZE)
    wanted = size * count
    if len(data) < wanted:
        for level in (1, 2, 3):
            side = 1 << level
            reduced = (
                (shape.rows or 0)
                // side
                * ((shape.columns or 0) // side)
                * (size // max(1, (shape.rows or 1) * (shape.columns or 1)))
            )
            if reduced and len(data) == reduced * count:
                raise CorruptInstance(what=Reason.REDUCED.of(factor=side * side))
        raise CorruptInstance(what=Reason.PIXEL_BYTES.of(found=len(data), expected=wanted))
    surplus = data[wanted:]
    row = size // (shape.rows or 1)
    if len(surplus) >= row and surplus.strip(surplus[:1]):
        raise CorruptInstance(what=Reason.PIXEL_BYTES.of(found=len(data), expected=wanted))
    wanted_data = data[:wanted]
    is_telling = not may_be_blank and (shape.rows or 0) * (shape.columns or 0) >= _SMALLEST
    if is_telling and _is_constant(wanted_data):
        raise CorruptInstance(what=Reason.CONSTANT_PICTURE)
    return Frame(wanted_data, None, was_padded=len(surplus) > 1)


def _check_stream(shape: Shape, stream: Codestream, data: bytes, *, may_be_blank: bool) -> None:
    if shape.rows not in (None, stream.rows) or shape.columns not in (None, stream.columns):
        what = Reason.OTHER_SIZE.of(
            columns=stream.columns, rows=stream.rows, tag_columns=shape.columns, tag_rows=shape.rows
        )
        raise CorruptInstance(what=what)
    if stream.components not in (shape.samples or stream.components, 1 if shape.samples is None else shape.samples):
        raise CorruptInstance(what=Reason.OTHER_COMPONENTS.of(found=stream.components, tags=shape.samples))
    if stream.components not in {1, 3, 4}:
        raise CorruptInstance(what=Reason.COMPONENTS.of(count=stream.components))
    if shape.stored is not None and stream.bits <= 8 < shape.stored:
        raise CorruptInstance(what=Reason.OTHER_BITS.of(found=stream.bits, tags=shape.stored))
    if shape.allocated is not None and stream.bits > max(shape.allocated, 8):
        raise CorruptInstance(what=Reason.OTHER_BITS.of(found=stream.bits, tags=shape.allocated))
    if not stream.is_whole:
        raise CorruptInstance(what=Reason.PICTURE_CUT_OFF)
    pixels = stream.rows * stream.columns
    if not may_be_blank and pixels >= _SMALLEST and len(data) < pixels // _CONSTANT_SHARE:
        raise CorruptInstance(what=Reason.CONSTANT_PICTURE)


def look(shape: Shape, frame: bytes, count: int = 1, *, may_be_blank: bool = False) -> Frame:
    """Inspect a frame and check it against the tags.

    Args:
        shape: from the tags.
        frame: raw samples, or one codestream (JP2 boxes, gzip and zlib wrappings are taken off).
        count: frames that raw samples hold at once.
        may_be_blank: a constant picture is taken for the image.

    Raises:
        CorruptInstance: not pixels, truncated, constant, or of another size than in the tags.
    """
    native = None if shape.size is None else shape.size * count
    if len(frame) != native:
        frame = _unpack(frame)
    kind = sniff(frame[:4096])
    if kind in {Kind.JP2, Kind.J2K, Kind.JPEG, Kind.JPEG_LS, Kind.PNG}:
        try:
            data = codestream.unwrap(frame)
            stream = codestream.read(data)
            _check_stream(shape, stream, data, may_be_blank=may_be_blank)
        except CorruptInstance:
            if len(frame) != native or kind in {Kind.JP2, Kind.PNG}:
                raise
        else:
            return Frame(data, stream)
    if len(frame) != native and (segments := codestream.rle_segments(frame)) is not None:
        if segments != (shape.samples or 1) * -(-(shape.allocated or 8) // 8):
            raise CorruptInstance(what=Reason.RLE_SEGMENTS.of(count=segments))
        return Frame(frame, None, is_rle=True)
    if len(frame) != native and kind in _NO_PIXELS:
        raise CorruptInstance(what=NAMES[kind])
    return _raw(shape, frame, count, may_be_blank=may_be_blank)


def png_samples(frame: Frame) -> bytes:
    """The samples of a PNG, little endian, by pixel.

    Raises:
        CorruptInstance: a palette, an alpha channel, 16 bits in colour, or a PNG that does not decode.
    """
    stream = frame.stream
    bits, components = (stream.bits, stream.components) if stream is not None else (8, 1)
    if bits not in {8, 16} or components not in {1, 3}:
        raise CorruptInstance(what=Reason.PNG_WITHOUT_VALUES)
    if components == 3 and bits == 16:
        raise CorruptInstance(what=Reason.PNG_16_BIT_COLOUR)
    samples = codec_process.SHARED.ask("png", {"bits": bits}, frame.data)
    if samples is None:
        raise CorruptInstance(what=Reason.PNG_NOT_DECODED)
    return samples


def syntax(frames: list[Frame]) -> str:
    """The common Transfer Syntax of all frames.

    Raises:
        CorruptInstance: frames of different kinds.
    """
    found = {
        codestream.RLE_LOSSLESS if frame.is_rle else (frame.stream.transfer_syntax_uid if frame.stream else "")
        for frame in frames
    }
    if found <= {""}:
        return structure.EXPLICIT_LITTLE
    for general, special in (
        (codestream.J2K, {codestream.J2K, codestream.J2K_LOSSLESS}),
        (codestream.HTJ2K, {codestream.HTJ2K, codestream.HTJ2K_LOSSLESS, codestream.HTJ2K_LOSSLESS_RPCL}),
        (codestream.JPEG_LS_NEAR, {codestream.JPEG_LS, codestream.JPEG_LS_NEAR}),
        (codestream.JPEG_LOSSLESS, {codestream.JPEG_LOSSLESS, codestream.JPEG_LOSSLESS_SV1}),
        (codestream.JPEG_EXTENDED, {codestream.JPEG_BASELINE, codestream.JPEG_EXTENDED}),
    ):
        if len(found) > 1 and found <= special:
            return general
    if len(found) > 1:
        raise CorruptInstance(what=Reason.MIXED_FRAMES)
    return found.pop()
