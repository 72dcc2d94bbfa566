"""Pixels, frame by frame: are they all there, do they fit the header, do they decode, do they show anything?

Sources: PS3.5 8.1-8.2, annex A.4 (encapsulation), annex G (RLE), PS3.3 C.7.6.3 (Image Pixel), C.7.6.6 (Multi-frame).
One frame at a time is in memory.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from scraper.core.errors import CorruptInstance
from scraper.core.model import Problem
from scraper.dicom import codecs, structure
from scraper.dicom.part10 import first, integer, plain
from scraper.protocols import codestream
from scraper.protocols.codestream import Codestream
from scraper.protocols.jpeg_scans import with_whole_selection
from scraper.protocols.sniff import Kind, sniff

_JPEG: Final = frozenset(
    {
        codestream.JPEG_BASELINE,
        codestream.JPEG_EXTENDED,
        "1.2.840.10008.1.2.4.52",
        codestream.JPEG_SPECTRAL,
        "1.2.840.10008.1.2.4.54",
        codestream.JPEG_PROGRESSIVE,
        "1.2.840.10008.1.2.4.56",
        codestream.JPEG_LOSSLESS,
        "1.2.840.10008.1.2.4.58",
        codestream.JPEG_LOSSLESS_SV1,
    }
)
_JPEG_LS: Final = frozenset({codestream.JPEG_LS, codestream.JPEG_LS_NEAR})
_J2K: Final = frozenset(
    {
        codestream.J2K_LOSSLESS,
        codestream.J2K,
        codestream.HTJ2K_LOSSLESS,
        codestream.HTJ2K_LOSSLESS_RPCL,
        codestream.HTJ2K,
    }
)
_MUST_BE_LOSSLESS: Final = frozenset(
    {
        codestream.J2K_LOSSLESS,
        codestream.HTJ2K_LOSSLESS,
        codestream.HTJ2K_LOSSLESS_RPCL,
        codestream.JPEG_LS,
        codestream.JPEG_LOSSLESS,
        codestream.JPEG_LOSSLESS_SV1,
    }
)
_LOSSY: Final = frozenset(
    {
        codestream.JPEG_BASELINE,
        codestream.JPEG_EXTENDED,
        "1.2.840.10008.1.2.4.52",
        codestream.JPEG_SPECTRAL,
        "1.2.840.10008.1.2.4.54",
        codestream.JPEG_PROGRESSIVE,
        "1.2.840.10008.1.2.4.56",
    }
)
DECODABLE: Final = _JPEG | _JPEG_LS | _J2K | {codestream.RLE_LOSSLESS}
_FRAME_AT_MOST: Final = 1 << 31  # bytes of one decoded frame


@dataclass(slots=True)
class Pixels:
    """What was found in the pixels of one instance. ``problems`` carry no instance yet."""

    problems: list[Problem] = field(default_factory=list)
    constant: list[int] = field(default_factory=list)
    is_lossy: bool = False
    checked: int = 0

    def add(self, code: str, *, fatal: bool = True, **said: object) -> None:
        """Note a problem once per code."""
        if all(problem.code != code for problem in self.problems):
            self.problems.append(Problem(code, (), said, fatal=fatal))


@dataclass(frozen=True, slots=True)
class Description:
    """Image Pixel module."""

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
    """The Image Pixel module; None where a part without which pixels can't be read is missing or senseless."""
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
        frames=1 if frames is None else frames,
    )


