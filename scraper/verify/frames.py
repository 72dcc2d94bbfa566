"""Check pixels frame by frame: are they complete, do they fit the header, do they decode, are they more than blank?

Sources: PS3.5 8.1-8.2, annex A.4 (encapsulation), PS3.3 C.7.6.3 (Image Pixel), C.7.6.6 (Multi-frame).
One frame at a time is in memory.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from scraper.core.errors import CorruptInstance
from scraper.core.model import Problem
from scraper.core.sniff import Kind, sniff
from scraper.dicom import codestream, j2k_packets, structure
from scraper.dicom.codestream import Codestream
from scraper.dicom.elements import first, integer
from scraper.dicom.j2k_packets import Verdict
from scraper.verify.decoding import DECODER_ERRORS, Description, decode, decode_repaired, describe

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


@dataclass(slots=True)
class Pixels:
    """The findings on the pixels of one instance. ``problems`` carry no instance yet."""

    problems: list[Problem] = field(default_factory=list)
    constant: list[int] = field(default_factory=list)
    is_lossy: bool = False
    checked: int = 0

    def add(self, code: str, *, fatal: bool = True, **declared: object) -> None:
        """Add a problem, once per code."""
        if all(problem.code != code for problem in self.problems):
            self.problems.append(Problem(code, (), declared, fatal=fatal))


def _is_constant(samples: NDArray[np.generic]) -> bool:
    flat = samples.reshape(-1)
    if flat.size < 2:
        return False
    step = max(1, flat.size // 64)
    if (flat[::step] != flat[0]).any():
        return False
    return bool((flat == flat[0]).all())


def _native(layout: structure.Layout, element: structure.Element, declared: Description, found: Pixels) -> None:
    """Check native pixels: their length, and whether a frame is constant (PS3.5 8.1.1)."""
    wanted = -(-declared.frame_bits * declared.frames // 8)
    have = element.length
    if have < wanted:
        whole = have * 8 // declared.frame_bits if declared.frame_bits else 0
        if whole and have * 8 % declared.frame_bits < 16 and declared.frames > 1:
            found.add("frames-missing", expected=declared.frames, present=whole)
        else:
            found.add("pixel-length", expected=wanted, present=have)
        return
    if have > wanted + wanted % 2:
        found.add("pixel-length", fatal=have >= 2 * wanted and declared.frames == 1, expected=wanted, present=have)
    if declared.allocated not in {1, 8, 16, 32, 64}:
        found.add("no-decoder", fatal=False, syntax=f"Bits Allocated {declared.allocated}")
    if declared.allocated not in {8, 16, 32, 64}:
        found.checked = declared.frames
        return
    size = declared.frame_bits // 8
    word = {8: "u1", 16: "u2", 32: "u4", 64: "u8"}[declared.allocated]
    unit = declared.samples if declared.samples > 1 and declared.photometric != "YBR_FULL_422" else 1
    for frame in range(declared.frames):
        samples = np.frombuffer(
            layout.data, dtype=word, count=size * 8 // declared.allocated, offset=element.offset + frame * size
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
    """The fragments of each frame: one each, by the offset table, or by the starts of codestreams (PS3.5 A.4).

    A table that makes another number of frames than there are gives way to the codestreams, where these make it. None where
    nothing fits.
    """
    fragments = layout.fragments or []
    if not fragments:
        return []
    rest = [fragment for fragment in fragments[1:] if fragment[1]]
    if frames == 1:
        return [rest] if rest else []
    if len(rest) == frames:
        return [[fragment] for fragment in rest]
    offsets = _offsets(layout)
    by_table = _grouped(rest, offsets) if offsets else None
    if by_table is not None and len(by_table) == frames:
        return by_table
    starts = {
        at - 8
        for at, _ in rest
        if sniff(bytes(layout.data[at : at + 64])) in {Kind.JPEG, Kind.JPEG_LS, Kind.J2K, Kind.JP2}
    }
    by_stream = _grouped(rest, starts)
    is_table_wrong = by_stream is not None and len(by_stream) == frames
    return by_stream if is_table_wrong or not offsets else by_table


def _offsets(layout: structure.Layout) -> frozenset[int]:
    """Where the offset table, basic or extended, says that the frames' items begin; empty where it is."""
    table, *rest = layout.fragments or [(0, 0)]
    offsets = struct.unpack_from(f"<{table[1] // 4}I", layout.data, table[0])
    if not offsets and (raw := layout.value(0x7FE00001)):
        offsets = struct.unpack_from(f"<{len(raw) // 8}Q", raw)
    return frozenset(rest[0][0] - 8 + offset for offset in offsets) if rest else frozenset()


