"""Decode the frames of an image; runs in child processes only, for the decoders are C.

Sources: PS3.5 annex G (RLE), PS3.3 C.7.6.3 (Image Pixel).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from scraper.core.sniff import Kind
from scraper.dicom import codecs, codestream
from scraper.dicom.codestream import Codestream
from scraper.dicom.elements import integer, plain
from scraper.dicom.jpeg_scans import with_whole_selection

DECODER_ERRORS: Final = (*codecs.ERRORS, struct.error)
_FRAME_AT_MOST: Final = 1 << 31  # bytes of one decoded frame


@dataclass(frozen=True, slots=True)
class Description:
    """The Image Pixel module's values."""

    rows: int
    columns: int
    samples: int
    allocated: int
    stored: int
    photometric: str
    frames: int

    @property
    def frame_bits(self) -> int:
        """Bits of one native frame; YBR_FULL_422 shares its chroma between two pixels (PS3.3 C.7.6.3.1.2)."""
        samples = 2 if self.photometric == "YBR_FULL_422" else self.samples
        return self.rows * self.columns * samples * self.allocated


def describe(ds: Dataset) -> Description | None:
    """Read the Image Pixel module; None where a value that pixels need is missing or senseless."""
    numbers = [integer(ds, keyword) for keyword in ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated")]
    rows, columns, samples, allocated = numbers
    if rows is None or columns is None or allocated is None or rows <= 0 or columns <= 0 or allocated <= 0:
        return None
    frames = integer(ds, "NumberOfFrames")
    stored = integer(ds, "BitsStored")
    return Description(
        rows=rows,
        columns=columns,
        samples=samples or 1,
        allocated=allocated,
        stored=stored or allocated,
        photometric=plain(ds, "PhotometricInterpretation"),
        frames=frames or 1,  # some writers give an image of one frame the number 0
    )


def _rle_segment(data: bytes, wanted: int) -> bytes:
    """Decode one byte plane of all pixels (PS3.5 G.3.2); bytes after the last pixel are padding.

    Raises:
        ValueError: too few bytes, or a run beyond the last pixel.
    """
    out = bytearray()
    at = 0
    while len(out) < wanted:
        if at + 1 >= len(data):
            raise ValueError("an RLE segment that is cut off")
        control = data[at]
        if control < 128:
            out += data[at + 1 : at + 2 + control]
            at += 2 + control
        elif control > 128:
            out += data[at + 1 : at + 2] * (257 - control)
            at += 2
        else:
            at += 1
    if len(out) > wanted:
        raise ValueError("an RLE run that goes past the last pixel")
    return bytes(out)


def _rle(data: bytes, declared: Description) -> NDArray[np.generic]:
    """Decode an RLE frame, (rows, columns, samples), here, because the pylibjpeg-rle extension panics over broken runs."""
    wanted, width = declared.rows * declared.columns, declared.allocated // 8
    count = codestream.rle_segments(data) or 0
    offsets = (*struct.unpack_from(f"<{count}I", data, 4), len(data))
    if count != width * declared.samples or wanted * count > _FRAME_AT_MOST:
        raise ValueError("not the segments of this image")
    planes = [np.frombuffer(_rle_segment(data[low:high], wanted), np.uint8) for low, high in pairwise(offsets)]
    # most significant byte first (PS3.5 G.2)
    samples = [np.stack(planes[n * width : (n + 1) * width][::-1], axis=-1) for n in range(declared.samples)]
    values = [sample.reshape(-1).view(f"<u{width}").reshape(declared.rows, declared.columns) for sample in samples]
    return np.stack(values, axis=-1)


def decode(data: bytes, stream: Codestream | None, declared: Description) -> NDArray[np.generic]:
    """Decode one frame's samples.

    Raises:
        RuntimeError, ValueError, …: the decoder's own errors (``DECODER_ERRORS``).
    """
    if stream is None:
        return _rle(data, declared)
    if stream.rows * stream.columns * stream.components * -(-stream.bits // 8) > _FRAME_AT_MOST:
        raise ValueError("larger than any frame")
    return codecs.decode_strictly(data, stream)


def decode_repaired(data: bytes, stream: Codestream | None, declared: Description) -> NDArray[np.generic] | None:
    """The samples of a picture that the decoder rejects only for its scan header; None where it is damaged.

    The same strict decoder checks its data, in a copy with a corrected header.
    """
    mended = with_whole_selection(data) if stream is not None and stream.kind is Kind.JPEG else None
    if mended is None:
        return None
    try:
        return decode(mended, stream, declared)
    except DECODER_ERRORS:
        return None