def _is_constant(samples: NDArray[np.generic]) -> bool:
    flat = samples.reshape(-1)
    if flat.size < 2:
        return False
    step = max(1, flat.size // 64)
    if (flat[::step] != flat[0]).any():
        return False
    return bool((flat == flat[0]).all())


def _native(layout: structure.Layout, element: structure.Element, said: Description, found: Pixels) -> None:
    """Native pixels: the length is all there is to check, and whether a frame is constant (PS3.5 8.1.1)."""
    wanted = -(-said.frame_bits * said.frames // 8)
    have = element.length
    if have < wanted:
        whole = have * 8 // said.frame_bits if said.frame_bits else 0
        if whole and have * 8 % said.frame_bits < 16 and said.frames > 1:
            found.add("frames-missing", expected=said.frames, present=whole)
        else:
            found.add("pixel-length", expected=wanted, present=have)
        return
    if have > wanted + wanted % 2:
        found.add("pixel-length", fatal=have >= 2 * wanted and said.frames == 1, expected=wanted, present=have)
    if said.allocated not in {8, 16, 32, 64}:
        found.checked = said.frames
        return
    size = said.frame_bits // 8
    word = {8: "u1", 16: "u2", 32: "u4", 64: "u8"}[said.allocated]
    unit = said.samples if said.samples > 1 and said.photometric != "YBR_FULL_422" else 1
    for frame in range(said.frames):
        samples = np.frombuffer(
            layout.data, dtype=word, count=size * 8 // said.allocated, offset=element.offset + frame * size
        )
        if unit > 1 and samples.size % unit == 0:
            constant = _is_constant(samples) or not (samples.reshape(-1, unit) != samples[:unit]).any()
        else:
            constant = _is_constant(samples)
        del samples
        if constant:
            found.constant.append(frame)
        found.checked += 1


def _fragments_by_frame(layout: structure.Layout, frames: int) -> list[list[tuple[int, int]]] | None:
    """Fragments of each frame: by the offset table, one by one, or by where codestreams start (PS3.5 A.4).

    None where neither fits.
    """
    fragments = layout.fragments or []
    if not fragments:
        return []
    table, rest = fragments[0], [fragment for fragment in fragments[1:] if fragment[1]]
    if frames == 1:
        return [rest] if rest else []
    if len(rest) == frames:
        return [[fragment] for fragment in rest]
    offsets = []
    if table[1] >= 4:
        offsets = list(struct.unpack_from(f"<{table[1] // 4}I", layout.data, table[0]))
    base = rest[0][0] - 8 if rest else 0
    if not offsets and (raw := layout.value(0x7FE00001)):
        offsets = list(struct.unpack_from(f"<{len(raw) // 8}Q", raw))
    starts = {base + offset for offset in offsets}
    if not offsets:
        starts = {
            at - 8
            for at, _ in rest
            if sniff(bytes(layout.data[at : at + 64])) in {Kind.JPEG, Kind.JPEG_LS, Kind.J2K, Kind.JP2}
        }
    grouped: list[list[tuple[int, int]]] = []
    for fragment in rest:
        if fragment[0] - 8 in starts:
            grouped.append([])
        if not grouped:
            return None
        grouped[-1].append(fragment)
    return grouped


def _check_header(stream: Codestream, said: Description, transfer_syntax: str, found: Pixels) -> None:
    """The stream's own header against the data set's (PS3.5 8.2.1-8.2.4) and the Transfer Syntax (annex A)."""
    if (stream.rows, stream.columns) != (said.rows, said.columns):
        found.add("codestream-size", said=f"{said.columns}x{said.rows}", real=f"{stream.columns}x{stream.rows}")
    if stream.components != said.samples:
        found.add("codestream-components", said=said.samples, real=stream.components)
    if stream.bits > said.allocated and said.allocated != 1:
        found.add("codestream-bits", said=said.allocated, real=stream.bits)
    elif stream.bits <= 8 < said.stored:
        found.add("codestream-bits", fatal=False, said=said.stored, real=stream.bits)
    if stream.kind is Kind.JP2:
        found.add("jp2-boxes", fatal=False)
    if not stream.is_whole:
        found.add("truncated-frame")
    found.is_lossy = found.is_lossy or not stream.is_lossless
    family_fits = any(
        transfer_syntax in family and stream.transfer_syntax_uid in family for family in (_JPEG, _JPEG_LS, _J2K)
    )
    if not family_fits or (transfer_syntax in _MUST_BE_LOSSLESS and not stream.is_lossless):
        found.add(
            "transfer-syntax-disagrees",
            fatal=not family_fits,
            said=transfer_syntax,
            real=stream.transfer_syntax_uid,
        )


def _rle_segment(data: bytes, wanted: int) -> bytes:
    """One byte of every pixel (PS3.5 G.3.2); what follows the last pixel is padding.

    Raises:
        ValueError: too few bytes, or a run that goes past the last pixel.
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


def _rle(data: bytes, said: Description) -> NDArray[np.generic]:
    """An RLE frame, (rows, columns, samples); decoded here because the extension at hand panics over broken runs."""
    wanted, width = said.rows * said.columns, said.allocated // 8
    count = codestream.rle_segments(data) or 0
    offsets = (*struct.unpack_from(f"<{count}I", data, 4), len(data))
    if count != width * said.samples or wanted * count > _FRAME_AT_MOST:
        raise ValueError("not the segments of this image")
    planes = [np.frombuffer(_rle_segment(data[low:high], wanted), np.uint8) for low, high in pairwise(offsets)]
    # most significant byte first (PS3.5 G.2)
    samples = [np.stack(planes[n * width : (n + 1) * width][::-1], axis=-1) for n in range(said.samples)]
    values = [sample.reshape(-1).view(f"<u{width}").reshape(said.rows, said.columns) for sample in samples]
    return np.stack(values, axis=-1)


def decode(data: bytes, stream: Codestream | None, said: Description) -> NDArray[np.generic]:
    """One frame's samples, as the decoder gives them.

    Raises:
        RuntimeError, ValueError, …: the decoder's own errors (``codecs.ERRORS``, ``struct.error``).
    """
    if stream is None:
        return _rle(data, said)
    if stream.rows * stream.columns * stream.components * -(-stream.bits // 8) > _FRAME_AT_MOST:
        raise ValueError("larger than any frame")
    return codecs.decode_strictly(data, stream)


def _encapsulated(layout: structure.Layout, said: Description, found: Pixels) -> None:
    transfer_syntax = layout.transfer_syntax_uid
    if transfer_syntax in structure.NATIVE:
        found.add("transfer-syntax-disagrees", said=transfer_syntax, real="encapsulated")
    elif transfer_syntax not in DECODABLE:
        found.add("no-decoder", fatal=False, syntax=transfer_syntax)
        return
    frames = _fragments_by_frame(layout, said.frames)
    if frames is None:
        found.add("offset-table-broken")
        return
    if len(frames) < said.frames:
        found.add("frames-missing", expected=said.frames, present=len(frames))
    elif len(frames) > said.frames:
        found.add("frames-surplus", fatal=False, expected=said.frames, present=len(frames))
    for number, data in enumerate(_joined(layout, frames)):
        _frame(number, data, said, transfer_syntax, found)
        if len(found.problems) > 3:
            break


def _joined(layout: structure.Layout, frames: list[list[tuple[int, int]]]) -> Iterator[bytes]:
    for fragments in frames:
        yield b"".join(bytes(layout.data[at : at + length]) for at, length in fragments)


def _frame(number: int, data: bytes, said: Description, transfer_syntax: str, found: Pixels) -> None:
    """One encapsulated frame."""
    stream: Codestream | None = None
    if transfer_syntax == codestream.RLE_LOSSLESS:
        segments = codestream.rle_segments(data)
        if segments != said.samples * -(-said.allocated // 8):
            found.add("does-not-decode", frame=number + 1)
            return
    else:
        try:
            stream = codestream.read(data)
        except CorruptInstance as err:
            found.add("does-not-decode", frame=number + 1, why=err.cause)
            return
        _check_header(stream, said, transfer_syntax, found)
        if not stream.is_whole:
            return  # named; and a decoder may take its time over what is not there
    try:
        samples = decode(codestream.unwrap(data), stream, said)
    except (*codecs.ERRORS, struct.error):
        other = _refused(data, stream, said)
        if other is None:
            found.add("does-not-decode", frame=number + 1)
            return
        samples = other
        found.add("decoder-refuses", fatal=False, frame=number + 1)
    if _is_constant_picture(samples):
        found.constant.append(number)
    found.checked += 1


def _refused(data: bytes, stream: Codestream | None, said: Description) -> NDArray[np.generic] | None:
    """The samples of a picture that the decoder refuses for its scan header alone; None where it is damaged.

    Its data is proven by the same strict decoder, over a copy with a right header.
    """
    mended = with_whole_selection(data) if stream is not None and stream.kind is Kind.JPEG else None
    if mended is None:
        return None
    try:
        return decode(mended, stream, said)
    except (*codecs.ERRORS, struct.error):
        return None


def _is_constant_picture(samples: NDArray[np.generic]) -> bool:
    if samples.ndim == 3 and samples.shape[-1] in {1, 3, 4}:
        return all(_is_constant(np.ascontiguousarray(samples[..., plane])) for plane in range(samples.shape[-1]))
    return _is_constant(samples)


def check(layout: structure.Layout, ds: Dataset) -> Pixels:
    """Everything that can be said of the pixels; a data set without any says nothing."""
    found = Pixels()
    element = next((layout.elements[tag] for tag in structure.PIXEL_TAGS if tag in layout.elements), None)
    if element is None:
        return found
    said = describe(ds)
    if said is None or said.frames < 1:
        found.add("pixel-description")
        return found
    high = integer(ds, "HighBit")
    if said.stored > said.allocated or (high is not None and high != said.stored - 1):
        found.add("bits-disagree", fatal=said.stored > said.allocated)
    if layout.fault is structure.Fault.TRUNCATED and layout.fragments is None:
        return found  # named already, as a truncated file
    if layout.fragments is not None:
        _encapsulated(layout, said, found)
    elif layout.transfer_syntax_uid and layout.transfer_syntax_uid not in structure.NATIVE:
        found.add("transfer-syntax-disagrees", said=layout.transfer_syntax_uid, real="native")
    else:
        _native(layout, element, said, found)
    found.is_lossy = found.is_lossy or layout.transfer_syntax_uid in _LOSSY
    if found.is_lossy and str(first(ds, "LossyImageCompression") or "") != "01":
        found.add("lossy-undeclared", fatal=False)
    return found