def _grouped(fragments: list[tuple[int, int]], starts: Set[int]) -> list[list[tuple[int, int]]] | None:
    """The fragments by frame; a frame begins where an item does that is one of ``starts``. None where the first is none."""
    grouped: list[list[tuple[int, int]]] = []
    for fragment in fragments:
        if fragment[0] - 8 in starts:
            grouped.append([])
        if not grouped:
            return None
        grouped[-1].append(fragment)
    return grouped


def _check_header(stream: Codestream, declared: Description, transfer_syntax: str, found: Pixels) -> None:
    """Compare the stream's header with the data set (PS3.5 8.2.1-8.2.4) and the Transfer Syntax (annex A)."""
    if (stream.rows, stream.columns) != (declared.rows, declared.columns):
        found.add(
            "codestream-size", declared=f"{declared.columns}x{declared.rows}", real=f"{stream.columns}x{stream.rows}"
        )
    if stream.components != declared.samples:
        found.add("codestream-components", declared=declared.samples, real=stream.components)
    if stream.bits > declared.allocated and declared.allocated != 1:
        found.add("codestream-bits", declared=declared.allocated, real=stream.bits)
    elif stream.bits <= 8 < declared.stored:
        found.add("codestream-bits", fatal=False, declared=declared.stored, real=stream.bits)
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
            declared=transfer_syntax,
            real=stream.transfer_syntax_uid,
        )


def _encapsulated(layout: structure.Layout, declared: Description, found: Pixels) -> None:
    transfer_syntax = layout.transfer_syntax_uid
    if transfer_syntax in structure.NATIVE:
        found.add("transfer-syntax-disagrees", declared=transfer_syntax, real="encapsulated")
    elif transfer_syntax not in DECODABLE:
        found.add("no-decoder", fatal=False, syntax=transfer_syntax)
        return
    frames = _fragments_by_frame(layout, declared.frames)
    if frames is None:
        found.add("offset-table-broken")
        return
    if len(frames) < declared.frames:
        found.add("frames-missing", expected=declared.frames, present=len(frames))
    elif (table := _offsets(layout)) and table != {frame[0][0] - 8 for frame in frames if frame}:
        found.add("offset-table-wrong", fatal=False)
    if len(frames) > declared.frames:
        found.add("frames-surplus", fatal=False, expected=declared.frames, present=len(frames))
    for number, data in enumerate(_joined(layout, frames)):
        _frame(number, data, declared, transfer_syntax, found)
        if len(found.problems) > 3:
            break


def _joined(layout: structure.Layout, frames: list[list[tuple[int, int]]]) -> Iterator[bytes]:
    for fragments in frames:
        yield b"".join(bytes(layout.data[at : at + length]) for at, length in fragments)


def _frame(number: int, data: bytes, declared: Description, transfer_syntax: str, found: Pixels) -> None:
    """Check one encapsulated frame."""
    stream: Codestream | None = None
    if transfer_syntax == codestream.RLE_LOSSLESS:
        segments = codestream.rle_segments(data)
        if segments != declared.samples * -(-declared.allocated // 8):
            found.add("does-not-decode", frame=number + 1)
            return
    else:
        try:
            stream = codestream.read(data)
        except CorruptInstance as err:
            found.add("does-not-decode", frame=number + 1, why=err.cause)
            return
        _check_header(stream, declared, transfer_syntax, found)
        if not stream.is_whole:
            return  # named; and a decoder may take its time over what is not there
    packets = _packets(data, stream)
    if packets is Verdict.WHOLE:
        found.checked += 1
        return
    if packets is Verdict.DAMAGED:
        found.add("does-not-decode", frame=number + 1)
        return
    try:
        samples = decode(codestream.unwrap(data), stream, declared)
    except DECODER_ERRORS:
        other = decode_repaired(data, stream, declared)
        if other is None:
            found.add("does-not-decode", frame=number + 1)
            return
        samples = other
        found.add("decoder-refuses", fatal=False, frame=number + 1)
    if _is_constant_picture(samples):
        found.constant.append(number)
    found.checked += 1


def _packets(data: bytes, stream: Codestream | None) -> Verdict:
    """What JPEG 2000's packets show; nothing of another codec."""
    if stream is None or stream.kind not in {Kind.J2K, Kind.JP2}:
        return Verdict.UNKNOWN
    return j2k_packets.verdict(codestream.unwrap(data))


def _is_constant_picture(samples: NDArray[np.generic]) -> bool:
    if samples.ndim == 3 and samples.shape[-1] in {1, 3, 4}:
        return all(_is_constant(np.ascontiguousarray(samples[..., plane])) for plane in range(samples.shape[-1]))
    return _is_constant(samples)


def _unclear(ds: Dataset, declared: Description) -> str:
    """What the Image Pixel module leaves open or contradicts, though its sizes fit (PS3.3 C.7.6.3); empty where it is clear."""
    names = {
        "SamplesPerPixel": "Samples per Pixel",
        "PhotometricInterpretation": "Photometric Interpretation",
        "PixelRepresentation": "Pixel Representation",
    }
    absent = [words for keyword, words in names.items() if first(ds, keyword) is None]
    if declared.photometric.startswith(("MONOCHROME", "PALETTE")):
        fitting = 1
    elif declared.photometric.startswith(("RGB", "YBR")):
        fitting = 3
    else:
        fitting = declared.samples
    if not absent and fitting != declared.samples:
        absent = [f"{declared.photometric}, Samples per Pixel {declared.samples}"]
    return ", ".join(absent)


def check(layout: structure.Layout, ds: Dataset) -> Pixels:
    """Check the pixels of an instance; a data set without pixels has no findings."""
    found = Pixels()
    element = next((layout.elements[tag] for tag in structure.PIXEL_TAGS if tag in layout.elements), None)
    if element is None:
        return found
    declared = describe(ds)
    if declared is None or declared.frames < 1:
        found.add("pixel-description")
        return found
    high = integer(ds, "HighBit")
    if declared.stored > declared.allocated or (high is not None and high != declared.stored - 1):
        found.add("bits-disagree", fatal=declared.stored > declared.allocated)
    if element.tag == structure.PIXEL_DATA and (unclear := _unclear(ds, declared)):
        found.add("pixels-unclear", fatal=False, what=unclear)
    if layout.fault is structure.Fault.TRUNCATED and layout.fragments is None:
        return found  # named already, as a truncated file
    if layout.fragments is not None:
        _encapsulated(layout, declared, found)
    elif layout.transfer_syntax_uid and layout.transfer_syntax_uid not in structure.NATIVE:
        found.add("transfer-syntax-disagrees", declared=layout.transfer_syntax_uid, real="native")
    else:
        _native(layout, element, declared, found)
    found.is_lossy = found.is_lossy or layout.transfer_syntax_uid in _LOSSY
    if found.is_lossy and str(first(ds, "LossyImageCompression") or "") != "01":
        found.add("lossy-undeclared", fatal=False)
    return found
